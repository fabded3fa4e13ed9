import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
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
