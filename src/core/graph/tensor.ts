import type { ByteSource } from './byteSource';

export type DType =
  | 'float32' | 'float64' | 'float16' | 'bfloat16' | 'float8e4m3fn' | 'float8e5m2' | 'float8e4m3fnuz' | 'float8e5m2fnuz'
  | 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'int4' | 'uint4'
  | 'bool' | 'string' | 'complex64' | 'complex128';

export type NumericArray =
  | Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array
  | BigInt64Array | BigUint64Array;

/**
 * A tensor in memory, row-major. float16, bfloat16 and float8 hold their bit patterns (Uint16Array / Uint8Array);
 * `asFloat32` decodes. bool is one byte an element.
 */
export interface NdArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: NumericArray;
}

/** Where a tensor's elements lie in a file: row-major in `shape`; graph axis k is stored axis `axes[k]`. */
export interface StoredLayout {
  readonly source: ByteSource;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly shape: readonly number[];
  readonly axes: readonly number[];
}

/**
 * A named weight of a model, read when something asks for it. `shape` is in the graph's layout (ONNX conventions:
 * convolution [out, in/groups, ...kernel]); `stored` says how that relates to the file, when it is a plain permutation.
 */
export interface Tensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stored?: StoredLayout;
  /** All elements in the graph's layout. Rejects with a ParticlizeError naming file and tensor. */
  read(): Promise<NdArray>;
}

export const bytesPerElement: Readonly<Record<Exclude<DType, 'string'>, number>> = {
  float32: 4, float64: 8, float16: 2, bfloat16: 2, float8e4m3fn: 1, float8e5m2: 1, float8e4m3fnuz: 1, float8e5m2fnuz: 1,
  int8: 1, uint8: 1, int16: 2, uint16: 2, int32: 4, uint32: 4, int64: 8, uint64: 8, int4: 0.5, uint4: 0.5,
  bool: 1, complex64: 8, complex128: 16,
};

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor that is already in memory. */
export function tensorOf(name: string, array: NdArray): Tensor {
  return { name, dtype: array.dtype, shape: array.shape, read: () => Promise.resolve(array) };
}
