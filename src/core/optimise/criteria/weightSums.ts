import type { SlicedWeight } from '../../attributes/particleWeights';
import { asFloat32 } from '../../graph/numeric';
import { elementCount, type Tensor } from '../../graph/tensor';
import type { PartScores } from './criterion';
import type { WeightPart } from './bundleParts';

/** The part's numbers laid out as runs, with the tensor's values in float32. */
export async function valuesOf(tensor: Tensor, { axis }: WeightPart): Promise<Omit<SlicedWeight, 'particleOf'>> {
  const { shape } = tensor;
  return { values: asFloat32(await tensor.read()), outer: elementCount(shape.slice(0, axis)), size: shape[axis]!, inner: elementCount(shape.slice(axis + 1)) };
}

/** For every bundle of a part the sum of `of(place)` over the places in the tensor that go with it. */
export function sumByBundle({ bundleOf }: WeightPart, { outer, size, inner }: Omit<SlicedWeight, 'values' | 'particleOf'>, of: (place: number) => number): PartScores {
  const byIndex = new Float64Array(size);
  for (let block = 0, at = 0; block < outer; block++) {
    for (let index = 0; index < size; index++) {
      let sum = 0;
      for (const end = at + inner; at < end; at++) sum += of(at);
      byIndex[index]! += sum;
    }
  }
  return sumIndices(bundleOf, byIndex);
}

/** Indices of one part that go with the same bundle are added up. */
export function sumIndices(bundleOf: Int32Array, byIndex: Float64Array): PartScores {
  const sums = new Map<number, number>();
  bundleOf.forEach((bundle, index) => {
    if (bundle >= 0) sums.set(bundle, (sums.get(bundle) ?? 0) + byIndex[index]!);
  });
  return { bundles: [...sums.keys()], values: [...sums.values()] };
}
