import { batchModel } from '../evaluate/batching';
import { objectiveFor, targetsOf, widthOf, type Objective, type Targets } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import type { ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { openExactChanges, type ExactChanges } from './exactChanges';
import { openEstimateGradients, type EstimateGradients } from './estimateGradients';
import type { ByGroup, ForwardRun } from './particleGradients';

export interface EstimateOptions {
  /** Backward passes a sample at most: one for each output where there are no more of them. */
  readonly outputs?: number;
  /** Whether layers of few particles are measured instead, and the others scaled by what was measured; true when left out. */
  readonly measuring?: boolean;
  /** Weighted sums through which a change is carried exactly where that is cheap; 0: the outputs are linearised in the particles themselves. */
  readonly layers?: number;
  /** What measures; for several uses in a row. */
  readonly exact?: ExactChanges;
}

/** By row; NaN where nothing could be estimated. */
export interface LossEstimate {
  readonly loss: Float32Array;
  readonly metric: Float32Array;
  /** Rows whose numbers are exact. */
  readonly measured: ReadonlySet<number>;
}

const mostOutputs = 24;
/** Beyond three layers a change has mostly reached the output anyway, or costs more than measuring. */
const carriedLayers = 3;
/** Directions in which curvature is measured where not every output is followed. */
const scatterPasses = 4;
/** Numbers that are judged for a batch and all particles at most; beyond that outputs are not judged one by one. */
const mostJudged = 2 ** 28;
/** Particles of a layer that are measured on the first batch, to scale the layer's estimates. */
const calibrating = 5;
/** Forward passes that may be spent on measuring small layers, for each backward pass (which costs two to three of them). */
const measuredShare = 2;

/**
 * Estimates what the model loses without each of its particles, from a few passes for all of them together.
 *
 * 1. What changes without the particle is carried exactly through the next layers, as far as that is cheap (horizon.ts), the outputs
 *    are linearised in what arrives there, and the loss of the changed outputs is exact: one backward pass an output. Of many
 *    outputs those of steepest loss are followed one by one, the others together (slope, and Monte-Carlo curvature).
 * 2. Layers with so few particles that silencing each of them costs no more than these passes (heads, factors) are measured.
 * 3. What linearity misses elsewhere (gates that saturate, norms, attention) mostly scales a layer's changes alike: a few
 *    particles are silenced on the first batch, and the line through the origin is taken from them.
 */
export async function estimateLosses(
  context: BehaviourContext, groups: readonly ParticleGroup[], { outputs = mostOutputs, measuring = true, layers = carriedLayers, exact }: EstimateOptions = {},
): Promise<LossEstimate> {
  const { data, table } = context;
  const { graph } = await batchModel(context.graph);
  const objective = objectiveFor(graph, data);
  // What acts on the output itself is exact as it is.
  const inside = groups.filter((group) => group.acts.every(({ value }) => value !== objective.output) && group.producer.value !== objective.output);
  const small = measuring ? fewest(graph, inside, objective.output, outputs) : [];
  const linear = await linearEstimates(context, groups.filter((group) => !small.includes(group)), objective, { most: outputs, layers });
  const before = objective.finish(linear.before, data.count);
  const { name } = objective.decisive;
  const [loss, metric] = [table.emptyValues(), table.emptyValues()];
  linear.changes.forEach((change, row) => {
    const after = objective.finish(change.map((value, index) => value + linear.before[index]!), data.count);
    loss[row] = after.loss - before.loss;
    metric[row] = after.metrics[name]! - before.metrics[name]!;
  });
  const measured = new Set<number>();
  if (!measuring) return { loss, metric, measured };
  const changes = exact ?? await openExactChanges(context);
  try {
    for (const [row, found] of await changes.of(small.flatMap(rowsOfGroup))) {
      measured.add(row);
      [loss[row], metric[row]] = [found.loss, found.metric];
    }
    for (const group of inside.filter((candidate) => !small.includes(candidate) && !linear.exact.has(candidate))) {
      const slope = await slopeOf(changes, linear.firstCount, rowsOfGroup(group).flatMap((row) => {
        const estimated = linear.first.get(row);
        return estimated === undefined ? [] : [{ row, estimated }];
      }));
      for (const row of rowsOfGroup(group)) loss[row]! *= slope;
    }
  } finally {
    if (!exact) await changes.dispose();
  }
  return { loss, metric, measured };
}

interface LinearEstimates {
  /** Sums of the objective over all samples as the model is, and by row what changes in them. */
  readonly before: Float64Array;
  readonly changes: ReadonlyMap<number, Float64Array>;
  /** Mean change of the loss over the first batch, by row. */
  readonly first: ReadonlyMap<number, number>;
  readonly firstCount: number;
  /** Backward passes a sample. */
  readonly passes: number;
  /** Groups whose change was carried to the output itself, and all of that judged: measured, in another way. */
  readonly exact: ReadonlySet<ParticleGroup>;
}

async function linearEstimates(
  context: BehaviourContext, groups: readonly ParticleGroup[], objective: Objective, { most, layers }: { most: number; layers: number },
): Promise<LinearEstimates> {
  const { data, task } = context;
  const gradients = await openEstimateGradients(context, groups, { output: objective.output, followed: most, layers });
  try {
    const random = seededRandom(data.seed);
    const before = new Float64Array(objective.sums);
    const changes = new Map<number, Float64Array>();
    const first = new Map<number, number>();
    let passes = 0;
    let whole = true;
    for (let from = 0; from < data.count; from += gradients.samples) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, 'Estimating losses');
      const to = Math.min(data.count, from + gradients.samples);
      const run = await gradients.forward(from, to);
      const targets = await targetsOf(data, from, to);
      objective.add(before, run.outputs, run.width, 0, to - from, targets);
      const linear = await linearise(gradients, run, objective, targets, { most, random });
      passes = linear.passes;
      whole &&= linear.whole;
      for (const row of gradients.groups.flatMap(rowsOfGroup)) {
        const change = linear.change(row);
        if (from === 0) first.set(row, change[0]! / to);
        const own = changes.get(row);
        if (own) change.forEach((value, index) => (own[index]! += value));
        else changes.set(row, change);
      }
    }
    task?.progress?.(data.count, data.count, 'Estimating losses');
    return { before, changes, first, passes, firstCount: Math.min(data.count, gradients.samples), exact: whole ? gradients.exact : new Set() };
  } finally {
    await gradients.dispose();
  }
}

/** The smallest layers, as many as may be measured. */
function fewest(graph: ModelGraph, groups: readonly ParticleGroup[], output: string, most: number): readonly ParticleGroup[] {
  const width = widthOf(graph.values.get(output) ?? { name: output }) ?? Infinity;
  let left = measuredShare * (width <= most ? width : (most >> 1) + 1 + scatterPasses);
  return [...groups].sort((one, two) => one.count - two.count).filter(({ count }) => (left -= count) >= 0);
}

function rowsOfGroup({ firstRow, count }: ParticleGroup): readonly number[] {
  return Array.from({ length: count }, (_, particle) => firstRow + particle);
}

/**
 * By how much exact changes of the loss exceed estimated ones: the line through the origin and some particles from the
 * largest estimate down, drawn towards 1 by how uncertain it is.
 */
async function slopeOf(changes: ExactChanges, samples: number, estimates: readonly { readonly row: number; readonly estimated: number }[]): Promise<number> {
  const ranked = [...estimates].sort((one, two) => Math.abs(two.estimated) - Math.abs(one.estimated));
  const chosen = Array.from({ length: Math.min(calibrating, ranked.length) }, (_, turn) => ranked[Math.floor((turn * ranked.length) / (2 * calibrating))]!);
  const exact = await changes.of(new Set(chosen.map(({ row }) => row)), samples);
  const points = chosen.flatMap(({ row, estimated }) => (exact.has(row) ? [{ estimated, exact: exact.get(row)!.loss }] : []));
  const squares = points.reduce((sum, { estimated }) => sum + estimated ** 2, 0);
  if (points.length < 3 || !(squares > 0)) return 1;
  const slope = points.reduce((sum, { estimated, exact }) => sum + estimated * exact, 0) / squares;
  const variance = points.reduce((sum, { estimated, exact }) => sum + (exact - slope * estimated) ** 2, 0) / (points.length - 1) / squares;
  const gap = (slope - 1) ** 2;
  return gap > 0 ? Math.max(0, 1 + (slope - 1) * (gap / (gap + variance))) : 1;
}

interface Linearised {
  /** Changes of the objective's sums over a run's samples without a particle, judged by linearised outputs. */
  change(row: number): Float64Array;
  readonly passes: number;
  /** Whether each output was followed by itself. */
  readonly whole: boolean;
}

async function linearise(
  gradients: EstimateGradients, run: ForwardRun, objective: Objective, targets: Targets, { most, random }: { most: number; random: () => number },
): Promise<Linearised> {
  const { outputs, width } = run;
  const samples = run.to - run.from;
  const base = new Float64Array(objective.sums);
  objective.add(base, outputs, width, 0, samples, targets);
  // A loss may be summed over positions where slopes are of a sample's mean.
  const loss = objective.finish(base, samples).loss * samples;
  const scale = loss > 0 ? base[0]! / loss : 1;
  const slope = new Float32Array(outputs.length);
  objective.slope(slope, outputs, width, targets);
  const particles = gradients.groups.reduce((sum, { count }) => sum + count, 0);
  const judged = samples * particles * width <= mostJudged;
  const followed = !judged ? 0 : width <= most ? width : Math.max(1, most >> 1);
  const whole = followed === width;
  const chosen = steepest(slope, width, followed);
  const seeds: Float32Array[] = [];
  const seed = (): Float32Array => seeds[seeds.push(new Float32Array(outputs.length)) - 1]!;
  for (let turn = 0; turn < followed; turn++) {
    const own = seed();
    for (let sample = 0; sample < samples; sample++) own[sample * width + chosen[turn * samples + sample]!] = 1;
  }
  const others = (weights: Float32Array): void => {
    for (let at = 0; at < chosen.length; at++) weights[(at % samples) * width + chosen[at]!] = 0;
  };
  if (!whole) {
    others(slope);
    seed().set(slope);
    for (let turn = 0; turn < scatterPasses; turn++) {
      const own = seed();
      objective.scatter(own, outputs, width, random);
      others(own);
    }
  }
  const passes = await gradients.passes(run, seeds);
  const changes = passes.slice(0, followed);
  const linear: ByGroup | undefined = passes[followed];
  const curved = passes.slice(followed + 1);
  const changed = new Float32Array(outputs.length);
  const change = (row: number): Float64Array => {
    const group = gradients.groups.find(({ firstRow, count }) => row >= firstRow && row < firstRow + count)!;
    const particle = row - group.firstRow;
    changed.set(outputs);
    const acts = onOutput(group, run, objective);
    if (acts) {
      for (let at = particle * acts.block; at < changed.length; at += acts.size) changed.fill(0, at, at + acts.block);
    } else {
      changes.forEach((found, turn) => {
        const products = found.get(group)!;
        for (let sample = 0; sample < samples; sample++) changed[sample * width + chosen[turn * samples + sample]!]! -= products[sample * group.count + particle]!;
      });
    }
    const sums = base.map((value) => -value);
    if (followed || acts) objective.add(sums, changed, width, 0, samples, targets);
    else sums.fill(0);
    if (acts) return sums;
    for (const [products, of] of [...(linear ? [[linear.get(group)!, (value: number) => -value] as const] : []),
      ...curved.map((found) => [found.get(group)!, (value: number) => value ** 2 / (2 * scatterPasses)] as const)]) {
      for (let at = particle; at < products.length; at += group.count) sums[0]! += of(products[at]!) * scale;
    }
    return sums;
  };
  return { change, passes: passes.length, whole };
}

/** Particles that are outputs themselves: silencing them needs no passes and is exact. */
function onOutput(group: ParticleGroup, { values }: ForwardRun, { output }: Objective): { readonly size: number; readonly block: number } | undefined {
  const [act, ...others] = group.acts;
  const { shape } = values.get(output)!;
  if (!act || others.length || act.value !== output || act.axis !== shape.length - 1) return undefined;
  return { size: shape.at(-1)!, block: shape.at(-1)! / group.count };
}

/** By turn and sample: the outputs on which its loss hangs most. */
function steepest(slope: Float32Array, width: number, count: number): Int32Array {
  const samples = slope.length / width;
  const chosen = new Int32Array(samples * count);
  for (let sample = 0; sample < samples; sample++) {
    const own = slope.subarray(sample * width, (sample + 1) * width);
    const order = Int32Array.from(own.keys()).sort((one, two) => Math.abs(own[two]!) - Math.abs(own[one]!));
    for (let turn = 0; turn < count; turn++) chosen[turn * samples + sample] = order[turn]!;
  }
  return chosen;
}
