import type { NdArray } from '../graph/tensor';
import { asFloat32 } from '../graph/numeric';
import { seededRandom } from '../graph/seededRandom';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { axisWalk, forEachBatch } from './forward';
import { outputPlace } from './particleValues';

/** What the particles of a layer say at the same places: samples and positions. */
export interface Profiles {
  readonly count: number;
  readonly features: number;
  /** [count, features] */
  readonly values: Float32Array;
}

/** Places that are looked at in a layer: all, or that many drawn evenly from all of them. */
const mostFeatures = 4096;
/** Numbers of a layer's profiles: 64 MB. */
const mostNumbers = 16e6;

/** Runs the samples and keeps each group's outputs at the same places, drawn by the data's seed. */
export async function activationProfiles(context: BehaviourContext, groups: readonly ParticleGroup[]): Promise<ReadonlyMap<ParticleGroup, Profiles>> {
  const { data, graph } = context;
  const found = groups.map((group) => ({ group, place: outputPlace(graph, group), kept: [] as Float32Array[], random: seededRandom(data.seed) }));
  await forEachBatch(context, found.map(({ place }) => place.value), 'Activation profiles', (values, from, to) => {
    for (const { group, place, kept, random } of found) {
      const array = values.get(place.value)!;
      const limit = Math.max(16, Math.min(mostFeatures, Math.floor(mostNumbers / group.count)));
      const all = array.data.length / group.count;
      const quota = Math.round((limit * to) / data.count) - Math.round((limit * from) / data.count);
      // Without the draw the same column of every picture might be taken.
      const places = all <= quota ? Array.from({ length: all }, (_, index) => index)
        : Array.from({ length: quota }, (_, index) => Math.floor(((index + random()) * all) / quota));
      kept.push(outputsAt(array, place.axis, group.count, places));
    }
  });
  return new Map(found.map(({ group, kept }) => [group, joined(kept, group.count)]));
}

/** By particle: its outputs at these places, [particles, places]. */
function outputsAt(array: NdArray, axis: number, particles: number, places: readonly number[]): Float32Array {
  const values = asFloat32(array);
  const { size, inner } = axisWalk(array.shape, axis);
  const run = (size / particles) * inner;
  const result = new Float32Array(particles * places.length);
  places.forEach((place, index) => {
    const [outer, rest] = [Math.floor(place / run), place % run];
    for (let particle = 0; particle < particles; particle++) {
      result[particle * places.length + index] = values[outer * size * inner + particle * run + rest]!;
    }
  });
  return result;
}

function joined(parts: readonly Float32Array[], count: number): Profiles {
  const features = parts.reduce((sum, part) => sum + part.length / count, 0);
  const values = new Float32Array(count * features);
  let start = 0;
  for (const part of parts) {
    const width = part.length / count;
    for (let particle = 0; particle < count; particle++) values.set(part.subarray(particle * width, (particle + 1) * width), particle * features + start);
    start += width;
  }
  return { count, features, values };
}

/** Each profile with mean 0 and length 1; undefined where it is constant or holds what is no number. */
export function standardised({ count, features, values }: Profiles): readonly (Float32Array | undefined)[] {
  const spreads = Array.from({ length: count }, (_, particle) => {
    const own = values.subarray(particle * features, (particle + 1) * features);
    const mean = own.reduce((sum, value) => sum + value, 0) / features;
    return { own, mean, size: Math.sqrt(own.reduce((sum, value) => sum + (value - mean) ** 2, 0)), largest: own.reduce((most, value) => Math.max(most, Math.abs(value)), 0) };
  });
  const largest = spreads.reduce((most, { size }) => (size > most ? size : most), 0);
  return spreads.map(({ own, mean, size, largest: loudest }) => {
    // What only rounding moves says nothing.
    if (!Number.isFinite(size) || size <= 1e-6 * largest || size <= 1e-6 * loudest * Math.sqrt(features)) return undefined;
    return own.map((value) => (value - mean) / size);
  });
}

