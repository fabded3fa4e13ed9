import { batchSize, bytesPerSample, joinRows, type BatchModel, type Runner } from '../../evaluate/batching';
import { targetsOf, type Objective } from '../../evaluate/metrics';
import { throwIfCancelled } from '../../graph/errors';
import { asFloat32 } from '../../graph/numeric';
import type { NdArray } from '../../graph/tensor';
import type { ParticleGroup } from '../../particles/particle';
import type { BehaviourContext } from '../behaviour';
import { openCut, type Cut, type CutPart } from './cut';
import type { Divergence } from './divergence';
import { baselineOf, EffectSums, type Baseline, type Effects } from './effects';
import { otherSamples } from './otherSamples';
import { openRecurrentCut } from './recurrentCut';

/** What takes the place of what a particle says: nothing, its mean over the samples at each position, or what it says of another sample. */
export type Replacement = 'zero' | 'mean' | 'resample';

export interface SweepPart {
  readonly group: ParticleGroup;
  readonly replacement: Replacement;
  /** Indices in the group. */
  readonly particles: readonly number[];
}

export interface SweepModel {
  readonly model: BatchModel;
  readonly objective: Objective;
  readonly divergence: Divergence;
  /** Where several parts are swept one after the other, what they share; whoever gives it also disposes of it. */
  readonly kept?: {
    /** Runs what lies in front of any layer. */
    prefix(fetches: readonly string[]): Runner;
    cut(group: ParticleGroup, open: () => Promise<Cut>): Promise<Cut>;
  };
}

/**
 * Exact effects of replacing some particles of a layer, one at a time, on all samples. `found` is called as soon as a particle
 * is through; `step` with the number of particles times samples that were.
 */
export async function sweepPart(
  context: BehaviourContext, { model, objective, divergence, kept }: SweepModel, { group, replacement, particles }: SweepPart,
  { found, step }: { found(particle: number, effects: Effects): void; step?(done: number): void },
): Promise<void> {
  const { engine, data, memoryBytes, task } = context;
  const { rowsPerSample = 1 } = data;
  const samples = Math.min(data.count, batchSize(memoryBytes / 2, bytesPerSample(model.graph) * rowsPerSample, Math.max(1, Math.floor(1024 / rowsPerSample))));
  const open = group.kind === 'unit' ? openRecurrentCut : openCut;
  const opening = (): Promise<Cut> =>
    open(model, group, { engine, output: objective.output, samples: samples * rowsPerSample, memoryBytes, prefix: kept && ((fetches) => kept.prefix(fetches)) });
  const cut = await (kept ? kept.cut(group, opening) : opening());
  try {
    const means = replacement === 'mean' ? await meansOf(context, cut, samples) : undefined;
    const order = replacement === 'resample' ? otherSamples(data.count, data.seed) : undefined;
    const sums = new EffectSums(objective, divergence, particles.length);
    for (let from = 0; from < data.count; from += samples) {
      throwIfCancelled(task);
      const to = Math.min(data.count, from + samples);
      const known = await cut.prefix(await data.inputs(from, to));
      const baseline = baselineOf(known.get(objective.output)!, to - from, await targetsOf(data, from, to), rowsPerSample);
      sums.baseline(baseline);
      const instead = means ? repeated(cut, means, known) : order && await cut.prefix(await inputsOf(context, order.subarray(from, to)));
      const finish = (position: number): void => {
        step?.(to - from);
        if (to === data.count) found(particles[position]!, sums.effects(position, data.count));
      };
      for (const batch of batches(cut, known, particles, { instead, samples: (to - from) * rowsPerSample })) {
        throwIfCancelled(task);
        for (const position of batch.unchanged) sums.unchanged(position, baseline);
        if (batch.parts.length) await runBatch(cut, { known, instead, sums, baseline }, batch);
        for (const position of [...batch.unchanged, ...batch.positions]) finish(position);
      }
    }
  } finally {
    if (!kept) await cut.dispose();
  }
}

interface Batch {
  readonly parts: CutPart[];
  /** Places in the list of particles: of the parts, and of particles that change nothing. */
  readonly positions: number[];
  readonly unchanged: number[];
}

/** As many particles at a time as fit; samples for which a particle says nothing new are left out, since nothing changes for them. */
function* batches(
  cut: Cut, known: ReadonlyMap<string, NdArray>, particles: readonly number[],
  { instead, samples }: { instead: ReadonlyMap<string, NdArray> | undefined; samples: number },
): Generator<Batch> {
  const all = Array.from({ length: samples }, (_, sample) => sample);
  let batch: Batch = { parts: [], positions: [], unchanged: [] };
  let rows = 0;
  for (const [position, particle] of particles.entries()) {
    const changed = cut.changed(known, particle, instead) ?? all;
    if (changed.length === 0) {
      batch.unchanged.push(position);
      continue;
    }
    if (batch.parts.length && rows + changed.length > cut.rows) {
      yield batch;
      batch = { parts: [], positions: [], unchanged: [] };
      rows = 0;
    }
    batch.parts.push({ particle, samples: changed });
    batch.positions.push(position);
    rows += changed.length;
  }
  if (batch.parts.length || batch.unchanged.length) yield batch;
}

async function runBatch(
  cut: Cut, { known, instead, sums, baseline }: {
    known: ReadonlyMap<string, NdArray>; instead: ReadonlyMap<string, NdArray> | undefined; sums: EffectSums; baseline: Baseline;
  }, { parts, positions }: Batch,
): Promise<void> {
  const after = asFloat32(await cut.without(known, parts, instead));
  let row = 0;
  parts.forEach(({ samples }, at) => {
    sums.changed(positions[at]!, baseline, after, row, samples);
    row += samples.length;
  });
}

/** The mean over all samples of the values that are replaced, at each position: their shape with one sample. */
async function meansOf({ data, task }: BehaviourContext, cut: Cut, samples: number): Promise<ReadonlyMap<string, NdArray>> {
  const sums = new Map<string, { readonly shape: readonly number[]; readonly values: Float64Array }>();
  for (let from = 0; from < data.count; from += samples) {
    throwIfCancelled(task);
    const known = await cut.prefix(await data.inputs(from, Math.min(data.count, from + samples)));
    for (const name of cut.replaced) {
      const { shape } = known.get(name)!;
      const values = asFloat32(known.get(name)!);
      const axis = cut.sampleAxis(name);
      const count = shape[axis]!;
      const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
      let sum = sums.get(name);
      if (!sum) sums.set(name, (sum = { shape: shape.map((size, at) => (at === axis ? 1 : size)), values: new Float64Array(values.length / count) }));
      for (let at = 0; at < values.length; at++) sum.values[Math.floor(at / (inner * count)) * inner + (at % inner)]! += values[at]! / (data.count * (data.rowsPerSample ?? 1));
    }
  }
  return new Map([...sums].map(([name, { shape, values }]) => [name, { dtype: 'float32', shape, data: Float32Array.from(values) }]));
}

function repeated(cut: Cut, means: ReadonlyMap<string, NdArray>, known: ReadonlyMap<string, NdArray>): ReadonlyMap<string, NdArray> {
  return new Map([...means].map(([name, mean]) => {
    const axis = cut.sampleAxis(name);
    return [name, joinRows(Array.from({ length: known.get(name)!.shape[axis]! }, () => mean), axis)];
  }));
}

/** The inputs of samples in any order. */
async function inputsOf({ data }: BehaviourContext, samples: Int32Array): Promise<Map<string, NdArray>> {
  const rows = await Promise.all(Array.from(samples, (sample) => data.inputs(sample, sample + 1)));
  return new Map([...rows[0]!.keys()].map((name) => [name, joinRows(rows.map((row) => row.get(name)!))]));
}
