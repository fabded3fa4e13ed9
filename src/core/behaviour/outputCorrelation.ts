import { batchModel } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { decidingOutput, objectiveFor } from '../evaluate/metrics';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { chosenGroups, forEachBatch } from './forward';
import { outputPlace, outputsBySample } from './particleValues';

/** With which output of the model a particle goes, by Pearson's correlation over samples of its mean output over positions. */
export const outputCorrelation: BehaviourFamily = {
  needsLabels: true,
  columns: [
    {
      name: 'outputCorrelation', title: 'Correlation with an output', unit: '', scale: 'diverging', exact: true,
      meaning: 'Correlation over samples of the particle\'s mean output with the output of the model (logit) that it goes with or against most.',
    },
    {
      name: 'correlatedOutput', title: 'Output it goes with', unit: '', scale: 'categorical', exact: true,
      meaning: 'Number of the output (class) with which the particle correlates most, up or down.',
    },
  ],
  compute,
};

/** By output, for one particle. */
export const correlationByOutput: Detail = {
  name: 'correlationByOutput', title: 'Correlation with each output', of: 'particle', needs: 'labels',
  meaning: 'Correlation over samples of the particle\'s mean output with each output of the model.',
  async compute(context, { group, particle }) {
    const [found] = await correlations(context, [group]);
    const width = found?.width ?? 0;
    return {
      kind: 'bars', labelTitle: 'Output', valueTitle: 'Correlation',
      labels: Array.from({ length: width }, (_, output) => context.data.classes?.[output] ?? String(output)),
      values: found ? found.values.slice(particle * width, (particle + 1) * width) : new Float32Array(0),
    };
  },
};

/** Pairs of particle and output whose sums are kept: 5 numbers of 8 bytes each. */
const mostPairs = 2 ** 22;

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { table } = context;
  const [strongest, which] = [table.emptyValues(), table.emptyValues()];
  for (const { group, width, values } of await correlations(context, chosenGroups(context))) {
    for (let particle = 0; particle < group.count; particle++) {
      const own = values.subarray(particle * width, (particle + 1) * width);
      const best = own.reduce((most, value, at) => (Math.abs(value) > Math.abs(own[most]!) ? at : most), 0);
      strongest[group.firstRow + particle] = own[best]!;
      // What goes with nothing has no output of its own.
      if (own[best] !== 0) which[group.firstRow + particle] = best;
    }
  }
  return [strongest, which];
}

/** values: [particles, outputs]. */
async function correlations(
  context: BehaviourContext, groups: readonly ParticleGroup[],
): Promise<readonly { readonly group: ParticleGroup; readonly width: number; readonly values: Float32Array }[]> {
  const { data, report } = context;
  const { graph } = await batchModel(context.graph);
  const { output } = objectiveFor(graph, data);
  const places = groups.map((group) => ({ group, place: outputPlace(graph, group) }));
  const sums = new Map<ParticleGroup, Moments>();
  let told = false;
  await forEachBatch(context, [output, ...places.map(({ place }) => place.value)], 'Correlation with outputs', (values, from, to) => {
    const { width, outputs } = answers(values.get(output)!, to - from, data.task === 'nextToken');
    for (const { group, place } of places) {
      if (group.count * width > mostPairs) {
        if (!told) report({ severity: 'info', place: decidingOutput(graph, data).name, message: `Correlation with each of ${width} outputs would take too much memory and is left out.` });
        told = true;
        continue;
      }
      let moments = sums.get(group);
      if (!moments) sums.set(group, (moments = new Moments(group.count, width)));
      moments.add(outputsBySample(values.get(place.value)!, place, to - from), outputs, to - from);
    }
  });
  return [...sums].map(([group, moments]) => ({ group, width: moments.width, values: moments.correlations() }));
}

/** What the model gives for each sample; of a sequence's tokens the mean over its positions, so that outputs stay tokens. [samples, width] */
function answers(array: NdArray, samples: number, byPosition: boolean): { readonly width: number; readonly outputs: Float32Array } {
  const whole = outputWidth(array, samples);
  const values = asFloat32(array);
  if (!byPosition || array.shape.length < 3) return { width: whole, outputs: values };
  const width = array.shape.at(-1)!;
  const positions = whole / width;
  const outputs = new Float32Array(samples * width);
  for (let at = 0; at < values.length; at++) outputs[Math.floor(at / whole) * width + (at % width)]! += values[at]! / positions;
  return { width, outputs };
}

/** Sums of products over samples, of what is measured from the first sample on, so that large means do not cost digits. */
class Moments {
  private readonly one: Float64Array;
  private readonly two: Float64Array;
  private readonly squaresOne: Float64Array;
  private readonly squaresTwo: Float64Array;
  private readonly both: Float64Array;
  private shiftOne: Float32Array | undefined;
  private shiftTwo: Float32Array | undefined;
  private count = 0;

  constructor(private readonly particles: number, readonly width: number) {
    [this.one, this.squaresOne] = [new Float64Array(particles), new Float64Array(particles)];
    [this.two, this.squaresTwo, this.both] = [new Float64Array(width), new Float64Array(width), new Float64Array(particles * width)];
  }

  add(responses: Float32Array, outputs: Float32Array, samples: number): void {
    const { particles, width } = this;
    this.shiftOne ??= responses.slice(0, particles);
    this.shiftTwo ??= outputs.slice(0, width);
    for (let sample = 0; sample < samples; sample++) {
      for (let output = 0; output < width; output++) {
        const value = outputs[sample * width + output]! - this.shiftTwo[output]!;
        this.two[output]! += value;
        this.squaresTwo[output]! += value * value;
      }
      for (let particle = 0; particle < particles; particle++) {
        const value = responses[sample * particles + particle]! - this.shiftOne[particle]!;
        this.one[particle]! += value;
        this.squaresOne[particle]! += value * value;
        if (value === 0) continue;
        for (let output = 0; output < width; output++) {
          this.both[particle * width + output]! += value * (outputs[sample * width + output]! - this.shiftTwo[output]!);
        }
      }
    }
    this.count += samples;
  }

  /** 0 where one of the two does not vary. */
  correlations(): Float32Array {
    const { count, width } = this;
    return Float32Array.from(this.both, (both, at) => {
      const [particle, output] = [Math.floor(at / width), at % width];
      const [one, two] = [this.one[particle]!, this.two[output]!];
      const [spreadOne, spreadTwo] = [this.squaresOne[particle]! - (one * one) / count, this.squaresTwo[output]! - (two * two) / count];
      // What only rounding moves does not vary.
      if (!(spreadOne > 1e-12 * this.squaresOne[particle]!) || !(spreadTwo > 1e-12 * this.squaresTwo[output]!)) return 0;
      return Math.max(-1, Math.min(1, (both - (one * two) / count) / Math.sqrt(spreadOne * spreadTwo)));
    });
  }
}
