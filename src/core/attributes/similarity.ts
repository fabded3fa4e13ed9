import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { elementCount } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { AttributeFamily } from './attribute';
import { forEachRun, isOwnWeight, particleWeights } from './particleWeights';
import { DotKernel, tile } from './sums/dotKernel';

/**
 * Cosine similarity between the weights of a layer's particles: near-duplicates are candidates for merging. Every pair
 * is compared in float32; the cosine of the pair that is found is computed again in float64. Layers with so many
 * particles that this would take minutes stay empty, which a finding says.
 */
export const similarity: AttributeFamily = {
  columns: [
    { name: 'twin', title: 'Most similar particle', unit: '', scale: 'categorical', refersTo: 'row', meaning: 'The particle of the same layer whose weights point most nearly the same way.' },
    { name: 'twinCosine', title: 'Similarity to twin', unit: 'cosine', scale: 'diverging', meaning: 'Cosine between the particle\'s weights and those of its most similar neighbour: 1 is a duplicate up to scale.' },
  ],
  async compute(graph, table, task, services) {
    const twin = table.emptyValues();
    const cosine = table.emptyValues();
    for (const [index, group] of table.groups.entries()) {
      throwIfCancelled(task);
      task?.progress?.(index, table.groups.length, group.layer);
      const length = lengthOf(graph, group);
      if (group.count < 2 || !Number.isInteger(length) || length === 0) continue;
      const multiplications = (group.count ** 2 / 2) * length;
      if (multiplications > mostMultiplications || group.count * length > mostElements) {
        services?.report?.({
          severity: 'info', place: group.layer,
          message: `it has too many weights (${group.count} particles of ${length}) to compare each particle with each other one, so similarity is left out`,
        });
        continue;
      }
      const rows = await unitRows(graph, group, length);
      await mostSimilar(rows, task, (particle, other, value) => {
        twin[group.firstRow + particle] = group.firstRow + other;
        cosine[group.firstRow + particle] = value;
      });
    }
    return [twin, cosine];
  },
};

/** Some seconds. */
const mostMultiplications = 6e10;
/** 68 MB of float32, and as much again or twice while they are read. */
const mostElements = 17e6;
/** Between looks at whether the task was cancelled. */
const turnMs = 100;

/** Weights of one particle; not a whole number where particles have different ones. */
function lengthOf(graph: ModelGraph, { slices, count }: ParticleGroup): number {
  const weights = slices.flatMap((slice) => (isOwnWeight(slice) ? graph.tensors.get(slice.tensor) ?? [] : []));
  return weights.reduce((sum, { shape }) => sum + elementCount(shape), 0) / count;
}

/** Each particle's weights scaled to length 1; a row of zeros (or of something that is no number) is zero. */
export async function unitRows(graph: ModelGraph, group: ParticleGroup, length = lengthOf(graph, group)): Promise<DotKernel> {
  const rows = new DotKernel(group.count, length);
  const filled = new Uint32Array(group.count);
  for await (const weight of particleWeights(graph, group)) {
    forEachRun(weight, (particle, start, end) => {
      rows.row(particle).set(weight.values.subarray(start, end), filled[particle]!);
      filled[particle]! += end - start;
    });
  }
  for (let particle = 0; particle < group.count; particle++) {
    const row = rows.row(particle);
    const size = Math.sqrt(dot(row, row));
    if (size > 0 && Number.isFinite(size)) for (let k = 0; k < row.length; k++) row[k]! /= size;
    else row.fill(0);
  }
  return rows;
}

/** Particles without a direction get no twin. */
async function mostSimilar(rows: DotKernel, task: Task | undefined, found: (particle: number, other: number, cosine: number) => void): Promise<void> {
  const count = rows.rows;
  const best = new Float32Array(count).fill(-Infinity);
  const which = new Int32Array(count).fill(-1);
  const empty = Uint8Array.from({ length: count }, (_, particle) => Number(rows.row(particle).every((value) => value === 0)));
  let looked = Date.now();
  for (let one = 0; one < count; one += tile.one) {
    if (Date.now() - looked > turnMs) {
      // A message that cancels is only heard between turns of the event loop.
      await new Promise((resolve) => setTimeout(resolve, 0));
      throwIfCancelled(task);
      looked = Date.now();
    }
    for (let two = one - (one % tile.two); two < count; two += tile.two) {
      const dots = rows.tile(one, two);
      for (let k = 0; k < dots.length; k++) {
        const [a, b] = [one + Math.floor(k / tile.two), two + (k % tile.two)];
        if (a >= b || b >= count || empty[a] || empty[b]) continue;
        if (dots[k]! > best[a]!) [best[a], which[a]] = [dots[k]!, b];
        if (dots[k]! > best[b]!) [best[b], which[b]] = [dots[k]!, a];
      }
    }
  }
  for (let particle = 0; particle < count; particle++) {
    const other = which[particle]!;
    if (other >= 0) found(particle, other, Math.max(-1, Math.min(1, dot(rows.row(particle), rows.row(other)))));
  }
}

function dot(one: Float32Array, two: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += one[k]! * two[k]!;
  return sum;
}
