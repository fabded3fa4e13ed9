import { throwIfCancelled, type Task } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import { seededRandom } from '../graph/seededRandom';
import { elementCount, type NumericArray } from '../graph/tensor';
import type { ArraySource } from './arraySource';
import { mixRowKeys } from './rowHash';

/** What one pass over an array finds. */
export interface Scan {
  readonly minimum: number;
  readonly maximum: number;
  readonly mean: number;
  readonly deviation: number;
  /** Rows with a value that is not a finite number; how many such values there are. */
  readonly badRows: number;
  readonly badValues: number;
  readonly firstBad: number;
  readonly rowMeans: Float64Array;
  readonly splits: readonly SplitScan[];
  /** Features that are looked at one by one: all, or evenly chosen ones of many. */
  readonly features: readonly number[];
}

/** Of one split: each feature's range over all rows, and its values on some. */
export interface SplitScan {
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly rows: number;
  /** [features, sampled rows] */
  readonly samples: readonly Float32Array[];
}

const chunkBytes = 16 * 2 ** 20;
const mostFeatures = 4096;
/** Enough to tell distributions a tenth apart, and few enough for many features. */
const sampledRows = 2000;

/** Reads an array once, in pieces. `splits` are the rows of each; `keys` takes the rows' hashes. */
export async function scanArray(
  array: ArraySource, splits: readonly Float64Array[], { keys, seed, task }: { keys?: Float64Array; seed: number; task?: Task },
): Promise<Scan> {
  const rows = array.shape[0]!;
  const perRow = elementCount(array.shape.slice(1));
  const step = Math.max(1, Math.ceil(perRow / mostFeatures));
  const features = Array.from({ length: Math.ceil(perRow / step) }, (_, index) => index * step);
  const parts = splits.map((list) => openPart(list, features.length, seed));
  const owners = ownersOf(parts, rows);
  const rowMeans = new Float64Array(rows);
  let [minimum, maximum, sum, squares, count, badRows, badValues, firstBad] = [Infinity, -Infinity, 0, 0, 0, 0, 0, -1];
  // Against an offset, so that large numbers with a small spread keep their digits.
  let offset: number | undefined;
  const chunk = Math.max(1, Math.min(4096, Math.floor(chunkBytes / (8 * Math.max(1, perRow)))));
  for (let start = 0; start < rows; start += chunk) {
    throwIfCancelled(task);
    task?.progress?.(start, rows, 'Reading the data');
    const stop = Math.min(rows, start + chunk);
    const block = await array.rows(start, stop);
    if (keys) mixRowKeys(keys.subarray(0, stop), block.data as NumericArray, start);
    const values = block.data instanceof Float64Array ? block.data : asFloat32(block);
    for (let row = start; row < stop; row++) {
      let [rowSum, rowCount] = [0, 0];
      for (let at = (row - start) * perRow; at < (row - start + 1) * perRow; at++) {
        const value = values[at]!;
        if (!Number.isFinite(value)) continue;
        offset ??= value;
        rowSum += value - offset;
        rowCount++;
        squares += (value - offset) ** 2;
        if (value < minimum) minimum = value;
        if (value > maximum) maximum = value;
      }
      badValues += perRow - rowCount;
      if (rowCount < perRow) {
        badRows++;
        if (firstBad < 0) firstBad = row;
      }
      rowMeans[row] = rowCount ? rowSum / rowCount + (offset ?? 0) : NaN;
      sum += rowSum;
      count += rowCount;
      for (const part of owners(row)) part.add(row, values, (row - start) * perRow, features);
    }
  }
  const mean = sum / count;
  return {
    minimum, maximum, mean: mean + (offset ?? 0), deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)), badRows, badValues, firstBad, rowMeans,
    features, splits: parts.map(({ low, high, samples, count: own }) => ({ low, high, samples, rows: own })),
  };
}

interface Part {
  readonly rows: Float64Array;
  readonly count: number;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly samples: Float32Array[];
  add(row: number, values: ArrayLike<number>, offset: number, features: readonly number[]): void;
}

function openPart(rows: Float64Array, features: number, seed: number): Part {
  const kept = Math.min(rows.length, sampledRows);
  const samples = Array.from({ length: features }, () => new Float32Array(kept).fill(NaN));
  const low = new Float64Array(features).fill(Infinity);
  const high = new Float64Array(features).fill(-Infinity);
  const random = seededRandom(seed);
  let [seen, taken] = [0, 0];
  return {
    rows, low, high, samples, count: rows.length,
    add(_, values, offset, list) {
      // Each row is taken with the chance that leaves as many as are wanted (selection sampling, Knuth, volume 2, 3.4.2).
      const take = random() * (rows.length - seen) < kept - taken;
      seen++;
      list.forEach((feature, index) => {
        const value = values[offset + feature]!;
        if (value < low[index]!) low[index] = value;
        if (value > high[index]!) high[index] = value;
        if (take) samples[index]![taken] = value;
      });
      if (take) taken++;
    },
  };
}

/** The splits that a row is in; rows are asked for in order. */
function ownersOf(parts: readonly Part[], rows: number): (row: number) => readonly Part[] {
  const masks = parts.map((part) => {
    const mask = new Uint8Array(rows);
    part.rows.forEach((row) => (mask[row] = 1));
    return mask;
  });
  return (row) => parts.filter((_, index) => masks[index]![row]);
}

/** Rows of a split with a value outside the range that another split has of that feature. */
export async function outside(
  array: ArraySource, scan: Scan, rows: Float64Array, reference: SplitScan, task: Task | undefined,
): Promise<{ readonly rows: number; readonly values: number }> {
  const perRow = elementCount(array.shape.slice(1));
  let [outsideRows, values] = [0, 0];
  const chunk = Math.max(1, Math.min(4096, Math.floor(chunkBytes / (8 * Math.max(1, perRow)))));
  for (let at = 0; at < rows.length;) {
    throwIfCancelled(task);
    const first = rows[at]!;
    let end = at;
    while (end + 1 < rows.length && rows[end + 1]! < first + chunk) end++;
    const block = await array.rows(first, rows[end]! + 1);
    const numbers = block.data instanceof Float64Array ? block.data : asFloat32(block);
    for (; at <= end; at++) {
      let found = 0;
      const offset = (rows[at]! - first) * perRow;
      scan.features.forEach((feature, index) => {
        const value = numbers[offset + feature]!;
        if (value < reference.low[index]! || value > reference.high[index]!) found++;
      });
      values += found;
      if (found) outsideRows++;
    }
  }
  return { rows: outsideRows, values };
}
