import { batchModel } from '../evaluate/batching';
import { modelCost, nodeMacs } from '../evaluate/cost';
import { ParticlizeError } from '../graph/errors';
import { contextOf } from '../graph/inferShapes';
import type { ModelGraph } from '../graph/modelGraph';
import { elementCount } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import { actsBefore, onlyConsumer } from './ablation/cut';
import type { BehaviourContext } from './behaviour';
import { canBeCarried, openCarried, valuesCarried, type CarriedGroup, type CarriedProgram } from './carried';
import { horizonOf } from './horizon';
import { openParticleGradients, type ByGroup, type ForwardRun } from './particleGradients';

/** First-order changes of the outputs without each particle, taken where the change has gone through the next layers exactly. */
export interface EstimateGradients {
  readonly groups: readonly ParticleGroup[];
  /** Groups whose change is carried through at least the next layer. */
  readonly carried: ReadonlySet<ParticleGroup>;
  /** Those of them whose change is carried to the output itself. */
  readonly exact: ReadonlySet<ParticleGroup>;
  readonly samples: number;
  forward(from: number, to: number): Promise<ForwardRun>;
  /** By seed ([samples, width]: weights of the outputs) what a particle adds to them: minus what they change by without it. */
  passes(run: ForwardRun, seeds: readonly Float32Array[]): Promise<readonly ByGroup[]>;
  dispose(): Promise<void>;
}

export interface CarryOptions {
  readonly output: string;
  /** Outputs that are followed, at most. */
  readonly followed: number;
  /** Weighted sums through which changes are carried at most; 0: gradients alone. */
  readonly layers: number;
}

/** Multiply-accumulates for carrying a change that may be spent, for each of the backward passes (which cost about two forward passes). */
const carryingShare = 2;
/** Multiply-accumulates that moving one element about is worth. */
const movedElement = 30;

export async function openEstimateGradients(context: BehaviourContext, groups: readonly ParticleGroup[], options: CarryOptions): Promise<EstimateGradients> {
  const model = await batchModel(context.graph);
  const plans = model.fixedBatch === undefined && options.layers > 0 ? planned(model.graph, groups, options) : [];
  try {
    return await opened(context, groups, plans, options);
  } catch (error) {
    if (!(error instanceof ParticlizeError) || !plans.length) throw error;
    // Some operator on the way has no gradient or does not run by itself: gradients of what can be differentiated, then.
    return opened(context, groups, [], options);
  }
}

async function opened(
  context: BehaviourContext, groups: readonly ParticleGroup[], plans: readonly CarriedGroup[], { output, followed }: CarryOptions,
): Promise<EstimateGradients> {
  const { graph } = await batchModel(context.graph);
  const carried = new Set(plans.map(({ group }) => group));
  const exact = new Set(plans.filter(({ horizon }) => horizon.ends.every(({ value }) => value === output)).map(({ group }) => group));
  const ends = plans.flatMap(({ horizon }) => horizon.ends);
  const gradients = await openParticleGradients(context, groups.filter((group) => !carried.has(group)), {
    output, recurrence: true, ends, kept: [...new Set(plans.flatMap(valuesCarried))],
  });
  const distinct = new Map(ends.map((end) => [keyOf(end), end]));
  const slopeBytes = [...distinct.values()].reduce((sum, { value }) => sum + 4 * elementsOf(graph, value), 0) * followed;
  const samples = Math.max(1, Math.min(gradients.samples, plans.length ? Math.floor(context.memoryBytes / 2 / Math.max(1, slopeBytes)) : Infinity));
  const programs: CarriedProgram[] = [];
  const dispose = async (): Promise<void> => void await Promise.all([gradients, ...programs].map((one) => one.dispose()));
  try {
    for (const plan of plans) programs.push(await openCarried(context.engine, graph, plan, samples));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    groups: [...gradients.groups, ...carried], carried, exact, samples, dispose,
    forward: (from, to) => gradients.forward(from, to),
    async passes(run, seeds) {
      const results: { products: Map<ParticleGroup, Float32Array>; ends: readonly Float32Array[] }[] = [];
      for (const seed of seeds) {
        const { products, ends: slopes } = await gradients.slopes(run, seed);
        results.push({ products: new Map(products), ends: slopes });
      }
      let first = 0;
      for (const program of programs) {
        const count = program.carried.horizon.ends.length;
        const slopes = Array.from({ length: count }, (_, end) => results.map((result) => result.ends[first + end]!));
        const changes = await program.run(run.values, slopes, run.to - run.from);
        changes.forEach((change, turn) => results[turn]!.products.set(program.carried.group, change.map((value) => -value)));
        first += count;
      }
      return results.map(({ products }) => products);
    },
  };
}

function keyOf({ value, readers }: { readonly value: string; readonly readers?: readonly { readonly name: string }[] }): string {
  return JSON.stringify([value, readers?.map(({ name }) => name)]);
}

/** How far each group's changes are carried: as far as the cost allows, the cheapest steps first. */
function planned(graph: ModelGraph, groups: readonly ParticleGroup[], options: CarryOptions): readonly CarriedGroup[] {
  const budget = carryingShare * options.followed * 2 * Math.max(1, modelCost(graph).macs);
  const steps = groups.map((group) => {
    const found: { plan: CarriedGroup; cost: number }[] = [];
    for (let layers = 1; layers <= options.layers; layers++) {
      const plan = carriedThrough(graph, group, options.output, layers);
      if (!plan) break;
      const cost = costOf(graph, plan, options.followed);
      if (found.length && cost <= found[0]!.cost) found.shift();
      found.push({ plan, cost });
    }
    return found;
  });
  const chosen = new Map<number, { plan: CarriedGroup; cost: number }>();
  let spent = 0;
  for (;;) {
    const next = steps.flatMap((list, at) => (list.length ? [{ at, more: list[0]!.cost - (chosen.get(at)?.cost ?? 0) }] : []))
      .sort((one, two) => one.more - two.more)[0];
    if (!next || spent + next.more > budget) break;
    spent += next.more;
    chosen.set(next.at, steps[next.at]!.shift()!);
  }
  return [...chosen.values()].map(({ plan }) => plan);
}

function carriedThrough(graph: ModelGraph, group: ParticleGroup, output: string, layers: number): CarriedGroup | undefined {
  if (group.kind === 'unit') return undefined;
  const acts = actsBefore({ graph }, group, output);
  if (acts.some(({ value }) => value === output)) return undefined;
  const consumer = acts === group.acts ? onlyConsumer({ graph }, group, output) : undefined;
  const horizon = horizonOf(graph, consumer ? [consumer.rule.output] : acts.map(({ value }) => value), output, { layers, through: consumer ? 1 : 0 });
  const carried = horizon && { group, horizon, acts, consumer };
  return carried && canBeCarried(graph, carried) ? carried : undefined;
}

/** Multiply-accumulates a sample for all particles of the group. */
function costOf(graph: ModelGraph, { group, horizon, consumer }: CarriedGroup, followed: number): number {
  let cost = consumer ? (nodeMacs(graph, consumer.node) ?? 0) / group.count * termsSlower : 0;
  for (const node of horizon.inside) cost += (nodeMacs(graph, node) ?? 0) + elementsOf(graph, node.outputs[0]!) * movedElement;
  for (const { value } of horizon.ends) cost += elementsOf(graph, value) * (followed + movedElement);
  return cost * group.count;
}

/** Terms are computed as convolutions of many small groups. */
const termsSlower = 20;

function elementsOf(graph: ModelGraph, value: string): number {
  return elementCount(contextOf(graph).facts(value).shape?.slice(1).map((size) => size ?? 1) ?? []);
}
