import { outputWidth } from '../../evaluate/evaluate';
import type { Objective, Targets } from '../../evaluate/metrics';
import { asFloat32 } from '../../graph/numeric';
import type { NdArray } from '../../graph/tensor';
import type { Divergence } from './divergence';

/** What changes when one particle is replaced, in this order: loss, metric, largest change of an output, divergence of the outputs. */
export const effectCount = 4;
export type Effects = readonly [loss: number, metric: number, output: number, divergence: number];

/** What the model gives for a run of samples as it is. */
export interface Baseline {
  readonly outputs: Float32Array;
  readonly samples: number;
  /** Rows of the model that are one sample: several in a ranking. */
  readonly rowsPerSample: number;
  /** Numbers a sample, and those of one answer (a position's, where a sample has several). */
  readonly width: number;
  readonly last: number;
  readonly targets: Targets;
}

export function baselineOf(outputs: NdArray, samples: number, targets: Targets, rowsPerSample = 1): Baseline {
  const width = outputWidth(outputs, samples);
  const last = outputs.shape.length > 1 ? outputs.shape.at(-1)! : 1;
  // [samples, classes, 1, 1] is one answer a sample.
  return { outputs: asFloat32(outputs), samples, width, rowsPerSample, last: last === 1 ? width / rowsPerSample : last, targets };
}

/** Sums over samples, particle by particle, that become effects when all samples have been through. */
export class EffectSums {
  private readonly before: Float64Array;
  private readonly after: Float64Array[];
  private readonly differences: Float64Array;
  private readonly divergences: Float64Array;
  private largest = 0;

  constructor(private readonly objective: Objective, private readonly divergence: Divergence, particles: number) {
    this.before = new Float64Array(objective.sums);
    this.after = Array.from({ length: particles }, () => new Float64Array(objective.sums));
    [this.differences, this.divergences] = [new Float64Array(particles), new Float64Array(particles)];
  }

  baseline({ outputs, samples, width, targets }: Baseline): void {
    this.objective.add(this.before, outputs, width, 0, samples, targets);
    for (const value of outputs) this.largest = Math.max(this.largest, Math.abs(value));
  }

  /** The particle changes nothing for these samples. */
  unchanged(particle: number, { outputs, samples, width, targets }: Baseline): void {
    this.objective.add(this.after[particle]!, outputs, width, 0, samples, targets);
  }

  /** What came out instead for some of the model's rows; the others (all that are missing in `rows`) are as they were. */
  changed(particle: number, baseline: Baseline, values: Float32Array, firstRow: number, rows: readonly number[]): void {
    const { outputs, samples, width: sampleWidth, rowsPerSample, last, targets } = baseline;
    const width = sampleWidth / rowsPerSample;
    let [divergence, difference] = [0, this.differences[particle]!];
    for (let at = 0; at < rows.length; at++) {
      const [before, after] = [rows[at]! * width, (firstRow + at) * width];
      for (let index = 0; index < width; index++) {
        const change = Math.abs(values[after + index]! - outputs[before + index]!);
        // NaN counts as a change.
        if (!(change <= difference)) difference = Number.isNaN(change) ? Infinity : change;
      }
      divergence += this.divergence.of(outputs, before, values, after, width, last);
    }
    this.differences[particle] = difference;
    this.divergences[particle]! += divergence / rowsPerSample;
    if (rows.length === samples * rowsPerSample) {
      this.objective.add(this.after[particle]!, values.subarray(firstRow * width), sampleWidth, 0, samples, targets);
      return;
    }
    const mixed = outputs.slice();
    rows.forEach((row, at) => mixed.set(values.subarray((firstRow + at) * width, (firstRow + at + 1) * width), row * width));
    this.objective.add(this.after[particle]!, mixed, sampleWidth, 0, samples, targets);
  }

  effects(particle: number, samples: number): Effects {
    const { name } = this.objective.decisive;
    const before = this.objective.finish(this.before, samples);
    const after = this.objective.finish(this.after[particle]!, samples);
    const difference = this.differences[particle]!;
    return [
      after.loss - before.loss, after.metrics[name]! - before.metrics[name]!,
      this.largest > 0 ? difference / this.largest : difference, this.divergences[particle]! / samples,
    ];
  }
}
