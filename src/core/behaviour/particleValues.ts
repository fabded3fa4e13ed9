import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import { axisWalk, responseOf } from './forward';
import { sampleAxisOf } from './sampleAxis';

/** Where a group's outputs are looked at, and how they are laid out there. */
export interface OutputPlace {
  readonly value: string;
  /** The axis of the particles; each has `size / particles` indices of it. */
  readonly axis: number;
  readonly sampleAxis: number;
  readonly particles: number;
}

export function outputPlace(graph: ModelGraph, group: ParticleGroup): OutputPlace {
  const { value, axis } = responseOf(graph, group);
  return { value, axis, sampleAxis: sampleAxisOf(graph, value), particles: group.count };
}

/** Calls `visit` with every output of one particle (or of all, when `only` is undefined), its sample and its particle. */
export function forEachOutput(
  array: NdArray, { axis, sampleAxis, particles }: OutputPlace, { samples, only }: { readonly samples: number; readonly only?: number },
  visit: (value: number, sample: number, particle: number) => void,
): void {
  const values = asFloat32(array);
  const { outer, size, inner } = axisWalk(array.shape, axis);
  const block = size / particles;
  const [first, end] = only === undefined ? [0, size] : [only * block, (only + 1) * block];
  const along = axisWalk(array.shape, sampleAxis);
  for (let turn = 0; turn < outer; turn++) {
    for (let index = first; index < end; index++) {
      const start = (turn * size + index) * inner;
      const particle = Math.floor(index / block);
      for (let at = start; at < start + inner; at++) {
        // Where samples and steps share an axis, a sample has several indices of it.
        const sample = Math.floor(((Math.floor(at / along.inner) % along.size) * samples) / along.size);
        visit(values[at]!, sample, particle);
      }
    }
  }
}

/** What a particle says of each sample, by sample and particle [samples, particles]: its mean output over positions, or another summary. */
export function outputsBySample(
  array: NdArray, place: OutputPlace, samples: number, summary: 'mean' | 'magnitude' | 'largest' = 'mean',
): Float32Array {
  const { particles } = place;
  const found = new Float64Array(samples * particles).fill(summary === 'largest' ? -Infinity : 0);
  const each = array.data.length / (samples * particles);
  forEachOutput(array, place, { samples }, (value, sample, particle) => {
    const at = sample * particles + particle;
    if (summary === 'largest') found[at] = Math.max(found[at]!, value);
    else found[at]! += (summary === 'mean' ? value : Math.abs(value)) / each;
  });
  return Float32Array.from(found);
}
