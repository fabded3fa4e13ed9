import { batchModel } from '../evaluate/batching';
import { objectiveFor, targetsOf, type Objective, type Targets } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { exactChanges } from './exactChanges';
import { openParticleGradients, type ByGroup, type ForwardRun, type ParticleGradients } from './particleGradients';

export interface EstimateOptions {
  /** Backward passes a sample at most: one for each output where there are no more of them. */
  readonly outputs?: number;
  /** Whether layers of few particles are measured instead, and the others scaled by what was measured; true when left out. */
  readonly measuring?: boolean;
}

/** By row; NaN where nothing could be estimated. */
export interface LossEstimate {
  readonly loss: Float32Array;
  readonly metric: Float32Array;
  /** Rows whose numbers are exact. */
  readonly measured: ReadonlySet<number>;
}

const mostOutputs = 24;
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
 * 1. The outputs linearised in what the particle passes on, then the exact loss of the changed outputs: one backward pass an
 *    output. Of many outputs those of steepest loss are followed one by one, the others together (slope, and Monte-Carlo
 *    curvature).
 * 2. Layers with so few particles that silencing each of them costs no more than these passes (heads, factors) are measured.
 * 3. What linearity misses elsewhere (gates that saturate, norms, attention) mostly scales a layer's changes alike: a few
 *    particles are silenced on the first batch, and the line through the origin is taken from them.
 */
export async function estimateLosses(
  context: BehaviourContext, groups: readonly ParticleGroup[], { outputs = mostOutputs, measuring = true }: EstimateOptions = {},
): Promise<LossEstimate> {
  const { data, table } = context;
  const objective = objectiveFor((await batchModel(context.graph)).graph, data);
  const linear = await linearEstimates(context, groups, objective, outputs);
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
  // What acts on the output itself is exact as it is.
  const inside = groups.filter((group) => group.acts.every(({ value }) => value !== objective.output) && group.producer.value !== objective.output);
  const small = fewest(inside, measuredShare * linear.passes);
  for (const [row, exact] of await exactChanges(context, small.flatMap(rowsOfGroup))) {
    measured.add(row);
    [loss[row], metric[row]] = [exact.loss, exact.metric];
  }
  const first = { ...context, data: { ...data, count: linear.firstCount } };
  for (const group of inside.filter((candidate) => !small.includes(candidate))) {
    const slope = await slopeOf(first, rowsOfGroup(group).flatMap((row) => {
      const estimated = linear.first.get(row);
      return estimated === undefined ? [] : [{ row, estimated }];
    }));
    for (const row of rowsOfGroup(group)) loss[row]! *= slope;
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
}

async function linearEstimates(
  context: BehaviourContext, groups: readonly ParticleGroup[], objective: Objective, most: number,
): Promise<LinearEstimates> {
  const { data, task } = context;
  const gradients = await openParticleGradients(context, groups, { output: objective.output, recurrence: true });
  try {
    const random = seededRandom(data.seed);
    const before = new Float64Array(objective.sums);
    const changes = new Map<number, Float64Array>();
    const first = new Map<number, number>();
    let passes = 0;
    for (let from = 0; from < data.count; from += gradients.samples) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, 'Estimating losses');
      const to = Math.min(data.count, from + gradients.samples);
      const run = await gradients.forward(from, to);
      const targets = await targetsOf(data, from, to);
      objective.add(before, run.outputs, run.width, 0, to - from, targets);
      const linear = await linearise(gradients, run, objective, targets, { most, random });
      passes = linear.passes;
      for (const row of gradients.groups.flatMap(rowsOfGroup)) {
        const change = linear.change(row);
        if (from === 0) first.set(row, change[0]! / to);
        const own = changes.get(row);
        if (own) change.forEach((value, index) => (own[index]! += value));
        else changes.set(row, change);
      }
    }
    task?.progress?.(data.count, data.count, 'Estimating losses');
    return { before, changes, first, passes, firstCount: Math.min(data.count, gradients.samples) };
  } finally {
    await gradients.dispose();
  }
}

/** The smallest layers, as many as may be measured. */
function fewest(groups: readonly ParticleGroup[], passes: number): readonly ParticleGroup[] {
  let left = passes;
  return [...groups].sort((one, two) => one.count - two.count).filter(({ count }) => (left -= count) >= 0);
}

function rowsOfGroup({ firstRow, count }: ParticleGroup): readonly number[] {
  return Array.from({ length: count }, (_, particle) => firstRow + particle);
}

/**
 * By how much exact changes of the loss exceed estimated ones: the line through the origin and some particles from the
 * largest estimate down, drawn towards 1 by how uncertain it is.
 */
async function slopeOf(context: BehaviourContext, estimates: readonly { readonly row: number; readonly estimated: number }[]): Promise<number> {
  const ranked = [...estimates].sort((one, two) => Math.abs(two.estimated) - Math.abs(one.estimated));
  const chosen = Array.from({ length: Math.min(calibrating, ranked.length) }, (_, turn) => ranked[Math.floor((turn * ranked.length) / (2 * calibrating))]!);
  const exact = await exactChanges(context, new Set(chosen.map(({ row }) => row)));
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
}

async function linearise(
  gradients: ParticleGradients, run: ForwardRun, objective: Objective, targets: Targets, { most, random }: { most: number; random: () => number },
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
  const seed = new Float32Array(outputs.length);
  const changes: ByGroup[] = [];
  for (let turn = 0; turn < followed; turn++) {
    seed.fill(0);
    for (let sample = 0; sample < samples; sample++) seed[sample * width + chosen[turn * samples + sample]!] = 1;
    changes.push(await gradients.backward(run, seed));
  }
  if (!whole) for (let at = 0; at < chosen.length; at++) slope[(at % samples) * width + chosen[at]!] = 0;
  const linear = whole ? undefined : await gradients.backward(run, slope);
  const curved: ByGroup[] = [];
  for (let turn = 0; !whole && turn < scatterPasses; turn++) {
    objective.scatter(seed, outputs, width, random);
    for (let at = 0; at < chosen.length; at++) seed[(at % samples) * width + chosen[at]!] = 0;
    curved.push(await gradients.backward(run, seed));
  }
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
  return { change, passes: followed + Number(!whole) + curved.length };
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
