import { throwIfCancelled, type Task } from '../graph/errors';
import type { AttributeFamily } from './attribute';
import { forEachRun, particleWeights, type SlicedWeight } from './particleWeights';

/** Cosine similarity between the weights of a layer's particles: near-duplicates are candidates for merging. */
export const similarity: AttributeFamily = {
  columns: [
    { name: 'twin', title: 'Most similar particle', unit: '', scale: 'categorical', refersTo: 'row', meaning: 'The particle of the same layer whose weights point most nearly the same way.' },
    { name: 'twinCosine', title: 'Similarity to twin', unit: 'cosine', scale: 'diverging', meaning: 'Cosine between the particle\'s weights and those of its most similar neighbour: 1 is a duplicate up to scale.' },
  ],
  async compute(graph, table, task) {
    const twin = table.emptyValues();
    const cosine = table.emptyValues();
    for (const group of table.groups) {
      if (group.count < 2) continue;
      const weights: SlicedWeight[] = [];
      for await (const weight of particleWeights(graph, group)) weights.push(weight);
      const rows = unitRows(weights, group.count);
      await mostSimilar(rows, group.count, task, (particle, other, value) => {
        twin[group.firstRow + particle] = group.firstRow + other;
        cosine[group.firstRow + particle] = value;
      });
    }
    return [twin, cosine];
  },
};

/** [count, length], each row scaled to length 1; a row of zeros stays zero. */
function unitRows(weights: readonly SlicedWeight[], count: number): Float32Array {
  const length = weights.reduce((sum, { values }) => sum + values.length, 0) / count;
  const rows = new Float32Array(count * length);
  const filled = new Uint32Array(count);
  for (const weight of weights) {
    forEachRun(weight, (particle, start, end) => {
      rows.set(weight.values.subarray(start, end), particle * length + filled[particle]!);
      filled[particle]! += end - start;
    });
  }
  for (let particle = 0; particle < count; particle++) {
    const row = rows.subarray(particle * length, (particle + 1) * length);
    let square = 0;
    for (const value of row) square += value * value;
    if (square === 0) continue;
    const scale = 1 / Math.sqrt(square);
    for (let k = 0; k < row.length; k++) row[k]! *= scale;
  }
  return rows;
}

/** Particles without weights (all zero) have no direction and get no twin. */
async function mostSimilar(
  rows: Float32Array, count: number, task: Task | undefined, found: (particle: number, other: number, cosine: number) => void,
): Promise<void> {
  const length = rows.length / count;
  const best = new Float32Array(count).fill(-Infinity);
  const which = new Int32Array(count).fill(-1);
  const empty = Array.from({ length: count }, (_, particle) => rows.subarray(particle * length, (particle + 1) * length).every((value) => value === 0));
  for (let one = 0; one < count; one++) {
    if (one % 64 === 0) {
      throwIfCancelled(task);
      await Promise.resolve();
    }
    if (empty[one]) continue;
    for (let two = one + 1; two < count; two++) {
      if (empty[two]) continue;
      let dot = 0;
      const a = one * length;
      const b = two * length;
      for (let k = 0; k < length; k++) dot += rows[a + k]! * rows[b + k]!;
      if (dot > best[one]!) [best[one], which[one]] = [dot, two];
      if (dot > best[two]!) [best[two], which[two]] = [dot, one];
    }
  }
  for (let particle = 0; particle < count; particle++) if (which[particle]! >= 0) found(particle, which[particle]!, Math.min(1, best[particle]!));
}
