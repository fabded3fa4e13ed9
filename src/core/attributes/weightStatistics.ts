import { throwIfCancelled } from '../graph/errors';
import type { AttributeFamily } from './attribute';
import { forEachRun, particleWeights } from './particleWeights';

/** A weight counts as near zero below this share of the largest magnitude in its layer. */
const nearZeroShare = 1e-3;

/** Norms, moments and sparsity of each particle's own weights, biases left out; sums in float64. */
export const weightStatistics: AttributeFamily = {
  columns: [
    { name: 'l1', title: 'L1 norm', unit: '', scale: 'sequential', meaning: 'Sum of the magnitudes of the particle\'s weights.' },
    { name: 'l2', title: 'L2 norm', unit: '', scale: 'sequential', meaning: 'Square root of the sum of the squares of the particle\'s weights.' },
    { name: 'weightMean', title: 'Weight mean', unit: '', scale: 'diverging', meaning: 'Average of the particle\'s weights.' },
    { name: 'weightDeviation', title: 'Weight deviation', unit: '', scale: 'sequential', meaning: 'Standard deviation of the particle\'s weights around their mean.' },
    { name: 'weightMax', title: 'Largest weight', unit: '', scale: 'sequential', meaning: 'Largest magnitude among the particle\'s weights.' },
    { name: 'nearZero', title: 'Near-zero weights', unit: 'share', scale: 'sequential', meaning: 'Share of the particle\'s weights below a thousandth of the largest weight of its layer.' },
  ],
  async compute(graph, table, task) {
    const columns = this.columns.map(() => table.emptyValues());
    const [l1, l2, mean, deviation, max, nearZero] = columns as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
    for (const group of table.groups) {
      throwIfCancelled(task);
      const sums = new Sums(group.count);
      for await (const weight of particleWeights(graph, group)) {
        forEachRun(weight, (particle, start, end) => sums.add(particle, weight.values, start, end));
      }
      const threshold = nearZeroShare * sums.largest();
      const small = new Float64Array(group.count);
      for await (const { values, ...weight } of particleWeights(graph, group)) {
        forEachRun({ values, ...weight }, (particle, start, end) => {
          for (let k = start; k < end; k++) if (Math.abs(values[k]!) <= threshold) small[particle]!++;
        });
      }
      for (let particle = 0; particle < group.count; particle++) {
        const count = sums.count[particle]!;
        if (count === 0) continue;
        const row = group.firstRow + particle;
        const average = sums.sum[particle]! / count;
        l1[row] = sums.magnitude[particle]!;
        l2[row] = Math.sqrt(sums.square[particle]!);
        mean[row] = average;
        deviation[row] = Math.sqrt(Math.max(0, sums.square[particle]! / count - average * average));
        max[row] = sums.max[particle]!;
        nearZero[row] = small[particle]! / count;
      }
    }
    return columns;
  },
};

class Sums {
  readonly count: Float64Array;
  readonly sum: Float64Array;
  readonly magnitude: Float64Array;
  readonly square: Float64Array;
  readonly max: Float64Array;

  constructor(particles: number) {
    [this.count, this.sum, this.magnitude, this.square, this.max] = Array.from({ length: 5 }, () => new Float64Array(particles)) as
      [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
  }

  add(particle: number, values: Float32Array, start: number, end: number): void {
    let sum = 0;
    let magnitude = 0;
    let square = 0;
    let max = this.max[particle]!;
    for (let k = start; k < end; k++) {
      const value = values[k]!;
      const size = Math.abs(value);
      sum += value;
      magnitude += size;
      square += value * value;
      if (size > max) max = size;
    }
    this.count[particle]! += end - start;
    this.sum[particle]! += sum;
    this.magnitude[particle]! += magnitude;
    this.square[particle]! += square;
    this.max[particle] = max;
  }

  largest(): number {
    return this.max.reduce((largest, value) => Math.max(largest, value), 0);
  }
}
