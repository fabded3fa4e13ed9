import type { Dataset } from '../data/dataset';
import { closingActivation, decidingOutput, targetsOf, widthOf } from '../evaluate/metrics';
import { ParticlizeError } from '../graph/errors';
import type { ModelGraph, Shape } from '../graph/modelGraph';
import { asNumbers, isFloat } from '../graph/numeric';
import type { GraphBuilder } from '../graph/ops/operator';
import { elementCount, type DType, type NdArray } from '../graph/tensor';
import { binaryCrossEntropy, binaryDistillation, distillation, maskedCrossEntropy, meanSquaredError, pairwiseRanking, softmaxCrossEntropy } from './losses';

export type LossKind = 'crossEntropy' | 'binary' | 'squaredError' | 'nextToken' | 'pairwise';

/** What training brings down: a loss on one value of the model. */
export interface Aim {
  readonly kind: LossKind;
  /** The value that the loss reads: what goes into a closing softmax or sigmoid, so that no precision is lost in it. */
  readonly output: string;
  /** Numbers a sample in it, where the model says so. */
  readonly width?: number;
  readonly shape?: Shape;
  /** Type and shape of the targets' feed. */
  readonly targets: { readonly dtype: DType; readonly shape: Shape };
}

type AimData = Pick<Dataset, 'task' | 'title' | 'classes' | 'output'>;

/** The loss that fits the task and the model; `wanted` chooses where several do. Throws a ParticlizeError when none does. */
export function aimOf(graph: ModelGraph, data: AimData, wanted?: LossKind): Aim {
  const info = decidingOutput(graph, data);
  const ending = closingActivation(graph, info.name);
  const width = widthOf(info);
  const one = width === 1 || ending.kind === 'sigmoid';
  const fitting: Readonly<Record<Dataset['task'], readonly LossKind[]>> = {
    classification: [one ? 'binary' : 'crossEntropy'],
    regression: ['squaredError'],
    reconstruction: ['squaredError'],
    nextToken: ['nextToken'],
    ranking: width === undefined || width === 1 ? ['binary', 'pairwise'] : ['crossEntropy'],
  };
  const kinds = fitting[data.task];
  const kind = wanted ?? kinds[0]!;
  if (!kinds.includes(kind)) {
    throw new ParticlizeError({ file: data.title, place: 'task', cause: `the loss '${kind}' does not fit ${data.task} with this model`, action: `Use ${kinds.join(' or ')}` });
  }
  // Regression is judged by what the model gives, closing activation and all.
  const output = kind === 'squaredError' ? info.name : ending.value;
  const shape = (graph.values.get(output) ?? info).shape;
  const targets = kind === 'crossEntropy' ? { dtype: 'int64', shape: [null] } as const
    : kind === 'nextToken' ? { dtype: 'int64', shape: (shape ?? [null, null, null]).slice(0, -1) } as const
      : kind === 'pairwise' ? { dtype: 'float32', shape: [null, 1] } as const
        : { dtype: 'float32', shape: shape ?? [null, width ?? null] } as const;
  return { kind, output, width, shape, targets };
}

/** Adds the loss, a scalar. */
export function addLoss(builder: GraphBuilder, aim: Aim, targets: string): string {
  switch (aim.kind) {
    case 'crossEntropy': return softmaxCrossEntropy(builder, inRows(builder, aim, aim.output), targets);
    case 'nextToken': return maskedCrossEntropy(builder, aim.output, targets);
    case 'binary': return binaryCrossEntropy(builder, aim.output, targets);
    case 'pairwise': return pairwiseRanking(builder, aim.output, targets);
    case 'squaredError': return meanSquaredError(builder, aim.output, targets);
  }
}

/** Adds how far the model is from its teacher, whose value of `aim.output` is fed; a scalar. */
export function addDistillation(builder: GraphBuilder, aim: Aim, teacher: string, temperature: number): string {
  if (aim.kind === 'squaredError') return meanSquaredError(builder, aim.output, teacher);
  if (aim.kind === 'binary' || aim.kind === 'pairwise') return binaryDistillation(builder, aim.output, teacher, temperature);
  return distillation(builder, inRows(builder, aim, aim.output), inRows(builder, aim, teacher), temperature);
}

function inRows(builder: GraphBuilder, { kind, shape, width }: Aim, value: string): string {
  return kind === 'crossEntropy' && shape?.length !== 2 && width ? builder.node('Reshape', [value, builder.int64([-1, width])]) : value;
}

/** The right answers of samples [from, to) as the loss reads them. Rejects with a ParticlizeError when there are none. */
export async function targetArray(aim: Aim, data: Dataset, from: number, to: number): Promise<NdArray> {
  if (aim.kind === 'nextToken') return tokenTargets(aim, data, from, to);
  const count = to - from;
  if (data.task === 'classification') {
    const classes = (await targetsOf(data, from, to)).classes!;
    if (aim.kind === 'crossEntropy') return int64Of(classes, [count]);
    const width = aim.width ?? 1;
    const values = width === 1 ? Float32Array.from(classes) : new Float32Array(count * width);
    if (width > 1) classes.forEach((label, row) => (values[row * width + label] = 1));
    return { dtype: 'float32', shape: fitted(aim.targets.shape, count, values.length), data: values };
  }
  const { values } = await targetsOf(data, from, to);
  const bad = values!.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const row = from + Math.floor((bad * count) / values!.length);
    throw new ParticlizeError({ file: data.title, place: 'labels', cause: `sample ${row} has a target that is not a number`, action: 'Repair that row or leave it out of the split' });
  }
  if (aim.kind === 'crossEntropy') return int64Of(values!, [count]);
  const wanted = aim.width === undefined ? values!.length : count * aim.width;
  if (values!.length !== wanted) {
    throw new ParticlizeError({ file: data.title, place: 'labels', cause: `there are ${values!.length / count} target values a sample, but the model gives ${aim.width}` });
  }
  return { dtype: 'float32', shape: fitted(aim.targets.shape, count, values!.length), data: values! };
}

/** Each place's next token: the labels, or else the input moved by one; -1 where there is none. */
async function tokenTargets(aim: Aim, data: Dataset, from: number, to: number): Promise<NdArray> {
  const labels = await data.labels(from, to);
  const shape = fitted(aim.targets.shape, to - from, labels && elementCount(labels.shape));
  const [length = 1] = shape.slice(1);
  if (labels) {
    const numbers = asNumbers(labels);
    const each = numbers.length / (to - from);
    if (shape.length === 1 || each === length) return int64Of(numbers, shape.length === 1 ? [to - from] : [to - from, each]);
    if (each !== 1) throw new ParticlizeError({ file: data.title, place: 'labels', cause: `there are ${each} next tokens a sample, but the model gives ${length}` });
    // One answer for a whole text is what comes behind its end.
    const places = new Array<number>((to - from) * length).fill(-1);
    numbers.forEach((token, row) => (places[(row + 1) * length - 1] = token));
    return int64Of(places, [to - from, length]);
  }
  const tokens = [...(await data.inputs(from, to)).values()].find((array) => !isFloat(array.dtype) && array.shape.length === 2);
  if (!tokens || shape.length !== 2) throw new ParticlizeError({ file: data.title, place: 'labels', cause: 'there are no labels, and no input of tokens to foretell', action: 'Name labels in the recipe' });
  const [rows = 0, width = 0] = tokens.shape;
  const numbers = asNumbers(tokens);
  return int64Of(numbers.map((_, at) => ((at + 1) % width === 0 ? -1 : numbers[at + 1]!)), [rows, width]);
}

function fitted(shape: Shape, count: number, elements: number | undefined): readonly number[] {
  const known = shape.slice(1).reduce<number>((product, dim) => product * (dim ?? 1), 1);
  return [count, ...shape.slice(1).map((dim) => dim ?? (elements === undefined ? 1 : elements / count / known))];
}

function int64Of(values: ArrayLike<number>, shape: readonly number[]): NdArray {
  return { dtype: 'int64', shape, data: BigInt64Array.from({ length: values.length }, (_, index) => BigInt(values[index]!)) };
}
