import { readsOf } from '../graph/attributes';
import { ParticlizeError } from '../graph/errors';
import { indexOf, type GraphNode, type ModelGraph, type ValueInfo } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { Dataset, TaskKind } from '../data/dataset';
import { nextToken } from './nextToken';
import { ranking } from './ranking';

/** What is to be got right, and how that is counted: sums over samples first, so that any grouping gives the same. */
export interface Objective {
  /** The value to fetch: what goes into a closing softmax or sigmoid, so that no precision is lost in it. */
  readonly output: string;
  readonly decisive: { readonly name: string; readonly higherIsBetter: boolean };
  /** Adds rows [from, to) of `outputs` (width numbers each) to `sums`; `targets` belong to rows 0.. of this call. */
  add(sums: Float64Array, outputs: Float32Array, width: number, from: number, to: number, targets: Targets): void;
  /** The derivative of each row's loss by its outputs, into `into`, for rows 0.. of `outputs`. */
  slope(into: Float32Array, outputs: Float32Array, width: number, targets: Targets): void;
  /**
   * A random direction for each row whose covariance is the second derivative of its loss by its outputs, into `into`; so the squared
   * change along it is, in the mean, twice what curvature adds to the loss (Monte-Carlo Gauss-Newton: Martens 2020, New
   * insights and perspectives on the natural gradient method). `random` gives numbers in [0, 1).
   */
  scatter(into: Float32Array, outputs: Float32Array, width: number, random: () => number): void;
  /** Number of sums. */
  readonly sums: number;
  finish(sums: Float64Array, samples: number): Score;
}

export interface Score {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Right answers for a run of samples: a class each (of text one a position, -1 where none counts), or as many numbers as the model has outputs. */
export interface Targets {
  readonly classes?: Int32Array;
  readonly values?: Float32Array;
}

/** What of a data set says how a model is judged on it. */
export type JudgedData = Pick<Dataset, 'task' | 'title' | 'classes' | 'output' | 'metric' | 'rowsPerSample' | 'ranking'>;

/** Rejects what cannot be measured with a ParticlizeError that says why. */
export function objectiveFor(graph: ModelGraph, data: JudgedData): Objective {
  const output = decidingOutput(graph, data);
  const objective = makers[data.task](closingActivation(graph, output.name), output, data);
  if (data.metric === undefined || data.metric === objective.decisive.name) return objective;
  const known = Object.keys(objective.finish(new Float64Array(objective.sums), 1).metrics);
  if (known.includes(data.metric)) return { ...objective, decisive: { ...objective.decisive, name: data.metric } };
  throw new ParticlizeError({ file: data.title, place: 'metric', cause: `there is no metric '${data.metric}' for ${data.task}`, action: `There are ${known.join(', ')}` });
}

/**
 * The output that is judged: the one that the recipe names; else of those that no other output is made from (some models
 * give every layer's result) the one with as many numbers as there are classes; else the first.
 */
export function decidingOutput(graph: ModelGraph, { title, output, classes }: Pick<Dataset, 'title' | 'output' | 'classes'>): ValueInfo {
  const names = graph.outputs.map(({ name }) => name);
  if (output !== undefined) {
    const named = graph.outputs.find(({ name }) => name === output);
    if (named) return named;
    throw new ParticlizeError({ file: title, place: 'output', cause: `the model has no output '${output}'`, action: `Its outputs are ${names.join(', ')}` });
  }
  if (!graph.outputs.length) throw new ParticlizeError({ file: title, cause: 'the model has no output to evaluate' });
  if (graph.outputs.length === 1) return graph.outputs[0]!;
  const used = new Set<string>();
  const open = [...names];
  const { producer } = indexOf(graph);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    for (const read of readsOf(producer.get(name) ?? { inputs: [], attributes: {} })) {
      if (!used.has(read)) open.push(read);
      used.add(read);
    }
  }
  const last = graph.outputs.filter(({ name }) => !used.has(name));
  return last.find((info) => widthOf(info) === classes?.length) ?? last[0] ?? graph.outputs[0]!;
}

/** Numbers that the model gives for one sample, when the file says so. */
export function widthOf({ shape }: ValueInfo): number | undefined {
  return shape?.slice(1).reduce<number | undefined>((product, dim) => (product === undefined || dim === null ? undefined : product * dim), 1);
}

/** The targets of samples [from, to). */
export async function targetsOf(data: Dataset, from: number, to: number): Promise<Targets> {
  const labels = await data.labels(from, to);
  if (!labels) {
    if (data.task !== 'reconstruction') {
      throw new ParticlizeError({ file: data.title, place: 'labels', cause: 'there are no labels to compare with', action: 'Name them in the recipe' });
    }
    const [inputs] = (await data.inputs(from, to)).values();
    return { values: asFloat32(inputs!) };
  }
  if (data.task === 'nextToken') return { classes: Int32Array.from(asFloat32(labels)) };
  if (data.task === 'regression' || data.task === 'reconstruction') return { values: asFloat32(labels) };
  return { classes: classesOf(labels, to - from) };
}

/** How an output ends: what it is trained and judged by is in front of a closing activation. */
export interface Ending {
  readonly kind: 'softmax' | 'sigmoid' | 'none';
  /** The value in front of the closing activation. */
  readonly value: string;
}

const makers: Readonly<Record<TaskKind, (ending: Ending, output: ValueInfo, data: JudgedData) => Objective>> = {
  classification(ending, output) {
    const width = widthOf(output);
    return width === 1 || ending.kind === 'sigmoid' ? binary(ending) : crossEntropy(ending, width);
  },
  regression: (_, output) => squaredError(output.name),
  reconstruction: (_, output) => squaredError(output.name),
  nextToken(ending, { shape }) {
    const vocabulary = shape && shape.length >= 2 ? shape[shape.length - 1] ?? undefined : undefined;
    return nextToken(crossEntropy(ending, vocabulary), vocabulary);
  },
  ranking: (ending, output, { rowsPerSample = 1, ranking: rules = { k: 10, loss: 'bce' } }) =>
    ranking(ending.kind === 'sigmoid' ? ending.value : output.name, rules, rowsPerSample),
};

const topK = 5;

/** Softmax cross-entropy in double precision, from logits (a shift by log-sum-exp, so log-probabilities will do as well). */
function crossEntropy(ending: Ending, width: number | undefined): Objective {
  const withTop = (width ?? 0) > 2 * topK;
  return {
    output: ending.value, sums: 3, decisive: { name: 'accuracy', higherIsBetter: true },
    add(sums, outputs, width, from, to, { classes }) {
      for (let row = from; row < to; row++) {
        const start = row * width;
        const label = start + classes![row - from]!;
        let largest = -Infinity;
        for (let at = start; at < start + width; at++) if (outputs[at]! > largest) largest = outputs[at]!;
        let total = 0;
        let better = 0;
        const own = outputs[label]!;
        for (let at = start; at < start + width; at++) {
          const value = outputs[at]!;
          total += Math.exp(value - largest);
          // Of equal outputs the first wins, as in argmax.
          if (value > own || (value === own && at < label)) better++;
        }
        sums[0]! += Math.log(total) + largest - own;
        if (better === 0 && !Number.isNaN(own)) sums[1]!++;
        if (better < topK && !Number.isNaN(own)) sums[2]!++;
      }
    },
    slope(into, outputs, width, { classes }) {
      softmaxRows(into, outputs, width);
      classes!.forEach((label, row) => into[row * width + label]!--);
    },
    scatter(into, outputs, width, random) {
      softmaxRows(into, outputs, width);
      for (let start = 0; start < into.length; start += width) {
        let rest = random();
        let drawn = 0;
        while (drawn < width - 1 && (rest -= into[start + drawn]!) >= 0) drawn++;
        into[start + drawn]!--;
      }
    },
    finish: (sums, samples) => ({
      loss: sums[0]! / samples,
      metrics: { accuracy: sums[1]! / samples, ...(withTop && { [`top${topK}`]: sums[2]! / samples }) },
    }),
  };
}

/** One logit against two classes, or one yes-or-no a class (then averaged over the classes, the largest one decides). */
function binary(ending: Ending): Objective {
  return {
    output: ending.value, sums: 2, decisive: { name: 'accuracy', higherIsBetter: true },
    add(sums, outputs, width, from, to, { classes }) {
      for (let row = from; row < to; row++) {
        const label = classes![row - from]!;
        const values = outputs.subarray(row * width, (row + 1) * width);
        let loss = 0;
        for (let at = 0; at < width; at++) {
          const yes = width === 1 ? label === 1 : label === at;
          const logit = yes ? values[at]! : -values[at]!;
          loss += Math.max(0, -logit) + Math.log1p(Math.exp(-Math.abs(logit)));
        }
        sums[0]! += loss / width;
        const chosen = width === 1 ? Number(values[0]! > 0) : values.indexOf(values.reduce((most, value) => Math.max(most, value), -Infinity));
        if (chosen === label) sums[1]!++;
      }
    },
    slope(into, outputs, width, { classes }) {
      for (let at = 0; at < into.length; at++) {
        const label = classes![Math.floor(at / width)]!;
        into[at] = (sigmoid(outputs[at]!) - Number(width === 1 ? label === 1 : label === at % width)) / width;
      }
    },
    scatter(into, outputs, width, random) {
      for (let at = 0; at < into.length; at++) {
        const chance = sigmoid(outputs[at]!);
        into[at] = Math.sqrt((chance * (1 - chance)) / width) * (random() < 0.5 ? -1 : 1);
      }
    },
    finish: (sums, samples) => ({ loss: sums[0]! / samples, metrics: { accuracy: sums[1]! / samples } }),
  };
}

/** Mean squared error over samples and outputs. */
function squaredError(output: string): Objective {
  return {
    output, sums: 2, decisive: { name: 'rmse', higherIsBetter: false },
    add(sums, outputs, width, from, to, { values }) {
      if (values!.length !== (to - from) * width) {
        throw new ParticlizeError({ place: 'labels', cause: `there are ${values!.length / (to - from)} target values a sample, but the model gives ${width}` });
      }
      for (let row = from; row < to; row++) {
        let [squares, distances] = [0, 0];
        for (let at = 0; at < width; at++) {
          const error = outputs[row * width + at]! - values![(row - from) * width + at]!;
          squares += error * error;
          distances += Math.abs(error);
        }
        sums[0]! += squares / width;
        sums[1]! += distances / width;
      }
    },
    slope(into, outputs, width, { values }) {
      for (let at = 0; at < into.length; at++) into[at] = (2 * (outputs[at]! - values![at]!)) / width;
    },
    scatter(into, _, width, random) {
      for (let at = 0; at < into.length; at++) into[at] = Math.sqrt(2 / width) * (random() < 0.5 ? -1 : 1);
    },
    finish: (sums, samples) => ({
      loss: sums[0]! / samples, metrics: { rmse: Math.sqrt(sums[0]! / samples), mae: sums[1]! / samples, mse: sums[0]! / samples },
    }),
  };
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

function softmaxRows(into: Float32Array, outputs: Float32Array, width: number): void {
  for (let start = 0; start < into.length; start += width) {
    let [largest, total] = [-Infinity, 0];
    for (let at = start; at < start + width; at++) if (outputs[at]! > largest) largest = outputs[at]!;
    for (let at = start; at < start + width; at++) total += into[at] = Math.exp(outputs[at]! - largest);
    for (let at = start; at < start + width; at++) into[at]! /= total;
  }
}

const passing = new Set(['Identity', 'Dropout', 'Cast', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Walks back from the output over operators that only rearrange, to a softmax or sigmoid if there is one. */
export function closingActivation(graph: ModelGraph, output: string): Ending {
  const { producer } = indexOf(graph);
  let node: GraphNode | undefined = producer.get(output);
  while (node && passing.has(node.op)) node = producer.get(node.inputs[0]!);
  if (node?.op === 'Softmax' || node?.op === 'LogSoftmax') return { kind: 'softmax', value: node.inputs[0]! };
  if (node?.op === 'Sigmoid') return { kind: 'sigmoid', value: node.inputs[0]! };
  return { kind: 'none', value: output };
}

/** Class numbers; rows of several numbers are one-hot. */
function classesOf(labels: NdArray, count: number): Int32Array {
  const values = asFloat32(labels);
  const width = values.length / count;
  if (width === 1) return Int32Array.from(values);
  return Int32Array.from({ length: count }, (_, row) => {
    const cells = values.subarray(row * width, (row + 1) * width);
    return cells.indexOf(cells.reduce((most, value) => Math.max(most, value), -Infinity));
  });
}
