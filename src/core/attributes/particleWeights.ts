import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { WeightSlice } from '../graph/ops/operator';
import { elementCount } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';

/** A weight tensor laid out so that particle p's elements are `outer` runs of `inner` elements. */
export interface SlicedWeight {
  readonly values: Float32Array;
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
  /** The particle that index i of the sliced axis belongs to. */
  particleOf(index: number): number;
}

/**
 * Whether a slice counts among a particle's weights: a head's four projections do; biases, norms and the recurrent column
 * by which a unit speaks to the others do not, nor keys and values that several heads share.
 */
export function isOwnWeight({ role, shared = 1 }: WeightSlice): boolean {
  return shared === 1 && (role === 'weight' || role === 'query' || role === 'key' || role === 'value' || role === 'output');
}

/** Reads the weights in which a group's particles are slices. */
export async function* particleWeights(graph: ModelGraph, group: ParticleGroup): AsyncIterable<SlicedWeight> {
  for (const slice of group.slices) {
    if (!isOwnWeight(slice)) continue;
    const tensor = graph.tensors.get(slice.tensor);
    if (tensor) yield slicedWeight(asFloat32(await tensor.read()), tensor.shape, slice);
  }
}

export function slicedWeight(values: Float32Array, shape: readonly number[], slice: WeightSlice): SlicedWeight {
  const { axis } = slice;
  return {
    values,
    outer: elementCount(shape.slice(0, axis)),
    size: shape[axis]!,
    inner: elementCount(shape.slice(axis + 1)),
    particleOf: (index) => particleOf(slice, index),
  };
}

/** The particle that index `index` of the sliced axis belongs to. */
export function particleOf({ block = 1, every }: WeightSlice, index: number): number {
  return Math.floor((every ? index % every : index) / block);
}

/** Calls `visit` with every run of elements of every particle. */
export function forEachRun(weight: SlicedWeight, visit: (particle: number, start: number, end: number) => void): void {
  const { outer, size, inner } = weight;
  for (let block = 0; block < outer; block++) {
    for (let index = 0; index < size; index++) {
      const start = (block * size + index) * inner;
      visit(weight.particleOf(index), start, start + inner);
    }
  }
}
