import type { NumericArray } from '../graph/tensor';

/** A key of 53 bits for each row of an array, mixed with the keys so far: equal rows of all arrays have equal keys. */
export function mixRowKeys(keys: Float64Array, data: NumericArray, from: number): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const rows = keys.length - from;
  const each = bytes.length / (rows || 1);
  for (let row = 0; row < rows; row++) {
    const before = keys[from + row]!;
    // Two independent hashes of 32 bits (FNV-1a and a multiplicative one), of which 53 bits are kept.
    let one = (0x811c9dc5 ^ (before % 2 ** 32)) >>> 0;
    let two = (0x9747b28c + Math.floor(before / 2 ** 32)) >>> 0;
    for (let at = row * each; at < (row + 1) * each; at++) {
      one = Math.imul(one ^ bytes[at]!, 0x01000193);
      two = Math.imul(two, 0x5bd1e995) + bytes[at]! + (two >>> 15);
    }
    keys[from + row] = (one >>> 0) + ((Math.imul(two ^ (two >>> 13), 0xc2b2ae35) >>> 11) * 2 ** 32);
  }
}

export interface Duplicates {
  /** Rows that are equal to an earlier one. */
  readonly rows: number;
  /** The first of them, and the row that it repeats. */
  readonly first?: readonly [row: number, earlier: number];
  /** Rows that are equal to an earlier one but have another label. */
  readonly otherLabel: number;
}

export function findDuplicates(keys: Float64Array, labels?: ArrayLike<number>): Duplicates {
  const seen = new Map<number, number>();
  let [rows, otherLabel] = [0, 0];
  let first: readonly [number, number] | undefined;
  keys.forEach((key, row) => {
    const earlier = seen.get(key);
    if (earlier === undefined) return void seen.set(key, row);
    rows++;
    first ??= [row, earlier];
    if (labels && labels[row] !== labels[earlier]) otherLabel++;
  });
  return { rows, first, otherLabel };
}

/** Rows of `right` that are equal to a row of `left`, but are not the same row. */
export function leakedRows(keys: Float64Array, left: ArrayLike<number>, right: ArrayLike<number>): { readonly rows: number; readonly first?: number } {
  const known = new Map<number, number>();
  for (let at = 0; at < left.length; at++) known.set(keys[left[at]!]!, left[at]!);
  let rows = 0;
  let first: number | undefined;
  for (let at = 0; at < right.length; at++) {
    const row = right[at]!;
    const other = known.get(keys[row]!);
    if (other === undefined || other === row) continue;
    rows++;
    first ??= row;
  }
  return { rows, first };
}
