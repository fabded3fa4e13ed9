import { elementCount, type NdArray, type NumericArray } from '../../graph/tensor';

/** Which axes of a value are its samples and its particles. */
export interface RowPlace {
  readonly sampleAxis: number;
  readonly axis: number;
}

/** Rows of an array on its sample axis, in any order and as often as named. */
export function gatherRows(array: NdArray, sampleAxis: number, rows: ArrayLike<number>): NdArray {
  const inner = elementCount(array.shape.slice(sampleAxis + 1));
  const outer = elementCount(array.shape.slice(0, sampleAxis));
  const size = array.shape[sampleAxis]!;
  const make = array.data.constructor as new (length: number) => NumericArray;
  const data = new make(outer * rows.length * inner);
  for (let block = 0; block < outer; block++) {
    for (let at = 0; at < rows.length;) {
      // Rows that follow each other are copied together.
      let end = at + 1;
      while (end < rows.length && rows[end]! === rows[end - 1]! + 1) end++;
      const start = (block * size + rows[at]!) * inner;
      data.set(array.data.subarray(start, start + (end - at) * inner) as never, (block * rows.length + at) * inner);
      at = end;
    }
  }
  return { dtype: array.dtype, shape: array.shape.map((dim, axis) => (axis === sampleAxis ? rows.length : dim)), data };
}

/** Sets the indices of a particle in rows [first, first + rows.length) of `target` to what the rows of `instead` hold there, or to zero. */
export function replaceIndices(
  target: NdArray, place: RowPlace, indices: readonly number[], { first, rows, instead }: { first: number; rows: ArrayLike<number>; instead?: NdArray },
): void {
  const zero = zeroOf(target);
  const to = walkOf(target.shape, place);
  const from = instead && walkOf(instead.shape, place);
  for (let block = 0; block < to.outer * to.middle; block++) {
    const [start, source] = [startOf(to, block), from ? startOf(from, block) : 0];
    for (let row = 0; row < rows.length; row++) {
      for (const index of indices) {
        const at = start + (first + row) * to.sampleStride + index * to.indexStride;
        if (from) {
          const there = source + rows[row]! * from.sampleStride + index * from.indexStride;
          for (let rest = 0; rest < to.inner; rest++) target.data[at + rest] = instead.data[there + rest]!;
        } else if (to.inner === 1) {
          target.data[at] = zero;
        } else {
          target.data.fill(zero as never, at, at + to.inner);
        }
      }
    }
  }
}

/** The samples for which a particle says anything else than what would take its place (zero, when `instead` is missing). */
export function changedSamples(array: NdArray, place: RowPlace, indices: readonly number[], instead?: NdArray): Uint8Array {
  const { data } = array;
  const zero = zeroOf(array);
  const walk = walkOf(array.shape, place);
  const changed = new Uint8Array(array.shape[place.sampleAxis]!);
  for (let sample = 0; sample < changed.length; sample++) {
    search: for (let block = 0; block < walk.outer * walk.middle; block++) {
      const start = startOf(walk, block) + sample * walk.sampleStride;
      for (const index of indices) {
        const first = start + index * walk.indexStride;
        for (let at = first; at < first + walk.inner; at++) {
          if (data[at] === (instead ? instead.data[at] : zero)) continue;
          changed[sample] = 1;
          break search;
        }
      }
    }
  }
  return changed;
}

function zeroOf({ data }: NdArray): number | bigint {
  return data instanceof BigInt64Array || data instanceof BigUint64Array ? 0n : 0;
}

/** How an array is walked sample by sample and index by index on the particles' axis, whichever of the two comes first. */
interface Walk {
  /** Blocks in front of both axes, and between them, with the elements from one to the next. */
  readonly outer: number;
  readonly outerStride: number;
  readonly middle: number;
  readonly middleStride: number;
  readonly sampleStride: number;
  readonly indexStride: number;
  /** Elements one behind the other behind both axes. */
  readonly inner: number;
}

function walkOf(shape: readonly number[], { sampleAxis, axis }: RowPlace): Walk {
  const [first, second] = sampleAxis < axis ? [sampleAxis, axis] : [axis, sampleAxis];
  const after = (at: number): number => elementCount(shape.slice(at + 1));
  return {
    outer: elementCount(shape.slice(0, first)), outerStride: after(first) * shape[first]!,
    middle: elementCount(shape.slice(first + 1, second)), middleStride: after(second) * shape[second]!,
    sampleStride: after(sampleAxis), indexStride: after(axis), inner: after(second),
  };
}

function startOf(walk: Walk, block: number): number {
  return Math.floor(block / walk.middle) * walk.outerStride + (block % walk.middle) * walk.middleStride;
}
