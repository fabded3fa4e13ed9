import { asFloat32 } from '../graph/numeric';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { axisWalk, chosenGroups, forEachBatch, responseOf } from './forward';

/** Binary exponents below the layer's largest output from which on an output counts as zero: 2^-20, about a millionth. */
const zeroExponents = 20;

/** Mean, deviation and share of zeros of every particle's outputs, behind its activation, over all positions of all samples. */
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
      name: 'deadShare', title: 'Share of dead outputs', unit: '', scale: 'sequential', exact: true,
      meaning: 'Share of the particle\'s outputs over all samples and positions that are zero, that is below a millionth (2^-20) of the largest in its layer; 1 is a dead particle.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { graph, table } = context;
  const groups = chosenGroups(context).map((group) => ({ group, at: responseOf(graph, group), sums: newSums(group.count) }));
  await forEachBatch(context, groups.map(({ at }) => at.value), 'Activations', (values) => {
    for (const { group, at, sums } of groups) {
      const array = values.get(at.value)!;
      const walk = axisWalk(array.shape, at.axis);
      addOutputs(sums, asFloat32(array), walk, group.count);
    }
  });
  const [mean, deviation, dead] = [table.emptyValues(), table.emptyValues(), table.emptyValues()];
  for (const { group, sums } of groups) {
    const largest = sums.exponents.reduce((most, count, index) => (count && index % 256 < 255 ? Math.max(most, index % 256) : most), 0);
    for (let particle = 0; particle < group.count; particle++) {
      const row = group.firstRow + particle;
      const average = sums.sum[particle]! / sums.count;
      mean[row] = average;
      deviation[row] = Math.sqrt(Math.max(0, sums.squares[particle]! / sums.count - average * average));
      let zeros = 0;
      for (let exponent = 0; exponent < Math.max(1, largest - zeroExponents); exponent++) zeros += sums.exponents[particle * 256 + exponent]!;
      dead[row] = zeros / sums.count;
    }
  }
  return [mean, deviation, dead];
}

interface Sums {
  readonly sum: Float64Array;
  readonly squares: Float64Array;
  /** How many outputs of each particle have each binary exponent: zeros are told from the rest when the largest is known. */
  readonly exponents: Float64Array;
  /** Outputs a particle. */
  count: number;
}

function newSums(particles: number): Sums {
  return { sum: new Float64Array(particles), squares: new Float64Array(particles), exponents: new Float64Array(256 * particles), count: 0 };
}

function addOutputs(sums: Sums, values: Float32Array, { outer, size, inner }: ReturnType<typeof axisWalk>, particles: number): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const perParticle = size / particles;
  let at = 0;
  for (let block = 0; block < outer; block++) {
    for (let index = 0; index < size; index++) {
      const particle = Math.floor(index / perParticle);
      let [sum, squares] = [0, 0];
      for (const end = at + inner; at < end; at++) {
        const value = values[at]!;
        sum += value;
        squares += value * value;
        sums.exponents[particle * 256 + ((bits[at]! >>> 23) & 255)]!++;
      }
      sums.sum[particle]! += sum;
      sums.squares[particle]! += squares;
    }
  }
  sums.count += outer * perParticle * inner;
}
