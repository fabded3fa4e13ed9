import type { NdArray, NumericArray } from '../graph/tensor';
import { axisWalk } from './forward';

/**
 * One copy of the array for each list of indices on an axis, one behind the other on the first axis, with those indices set
 * to zero ('drop') or all others ('keep').
 */
export function maskedCopies(array: NdArray, axis: number, lists: readonly (readonly number[])[], what: 'drop' | 'keep'): NdArray {
  const result = copies(array, lists.length);
  const { outer, size, inner } = axisWalk(array.shape, axis);
  const zero = array.data instanceof BigInt64Array || array.data instanceof BigUint64Array ? 0n : 0;
  lists.forEach((list, position) => {
    const dropped = what === 'drop' ? list : Array.from({ length: size }, (_, index) => index).filter((index) => !list.includes(index));
    const start = position * array.data.length;
    for (let block = 0; block < outer; block++) {
      for (const index of dropped) {
        const at = start + (block * size + index) * inner;
        result.data.fill(zero as never, at, at + inner);
      }
    }
  });
  return result;
}

/** The array `count` times, one behind the other on the first axis. */
export function copies(array: NdArray, count: number): NdArray {
  const make = array.data.constructor as new (length: number) => NumericArray;
  const data = new make(count * array.data.length);
  for (let copy = 0; copy < count; copy++) data.set(array.data as never, copy * array.data.length);
  return { dtype: array.dtype, shape: [count * array.shape[0]!, ...array.shape.slice(1)], data };
}
