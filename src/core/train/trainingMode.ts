import { floatOf, int, intOf, withAttributes } from '../graph/attributes';
import { unique } from '../graph/finishGraph';
import { indexOf, type Attribute, type GraphNode, type ModelGraph, type Shape, type ValueInfo } from '../graph/modelGraph';
import { asFloat32, float32Array, int64Array } from '../graph/numeric';
import { tensorOf, type Tensor } from '../graph/tensor';

export interface TrainingMode {
  readonly graph: ModelGraph;
  /** Running means and variances, with the value that holds each after the step. */
  readonly statistics: ReadonlyMap<string, string>;
  /** Inputs that hold dropout masks: 0, or 1 / (1 - ratio); in the shape of what they fall on. */
  readonly masks: readonly Mask[];
}

export interface Mask {
  readonly name: string;
  readonly shape: Shape;
  readonly ratio: number;
}

export interface TrainingModeOptions {
  /** Layers whose normalisation keeps its running statistics and computes with them, as at inference. */
  readonly fixedStatistics: (layer: string) => boolean;
  /** Whether dropout layers drop; files made for inference often have none left. */
  readonly dropout: boolean;
}

/**
 * The forward pass as in training: batch normalisation takes the statistics of the batch and moves the running ones on, and
 * dropout, if wanted, multiplies by a mask that is fed. Batch normalisation is left as one operator (training_mode 1), so
 * that it is differentiated as one; see withBatchStatistics.
 */
export async function toTrainingMode(graph: ModelGraph, options: TrainingModeOptions): Promise<TrainingMode> {
  const names = new Set([...graph.tensors.keys(), ...graph.values.keys(), ...graph.inputs.map(({ name }) => name)]);
  const values = new Map(graph.values);
  const statistics = new Map<string, string>();
  const masks: Mask[] = [];
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    const [x = '', , , mean = '', variance = ''] = node.inputs;
    if (node.op === 'BatchNormalization' && graph.tensors.has(mean) && graph.tensors.has(variance) && !options.fixedStatistics(node.layer)) {
      // A shared layer moves its statistics on at every use.
      const inputs = [...node.inputs.slice(0, 3), ...[mean, variance].map((name) => statistics.get(name) ?? name)];
      const next = [mean, variance].map((name) => {
        const made = unique(`${name}/next`, names);
        statistics.set(name, made);
        values.set(made, { name: made, dtype: 'float32', shape: graph.tensors.get(name)!.shape });
        return made;
      });
      nodes.push({ ...withAttributes(node, { set: { training_mode: int(1) } }), inputs, outputs: [node.outputs[0]!, ...next] });
    } else if (node.op === 'Dropout') {
      const { ratio, shape } = options.dropout ? await dropoutOf(graph, node) : { ratio: 0, shape: undefined };
      if (ratio > 0 && ratio < 1 && shape) {
        const name = unique('dropoutMask', names);
        masks.push({ name, shape, ratio });
        nodes.push({ ...node, op: 'Mul', inputs: [x, name], outputs: node.outputs.slice(0, 1), attributes: {} });
      } else {
        nodes.push({ ...node, inputs: [x] });
      }
    } else {
      nodes.push(node);
    }
  }
  const inputs: ValueInfo[] = [...graph.inputs, ...masks.map(({ name, shape }) => ({ name, shape, dtype: 'float32' as const }))];
  return { graph: { ...graph, nodes, values, inputs }, statistics, masks };
}

async function dropoutOf(graph: ModelGraph, node: GraphNode): Promise<{ ratio: number; shape?: Shape }> {
  const tensor = graph.tensors.get(node.inputs[1] ?? '');
  const ratio = tensor ? asFloat32(await tensor.read())[0] ?? 0.5 : 0.5;
  return { ratio, shape: graph.values.get(node.inputs[0]!)?.shape };
}

/**
 * Writes batch normalisation in training out in operators that every engine has: statistics of the batch, then the
 * operator's inference form with them. `unbiased`: the running variance is that of a sample (divided by n - 1, as PyTorch
 * has it) instead of that of the batch alone (ONNX's definition, and Keras').
 */
export function withBatchStatistics(graph: ModelGraph, unbiased: boolean): ModelGraph {
  const tensors = new Map(graph.tensors);
  const values = new Map(graph.values);
  const nodes: GraphNode[] = [];
  const names = new Set([...tensors.keys(), ...values.keys(), ...indexOf(graph).producer.keys()]);
  const constant = (name: string, tensor: Omit<Tensor, 'name'>): string => {
    if (!tensors.has(name)) tensors.set(name, { ...tensor, name });
    return name;
  };
  const axesOf = (rank: number): string =>
    constant(`particlize/axes${rank}`, tensorOf('', int64Array([0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2)])));
  const number = (value: number): string => constant(`particlize/number${value}`, tensorOf('', float32Array([value], [])));
  for (const node of graph.nodes) {
    if (node.op !== 'BatchNormalization' || intOf(node, 'training_mode', 0) !== 1) {
      nodes.push(node);
      continue;
    }
    const [x = '', scale = '', bias = '', mean = '', variance = ''] = node.inputs;
    const [y = '', nextMean = '', nextVariance = ''] = node.outputs;
    const rank = graph.values.get(x)?.shape?.length ?? graph.inputs.find(({ name }) => name === x)?.shape?.length ?? 4;
    const add = (op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, output = ''): string => {
      const made = output || unique(`particlize/${node.name}/${op}`, names);
      nodes.push({ name: output ? `${node.name}/${op}/${output}` : made, op, domain: '', inputs, outputs: [made], attributes, layer: node.layer });
      return made;
    };
    const axes = axesOf(rank);
    const flat = constant('particlize/flat', tensorOf('', int64Array([-1])));
    const level = add('ReduceMean', [x, axes], { keepdims: int(1) });
    const centred = add('Sub', [x, level]);
    const spread = add('ReduceMean', [add('Mul', [centred, centred]), axes], { keepdims: int(1) });
    const [batchMean, batchVariance] = [level, spread].map((value) => add('Reshape', [value, flat]));
    add('BatchNormalization', [x, scale, bias, batchMean!, batchVariance!], { epsilon: { type: 'float', value: floatOf(node, 'epsilon', 1e-5) } }, y);
    const keep = floatOf(node, 'momentum', 0.9);
    const move = (before: string, now: string, output: string): void => {
      if (output) add('Add', [add('Mul', [before, number(keep)]), add('Mul', [now, number(1 - keep)])], {}, output);
    };
    move(mean, batchMean!, nextMean);
    move(variance, unbiased ? add('Mul', [batchVariance!, sampleFactor(add, x, batchVariance!, number)]) : batchVariance!, nextVariance);
  }
  return { ...graph, nodes, tensors, values };
}

/** n / (n - 1), n the numbers a channel has in the batch. */
function sampleFactor(
  add: (op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>) => string, x: string, perChannel: string, number: (value: number) => string,
): string {
  const size = (value: string): string => add('Cast', [add('Size', [value])], { to: int(1) });
  const count = add('Div', [size(x), size(perChannel)]);
  return add('Div', [count, add('Max', [add('Sub', [count, number(1)]), number(1)])]);
}
