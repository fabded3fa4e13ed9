import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { elementCount } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { AttributeFamily } from './attribute';
import { forEachRun, isOwnWeight, particleWeights } from './particleWeights';

/**
 * Effective rank (Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO): the exponential
 * of the entropy of the singular values, taken as shares of their sum. A layer whose n particles do n different things alike
 * strongly has rank n; one whose particles are mixtures of three has at most rank 3. The value is the layer's, the same for each of its particles.
 */
export const effectiveRank: AttributeFamily = {
  onRequest: true,
  columns: [{
    name: 'effectiveRank', title: 'Effective rank of the layer', unit: '', scale: 'sequential',
    meaning: 'How many different directions the weights of the layer\'s particles really span (exponential of the entropy of its singular values); far below the number of particles, some can go.',
  }],
  async compute(graph, table, task, services) {
    const values = table.emptyValues();
    for (const [index, group] of table.groups.entries()) {
      throwIfCancelled(task);
      task?.progress?.(index, table.groups.length, group.layer);
      const spectrum = await weightSpectrum(graph, group, task);
      if (spectrum === 'tooLarge') {
        services?.report?.({ severity: 'info', place: group.layer, message: 'it has too many weights for its singular values to be computed here, so the effective rank is left out' });
      } else if (spectrum) {
        values.fill(rankOf(spectrum), group.firstRow, group.firstRow + group.count);
      }
    }
    return [values];
  },
};

/** Singular values of a layer's weights, one row a particle, largest first; undefined where there are none to speak of. */
export async function weightSpectrum(graph: ModelGraph, group: ParticleGroup, task?: Task): Promise<Float64Array | 'tooLarge' | undefined> {
  const own = group.slices.flatMap((slice) => (isOwnWeight(slice) ? graph.tensors.get(slice.tensor) ?? [] : []));
  const length = own.reduce((sum, { shape }) => sum + elementCount(shape), 0) / group.count;
  if (!Number.isInteger(length) || length === 0) return undefined;
  if (!fits(group.count, length)) return 'tooLarge';
  const rows = new Float64Array(group.count * length);
  const filled = new Uint32Array(group.count);
  for await (const weight of particleWeights(graph, group)) {
    forEachRun(weight, (particle, start, end) => {
      rows.set(weight.values.subarray(start, end), particle * length + filled[particle]!);
      filled[particle]! += end - start;
    });
  }
  return singularValues(rows, group.count, length, task);
}

/** Exponential of the entropy of the shares; 0 where all are zero, NaN where one is no number. */
export function rankOf(spectrum: Float64Array): number {
  const total = spectrum.reduce((sum, value) => sum + value, 0);
  if (!(total > 0)) return total === 0 ? 0 : NaN;
  const entropy = spectrum.reduce((sum, value) => (value > 0 ? sum - (value / total) * Math.log(value / total) : sum), 0);
  return Math.exp(entropy);
}

/** A few seconds, and 256 MB. */
function fits(rows: number, columns: number): boolean {
  const [small, large] = [Math.min(rows, columns), Math.max(rows, columns)];
  return small <= 512 && small * small * large <= 6e9 && small * large <= 32e6;
}

/**
 * Singular values of a row-major matrix, largest first: roots of the eigenvalues of its smaller Gram matrix, in double
 * precision, so those below about 1e-8 of the largest are zero.
 */
export async function singularValues(values: Float64Array, rows: number, columns: number, task?: Task): Promise<Float64Array> {
  const small = Math.min(rows, columns);
  const gram = Matrix.zeros(small, small);
  const wide = rows <= columns;
  let looked = Date.now();
  for (let one = 0; one < small; one++) {
    if (Date.now() - looked > turnMs) {
      // A message that cancels is only heard between turns of the event loop.
      await new Promise((resolve) => setTimeout(resolve, 0));
      throwIfCancelled(task);
      looked = Date.now();
    }
    for (let two = one; two < small; two++) {
      let sum = 0;
      if (wide) for (let k = 0, a = one * columns, b = two * columns; k < columns; k++) sum += values[a + k]! * values[b + k]!;
      else for (let k = 0; k < rows; k++) sum += values[k * columns + one]! * values[k * columns + two]!;
      gram.set(one, two, sum);
      gram.set(two, one, sum);
    }
  }
  if (!Number.isFinite(gram.trace())) return new Float64Array(small).fill(NaN);
  const squares = new EigenvalueDecomposition(gram, { assumeSymmetric: true }).realEigenvalues;
  const largest = squares.reduce((most, value) => Math.max(most, value), 0);
  return Float64Array.from(squares, (square) => (square > largest * 1e-15 * small ? Math.sqrt(square) : 0)).sort().reverse();
}

const turnMs = 100;
