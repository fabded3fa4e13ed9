import type * as Tf from '@tensorflow/tfjs-core';
import type { DType, NdArray } from '../../core/graph/tensor';

export type TfModule = typeof Tf;

/**
 * A value of the graph while the model runs. Its axes may lie in another order in memory: axis j of `tensor` is axis
 * `order[j]` of the value. So a Transpose moves nothing, and convolutions find the channels last, where TensorFlow.js wants them.
 */
export interface Value {
  readonly tensor: Tf.Tensor;
  readonly order: readonly number[];
  /** Type in the graph; TensorFlow.js has int32, bool and float32 only. */
  readonly dtype: DType;
  /** Other forms of a weight (transposed, split), made once and kept as long as the program. */
  readonly forms?: Map<string, Tf.Tensor>;
  /** Elements of a small integer weight in the value's own order. */
  readonly numbers?: readonly number[];
}

export function inOrder(rank: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis);
}

export function isInOrder(order: readonly number[]): boolean {
  return order.every((axis, position) => axis === position);
}

/** Shape in the value's own order. */
export function shapeOf(value: Value): number[] {
  const shape = new Array<number>(value.order.length);
  value.order.forEach((axis, position) => {
    shape[axis] = value.tensor.shape[position]!;
  });
  return shape;
}

export function tfType(dtype: DType): 'float32' | 'int32' | 'bool' {
  if (dtype === 'bool') return 'bool';
  return /^u?int/.test(dtype) ? 'int32' : 'float32';
}

/** Elements as TensorFlow.js wants them. */
export function tfData(array: NdArray, asFloat32: (array: NdArray) => Float32Array): Float32Array | Int32Array | Uint8Array {
  const type = tfType(array.dtype);
  if (type === 'float32') return asFloat32(array);
  if (type === 'bool') return array.data as Uint8Array;
  if (array.data instanceof Int32Array) return array.data;
  const result = new Int32Array(array.data.length);
  // Sizes such as "to the end" (2^63 - 1) become the largest that there is.
  for (let index = 0; index < result.length; index++) {
    result[index] = Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Number(array.data[index])));
  }
  return result;
}

/** numpy's: aligned at the last axis. */
export function broadcastShape(left: readonly number[], right: readonly number[]): number[] {
  const rank = Math.max(left.length, right.length);
  return Array.from({ length: rank }, (_, axis) => {
    const a = left[axis - rank + left.length] ?? 1;
    const b = right[axis - rank + right.length] ?? 1;
    return a === 1 ? b : a;
  });
}
