import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { axisWalk, chosenGroups, forEachBatch } from './forward';
import { outputPlace, type OutputPlace } from './particleValues';

/** Binary exponents below the layer's largest output from which on an output counts as zero: 2^-20, about a millionth. */
const zeroExponents = 20;

/**
 * What particles say, from one run over the data for all layers: of kernels, neurons, units and factors every output at every position
 * and step; of attention heads the length of what they add at each position.
 */
export const activationStatistics: BehaviourFamily = {
  columns: [
    {
      name: 'activationMean', title: 'Mean activation', unit: '', scale: 'diverging', exact: true,
      meaning: 'Mean of the particle\'s outputs, behind its activation and before pooling, over all samples and positions.',
    },
    {
      name: 'activationDeviation', title: 'Activation deviation', unit: '', scale: 'sequential', exact: true,
      meaning: 'Standard deviation of the particle\'s outputs over all samples and positions; near 0 it says the same whatever the input.',
    },
    {
      name: 'activationMinimum', title: 'Least activation', unit: '', scale: 'diverging', exact: true,
      meaning: 'Smallest of the particle\'s outputs over all samples and positions.',
    },
    {
      name: 'activationMaximum', title: 'Greatest activation', unit: '', scale: 'diverging', exact: true,
      meaning: 'Largest of the particle\'s outputs over all samples and positions.',
    },
    {
      name: 'sparsity', title: 'Share of zero outputs', unit: '', scale: 'sequential', exact: true,
      meaning: 'Share of the particle\'s outputs over all samples and positions that are zero, that is below a millionth (2^-20) of the largest in its layer.',
    },
    {
      name: 'deadShare', title: 'Share of samples without it', unit: '', scale: 'sequential', exact: true,
      meaning: 'Share of the samples for which every output of the particle is zero, that is below a millionth (2^-20) of the largest in its layer; 1 is a dead particle.',
    },
    {
      name: 'activationEntropy', title: 'Activation entropy', unit: 'bit', scale: 'sequential', exact: true,
      meaning: 'Entropy of the histogram of the particle\'s outputs in 32 equal steps from the smallest to the largest; 0 says always the same, 5 bits uses its range evenly.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { graph, table } = context;
  const groups = chosenGroups(context).map((group) => ({ group, place: outputPlace(graph, group), sums: new OutputSums(group.count) }));
  await forEachBatch(context, groups.map(({ place }) => place.value), 'Activations', (values, from, to) => {
    for (const { group, place, sums } of groups) addOutputs(sums, asOutputs(values.get(place.value)!, place, group), to - from);
  });
  const columns = activationStatistics.columns.map(() => table.emptyValues());
  for (const { group, sums } of groups) {
    for (let particle = 0; particle < group.count; particle++) {
      sums.statistics(particle).forEach((value, column) => (columns[column]![group.firstRow + particle] = value));
    }
  }
  return columns;
}

interface Outputs extends OutputPlace {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** A head's outputs at one position are one vector, of which the length counts; others are taken as they are. */
function asOutputs(array: NdArray, place: OutputPlace, group: ParticleGroup): Outputs {
  const values = asFloat32(array);
  if (group.kind !== 'head') return { ...place, values, shape: array.shape };
  const { outer, size, inner } = axisWalk(array.shape, place.axis);
  const block = size / group.count;
  const lengths = new Float32Array(outer * group.count * inner);
  for (let turn = 0; turn < outer; turn++) {
    for (let index = 0; index < size; index++) {
      const to = (turn * group.count + Math.floor(index / block)) * inner;
      for (let rest = 0; rest < inner; rest++) lengths[to + rest]! += values[(turn * size + index) * inner + rest]! ** 2;
    }
  }
  for (let at = 0; at < lengths.length; at++) lengths[at] = Math.sqrt(lengths[at]!);
  return { ...place, values: lengths, shape: array.shape.map((one, axis) => (axis === place.axis ? group.count : one)) };
}

/** Bins of a histogram around zero; its range doubles when a value does not fit, and neighbours join. */
const fineBins = 512;
const bins = 32;

/** Sums over outputs, particle by particle. */
class OutputSums {
  /** Of what outputs exceed the particle's first by, so that a large mean does not cost digits. */
  private readonly sum: Float64Array;
  private readonly squares: Float64Array;
  private readonly first: Float32Array;
  private readonly least: Float32Array;
  private readonly most: Float32Array;
  /** How many outputs, and how many samples' largest outputs, have each binary exponent: what counts as zero is known in the end. */
  private readonly exponents: Uint32Array;
  private readonly sampleExponents: Uint32Array;
  private readonly histogram: Uint32Array;
  private readonly range: Float64Array;
  private readonly count: Float64Array;
  private samples = 0;

  constructor(readonly particles: number) {
    [this.sum, this.squares, this.count, this.range] = [new Float64Array(particles), new Float64Array(particles), new Float64Array(particles), new Float64Array(particles)];
    [this.first, this.least, this.most] = [new Float32Array(particles), new Float32Array(particles).fill(Infinity), new Float32Array(particles).fill(-Infinity)];
    [this.exponents, this.sampleExponents] = [new Uint32Array(256 * particles), new Uint32Array(256 * particles)];
    this.histogram = new Uint32Array(fineBins * particles);
  }

  /** A run of outputs of one particle; returns the largest exponent among them. */
  run(particle: number, values: Float32Array, bits: Uint32Array, from: number, to: number): number {
    if (this.count[particle] === 0) this.first[particle] = values[from]!;
    const first = this.first[particle]!;
    let [sum, squares, largest, least, most] = [0, 0, 0, this.least[particle]!, this.most[particle]!];
    for (let at = from; at < to; at++) {
      const value = values[at]!;
      const past = value - first;
      sum += past;
      squares += past * past;
      const exponent = (bits[at]! >>> 23) & 255;
      this.exponents[particle * 256 + exponent]!++;
      if (exponent > largest) largest = exponent;
      if (value < least) least = value;
      if (value > most) most = value;
      this.bin(particle, value);
    }
    this.sum[particle]! += sum;
    this.squares[particle]! += squares;
    this.count[particle]! += to - from;
    [this.least[particle], this.most[particle]] = [least, most];
    return largest;
  }

  /** Largest exponents by sample and particle [samples, particles]. */
  finishSamples(largest: Uint8Array): void {
    for (let at = 0; at < largest.length; at++) this.sampleExponents[(at % this.particles) * 256 + largest[at]!]!++;
    this.samples += largest.length / this.particles;
  }

  statistics(particle: number): readonly number[] {
    const count = this.count[particle]!;
    const past = this.sum[particle]! / count;
    return [
      this.first[particle]! + past, Math.sqrt(Math.max(0, this.squares[particle]! / count - past * past)), this.least[particle]!, this.most[particle]!,
      this.below(this.exponents, particle) / count, this.below(this.sampleExponents, particle) / this.samples, this.entropy(particle),
    ];
  }

  /** How many are so small beside the layer's largest output that they are zero. */
  private below(exponents: Uint32Array, particle: number): number {
    this.layerLargest ??= this.exponents.reduce((most, count, index) => (count && index % 256 < 255 ? Math.max(most, index % 256) : most), 0);
    let zeros = 0;
    for (let exponent = 0; exponent < Math.max(1, this.layerLargest - zeroExponents); exponent++) zeros += exponents[particle * 256 + exponent]!;
    return zeros;
  }

  private layerLargest: number | undefined;

  private bin(particle: number, value: number): void {
    let range = this.range[particle]!;
    const size = Math.abs(value);
    if (!(size < range)) {
      if (!(size < Infinity)) return;
      if (range === 0 && size > 0) range = 2 ** (Math.floor(Math.log2(size)) + 1);
      // Only zeros so far: they stay in the middle whatever the range.
      for (let before = this.range[particle]!; before > 0 && size >= range; before = range) {
        range *= 2;
        this.widen(particle);
      }
      this.range[particle] = range;
    }
    const at = range > 0 ? Math.min(fineBins - 1, Math.floor((value / range + 1) * (fineBins / 2))) : fineBins / 2;
    this.histogram[particle * fineBins + at]!++;
  }

  private widen(particle: number): void {
    const own = this.histogram.subarray(particle * fineBins, (particle + 1) * fineBins);
    const wide = new Uint32Array(fineBins);
    own.forEach((count, at) => (wide[fineBins / 4 + (at >> 1)]! += count));
    own.set(wide);
  }

  /** In bits, of the histogram between the smallest and the largest output. */
  private entropy(particle: number): number {
    const [least, most, range] = [this.least[particle]!, this.most[particle]!, this.range[particle]!];
    if (!(most > least)) return 0;
    const coarse = new Float64Array(bins);
    let all = 0;
    for (let at = 0; at < fineBins; at++) {
      const count = this.histogram[particle * fineBins + at]!;
      if (!count) continue;
      const centre = ((at + 0.5) / (fineBins / 2) - 1) * range;
      coarse[Math.max(0, Math.min(bins - 1, Math.floor(((centre - least) / (most - least)) * bins)))]! += count;
      all += count;
    }
    return coarse.reduce((sum, count) => (count ? sum - (count / all) * Math.log2(count / all) : sum), 0);
  }
}

function addOutputs(sums: OutputSums, { values, shape, axis, sampleAxis, particles }: Outputs, samples: number): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const { outer, size, inner } = axisWalk(shape, axis);
  const block = size / particles;
  const along = axisWalk(shape, sampleAxis);
  const sampleAt = (at: number): number => Math.floor(((Math.floor(at / along.inner) % along.size) * samples) / along.size);
  const largest = new Uint8Array(samples * particles);
  // With the sample in front of the particle, as nearly always, a run belongs to one sample.
  const step = sampleAxis < axis ? inner : Math.min(inner, along.inner);
  for (let turn = 0; turn < outer; turn++) {
    for (let index = 0; index < size; index++) {
      const particle = Math.floor(index / block);
      const start = (turn * size + index) * inner;
      for (let from = start; from < start + inner; from += step) {
        const at = sampleAt(from) * particles + particle;
        const exponent = sums.run(particle, values, bits, from, from + step);
        if (exponent > largest[at]!) largest[at] = exponent;
      }
    }
  }
  sums.finishSamples(largest);
}
