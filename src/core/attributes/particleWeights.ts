import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { WeightSlice } from '../graph/ops/operator';
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

/** Reads the weights in which a group's particles are slices (role 'weight'; biases and norms are left out). */
export async function* particleWeights(graph: ModelGraph, group: ParticleGroup): AsyncIterable<SlicedWeight> {
  for (const slice of group.slices) {
    if (slice.role !== 'weight') continue;
    const tensor = graph.tensors.get(slice.tensor);
    if (tensor) yield slicedWeight(asFloat32(await tensor.read()), tensor.shape, slice);
  }
}

export function slicedWeight(values: Float32Array, shape: readonly number[], slice: WeightSlice): SlicedWeight {
  const { axis } = slice;
  return {
    values,
    outer: product(shape.slice(0, axis)),
    size: shape[axis]!,
    inner: product(shape.slice(axis + 1)),
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

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
