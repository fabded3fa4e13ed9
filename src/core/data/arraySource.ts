import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import { elementCount, type DType, type NdArray, type NumericArray } from '../graph/tensor';

/** An array of a data file whose first axis is the sample; read by ranges of rows. */
export interface ArraySource {
  readonly dtype: DType;
  /** [rows, ...sample] */
  readonly shape: readonly number[];
  /** For text: the values are indices into these, sorted by name. */
  readonly categories?: readonly string[];
  /** Rows [from, to). */
  rows(from: number, to: number): Promise<NdArray>;
  /** Text as it stands in the file, for cutting into tokens. */
  readonly text?: TextRows;
  /** Picture files, which become numbers when their size is known. Its rows are refused until then. */
  readonly pictures?: PictureRows;
  /** Which of these rows cannot be read at all; they are left out of the samples. */
  unreadable?(rows: ArrayLike<number>): Promise<ReadonlySet<number>>;
  /** What was noticed while reading so far. */
  findings?(): readonly Finding[];
}

export interface TextRows {
  /** The rows are one text, whose windows are the samples. */
  readonly running: boolean;
  read(from: number, to: number): Promise<readonly string[]>;
}

export interface PictureRows {
  /** The pictures as [rows, height, width] or [rows, height, width, 3] of uint8; without a size all must have the first one's. */
  sized(size: readonly [number, number] | undefined, channels: 1 | 3 | undefined): Promise<ArraySource>;
}

/** An opened data file. A file that holds one nameless array lists it as ''. */
export interface DataFile {
  readonly arrays: readonly string[];
  array(name: string): Promise<ArraySource>;
}

/** One data file format: one file, one register line in dataFormats.ts. */
export interface DataFormat {
  readonly title: string;
  /** Cheap, from the name and the first bytes; never throws. */
  match(name: string, head: Uint8Array): boolean;
  /** Rejects with a ParticlizeError when the file is damaged or would take more than `memoryBytes`. */
  open(source: ByteSource, memoryBytes: number): Promise<DataFile>;
}

export function inMemory(array: NdArray, categories?: readonly string[]): ArraySource {
  const perRow = elementCount(array.shape.slice(1));
  return {
    dtype: array.dtype, shape: array.shape, categories,
    rows: (from, to) => Promise.resolve({
      dtype: array.dtype,
      shape: [to - from, ...array.shape.slice(1)],
      data: array.data.subarray(from * perRow, to * perRow) as NumericArray,
    }),
  };
}

/**
 * Rows at any places, in the order of `indices`; neighbours are read in one go, and what lies between close ones is
 * read along.
 */
export async function gatherRows(source: ArraySource, indices: ArrayLike<number>): Promise<NdArray> {
  const count = indices.length;
  if (isRun(indices)) return source.rows(indices[0] ?? 0, (indices[0] ?? 0) + count);
  const order = Array.from({ length: count }, (_, index) => index).sort((a, b) => indices[a]! - indices[b]!);
  let result: NdArray | undefined;
  for (let first = 0; first < count;) {
    const from = indices[order[first]!]!;
    let last = first;
    while (last + 1 < count && indices[order[last + 1]!]! - indices[order[last]!]! <= closeRows && indices[order[last + 1]!]! - from < longestRun) last++;
    const run = await source.rows(from, indices[order[last]!]! + 1);
    const each = elementCount(run.shape.slice(1));
    if (!result) {
      const make = run.data.constructor as new (length: number) => NumericArray;
      result = { dtype: run.dtype, shape: [count, ...run.shape.slice(1)], data: new make(count * each) };
    }
    for (; first <= last; first++) {
      const at = indices[order[first]!]! - from;
      result.data.set(run.data.subarray(at * each, (at + 1) * each) as never, order[first]! * each);
    }
  }
  return result!;
}

const closeRows = 8;
const longestRun = 1024;

function isRun(indices: ArrayLike<number>): boolean {
  for (let at = 1; at < indices.length; at++) if (indices[at] !== indices[at - 1]! + 1) return false;
  return true;
}

/** A file that is one array. */
export function singleArray(array: ArraySource): DataFile {
  return { arrays: [''], array: () => Promise.resolve(array) };
}

/** Refuses what would not fit into memory, before anything is allocated. */
export function checkSize(sizeBytes: number, memoryBytes: number, file: string, place?: string): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= memoryBytes) return;
  throw new ParticlizeError({
    file, place,
    cause: `reading it would take ${megabytes(sizeBytes)}, more than the ${megabytes(memoryBytes)} allowed`,
    action: 'Raise the memory budget or split the file',
  });
}

function megabytes(sizeBytes: number): string {
  return `${Math.round(sizeBytes / 2 ** 20).toLocaleString('en-US')} MB`;
}
