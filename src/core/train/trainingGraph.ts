import { differentiate, NoGradientError, type Differentiated } from '../graph/differentiate';
import { int, readsOf } from '../graph/attributes';
import { ParticlizeError, type Finding } from '../graph/errors';
import { GraphOnGraph } from '../graph/graphBuilder';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { addDistillation, addLoss, type Aim } from './aim';
import { mergeEqual } from './mergeEqual';
import { optimiserFor, type Optimiser, type OptimiserOptions } from './optimisers';
import { trainableWeights } from './trainable';
import { toTrainingMode, withBatchStatistics, type Mask } from './trainingMode';

export interface TrainingGraphOptions {
  readonly optimiser: OptimiserOptions;
  /** Gradients are scaled down together when their global norm is above this (Pascanu et al., 2013). */
  readonly clipNorm?: number;
  /** alpha · distance to the teacher at a temperature + (1 - alpha) · loss (Hinton et al., 2015). */
  readonly distillation?: { readonly temperature: number; readonly alpha: number };
  /** Layers whose weights stay: whole names, or the folder that they are in. */
  readonly frozenLayers?: readonly string[];
  /** Batch normalisation computes with its running statistics and leaves them; its scales and shifts are still trained. */
  readonly freezeBatchNorm?: boolean;
  /** Layers that drop at random in training; off unless wanted, as fine-tuning a finished model seldom gains by it. */
  readonly dropout?: boolean;
  /** Adds what sums gradients of several runs up, for batches that memory cannot hold at once. */
  readonly accumulate?: boolean;
}

/** An array that goes from step to step: fed under `name`, fetched under `next`. */
export interface StateArray {
  readonly name: string;
  readonly next: string;
  readonly shape: readonly number[];
  readonly kind: 'weight' | 'statistic' | 'slot';
}

export interface TrainingGraph {
  /** One program: forward in training, loss, gradients and update. */
  readonly graph: ModelGraph;
  readonly loss: string;
  readonly targets: string;
  /** Where the teacher's outputs are fed. */
  readonly teacher?: string;
  readonly masks: readonly Mask[];
  /** Weights and running statistics (named as the model's tensors), then what the optimiser keeps. */
  readonly state: readonly StateArray[];
  /** Summed gradients, when they are accumulated, and the input that holds a run's share of the batch. */
  readonly accumulated?: { readonly share: string; readonly gradients: readonly StateArray[] };
  /** The norm of all gradients before clipping. */
  readonly gradientNorm?: string;
  readonly optimiser: Optimiser;
  /** Inputs of the optimiser's scalars by their names. */
  readonly scalars: ReadonlyMap<string, string>;
  readonly findings: readonly Finding[];
}

/**
 * A training step as one graph. What it changes are tensors of the model, so that they are fed under their own names and the
 * results fetched. Rejects with a ParticlizeError when nothing can be trained.
 */
export async function trainingGraph(model: ModelGraph, aim: Aim, options: TrainingGraphOptions): Promise<TrainingGraph> {
  const frozen = (layer: string): boolean => options.frozenLayers?.some((name) => layer === name || layer.startsWith(`${name}/`) || layer.startsWith(`${name}.`)) ?? false;
  const chosen = await trainableWeights(model, frozen);
  const mode = await toTrainingMode(model, {
    fixedStatistics: (layer) => (options.freezeBatchNorm ?? false) || frozen(layer), dropout: options.dropout ?? false,
  });
  const builder = new GraphOnGraph(mode.graph);
  const targets = builder.input('targets', aim.targets);
  const teacher = options.distillation && builder.input('teacher', { dtype: 'float32', shape: aim.shape });
  const loss = teacher ? mixedLoss(builder, aim, targets, teacher, options.distillation!) : addLoss(builder, aim, targets);
  const lossGraph = await builder.finish([loss]);
  const { differentiated, weights, findings } = await gradientsOf(lossGraph, loss, chosen.weights);

  const update = new GraphOnGraph(differentiated.graph);
  const sizeOf = (name: string): readonly number[] => model.tensors.get(name)!.shape;
  const input = (hint: string, shape: readonly number[]): string => update.input(hint, { dtype: 'float32', shape });
  let gradients = new Map(weights.map((name) => [name, differentiated.gradients.get(name)!]));
  let accumulated: TrainingGraph['accumulated'];
  if (options.accumulate) {
    const share = input('share', []);
    const sums = weights.map((weight): StateArray => {
      const name = input(`${weight}/gradient`, sizeOf(weight));
      const next = update.node('Add', [name, update.node('Mul', [gradients.get(weight)!, share])]);
      return { name, next, shape: sizeOf(weight), kind: 'slot' };
    });
    accumulated = { share, gradients: sums };
    gradients = new Map(weights.map((weight, index) => [weight, sums[index]!.name]));
  }
  const gradientNorm = options.clipNorm === undefined ? undefined : norm(update, [...gradients.values()]);
  if (gradientNorm && options.clipNorm !== undefined) gradients = clipped(update, gradients, gradientNorm, options.clipNorm);

  const optimiser = optimiserFor(options.optimiser);
  const scalars = new Map(Object.keys(optimiser.scalars(1, 1)).map((name) => [name, input(name, [])]));
  const state: StateArray[] = [];
  const kept: StateArray[] = [];
  for (const weight of weights) {
    const slots = optimiser.slots.map((slot) => input(`${weight}/${slot}`, sizeOf(weight)));
    const made = optimiser.update(update, weight, gradients.get(weight)!, slots, (name) => scalars.get(name)!);
    state.push({ name: weight, next: made.weight, shape: sizeOf(weight), kind: 'weight' });
    slots.forEach((name, index) => kept.push({ name, next: made.slots[index]!, shape: sizeOf(weight), kind: 'slot' }));
  }
  for (const [name, next] of mode.statistics) state.push({ name, next, shape: sizeOf(name), kind: 'statistic' });
  const all = [...state, ...kept];
  const whole = await update.finish([loss, ...all.map(({ next }) => next)]);
  const unbiased = /torch/i.test(model.producer) || /^(pytorch|pt2)/.test(model.format);
  const { graph, nameOf } = await mergeEqual(withBatchStatistics(whole, unbiased));
  const renamed = (array: StateArray): StateArray => ({ ...array, next: nameOf(array.next) });
  return {
    graph, loss: nameOf(loss), targets, teacher, masks: mode.masks, state: all.map(renamed), optimiser, scalars,
    accumulated: accumulated && { ...accumulated, gradients: accumulated.gradients.map(renamed) },
    gradientNorm: gradientNorm && nameOf(gradientNorm), findings: [...chosen.findings, ...findings],
  };
}

function mixedLoss(builder: GraphOnGraph, aim: Aim, targets: string, teacher: string, { temperature, alpha }: { temperature: number; alpha: number }): string {
  const part = (loss: string, share: number): string => builder.node('Mul', [loss, builder.float32([share], [])]);
  const soft = addDistillation(builder, aim, teacher, temperature);
  return builder.node('Add', [part(soft, alpha), part(addLoss(builder, aim, targets), 1 - alpha)]);
}

interface Found {
  readonly differentiated: Differentiated;
  readonly weights: readonly string[];
  readonly findings: readonly Finding[];
}

/** Where an operator has no gradient, the weights in front of it stay as they are, and a finding says so. */
async function gradientsOf(graph: ModelGraph, loss: string, wanted: readonly string[]): Promise<Found> {
  const findings: Finding[] = [];
  const used = valuesBefore(graph, [loss]);
  let weights = wanted.filter((name) => used.has(name));
  let cause: unknown;
  while (weights.length > 0) {
    try {
      return { differentiated: await differentiate(graph, { of: loss, withRespectTo: weights }), weights, findings };
    } catch (error) {
      if (!(error instanceof NoGradientError)) throw error;
      cause = error;
      const before = valuesBefore(graph, error.node.inputs);
      const left = weights.filter((name) => !before.has(name));
      if (left.length === weights.length) throw error;
      findings.push({
        severity: 'warning', place: error.node.layer,
        message: `${weights.length - left.length} weights in front of here are not trained: ${error.parts.cause}.`,
      });
      weights = left;
    }
  }
  const reason = cause instanceof ParticlizeError ? `: ${cause.parts.cause}` : '';
  throw new ParticlizeError({
    place: cause instanceof NoGradientError ? cause.node.layer : undefined, cause: `the model has no weights that can be trained${reason}`,
    action: 'Train it with its own program, or freeze fewer layers',
  });
}

/** Everything that these values depend on, themselves included. */
function valuesBefore(graph: ModelGraph, values: readonly string[]): ReadonlySet<string> {
  const { producer } = indexOf(graph);
  const seen = new Set<string>();
  const open = [...values];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const node: GraphNode | undefined = producer.get(name);
    if (node) open.push(...readsOf(node));
  }
  return seen;
}

function norm(builder: GraphOnGraph, gradients: readonly string[]): string {
  const squares = gradients.map((gradient) => builder.node('ReduceSumSquare', [gradient], { keepdims: int(0) }));
  return builder.node('Sqrt', [squares.length === 1 ? squares[0]! : builder.node('Sum', squares)]);
}

function clipped(builder: GraphOnGraph, gradients: ReadonlyMap<string, string>, total: string, most: number): Map<string, string> {
  const number = (value: number): string => builder.float32([value], []);
  // The small term is PyTorch's, so that the same bound gives the same step.
  const ratio = builder.node('Div', [number(most), builder.node('Add', [total, number(1e-6)])]);
  const factor = builder.node('Min', [ratio, number(1)]);
  return new Map([...gradients].map(([weight, gradient]) => [weight, builder.node('Mul', [gradient, factor])]));
}
