import { allocate } from '../../graph/numeric';
import { elementCount, type NdArray, type Tensor } from '../../graph/tensor';

/**
 * How a weight of the file becomes a tensor of the graph: axes permuted (graph axis k is file axis `axes[k]`), and for
 * depthwise kernels with a multiplier the first two axes of the result merged: [in, mult, ...] -> [in * mult, 1, ...].
 */
export interface WeightLayout {
  readonly axes: readonly number[];
  readonly multiplier?: number;
}

/** The weight under another name and in the graph's layout, still read only when asked for. */
export function viewWeight(name: string, weight: Tensor, layout: WeightLayout): Tensor {
  const { axes, multiplier } = layout;
  const permuted = axes.map((axis) => weight.shape[axis]!);
  const merged = multiplier !== undefined && multiplier !== 1;
  const shape = merged ? [permuted[0]! * permuted[1]!, 1, ...permuted.slice(2)] : permuted;
  const { stored } = weight;
  return {
    name, dtype: weight.dtype, shape,
    stored: stored && !merged ? { ...stored, axes: axes.map((axis) => stored.axes[axis]!) } : undefined,
    async read() {
      const array = permute(await weight.read(), axes);
      return { ...array, shape };
    },
  };
}

/** The inverse of {@link viewWeight}: elements of a tensor of the graph, in the file's layout. */
export function unviewWeight(array: NdArray, { axes, multiplier }: WeightLayout): NdArray {
  const shape = fileShape(array.shape, { axes, multiplier });
  const permuted = axes.map((axis) => shape[axis]!);
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  return permute({ ...array, shape: permuted }, inverse);
}

/** Shape in the file of a tensor that has `shape` in the graph. */
export function fileShape(shape: readonly number[], { axes, multiplier = 1 }: WeightLayout): readonly number[] {
  const split = multiplier === 1 ? shape : [shape[0]! / multiplier, multiplier, ...shape.slice(2)];
  return axes.map((_, axis) => split[axes.indexOf(axis)]!);
}

/** Axis k of the result is axis `axes[k]` of the array. */
export function permute(array: NdArray, axes: readonly number[]): NdArray {
  const shape = axes.map((axis) => array.shape[axis]!);
  if (axes.every((axis, index) => axis === index)) return { ...array, shape };
  const count = elementCount(shape);
  // Both hold elements of one type; which one does not matter for copying.
  const data = allocate(array.dtype, count) as Float32Array;
  const strides = axes.map((axis) => elementCount(array.shape.slice(axis + 1)));
  const position = new Array<number>(shape.length).fill(0);
  const source = array.data as Float32Array;
  for (let index = 0, from = 0; index < count; index++) {
    data[index] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return { dtype: array.dtype, shape, data };
}
