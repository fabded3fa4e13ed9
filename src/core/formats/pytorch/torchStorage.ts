import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { allocate } from '../../graph/numeric';
import { bytesPerElement, elementCount, type DType, type NdArray, type StoredLayout, type Tensor } from '../../graph/tensor';

/** A run of bytes that tensors look into. */
export interface TorchStorage {
  /** Its name in the file. */
  readonly key: string;
  readonly source: ByteSource;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly bigEndian: boolean;
}

/** A tensor as torch has it: a storage seen through sizes and strides (in elements). */
export interface TorchView {
  readonly storage: TorchStorage;
  readonly dtype: Exclude<DType, 'string'>;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** The lazy tensor of a view. Throws a ParticlizeError when the view leaves its storage. */
export function tensorOfView(file: string, name: string, view: TorchView): Tensor {
  const { dtype, shape, storage } = view;
  const size = bytesPerElement[dtype];
  const { first, last } = extent(file, name, view);
  if ((last + 1) * size > storage.sizeBytes) {
    throw wrong(file, name, `it needs ${(last + 1) * size} bytes of its storage ${storage.key}, which has ${storage.sizeBytes}`);
  }
  const axes = storedAxes(view);
  const stored: StoredLayout | undefined = axes && !storage.bigEndian && last >= first
    ? { source: storage.source, offset: storage.offset + first * size, sizeBytes: elementCount(shape) * size, ...axes }
    : undefined;
  return { name, dtype, shape, stored, read: () => readView(file, name, view, first, last) };
}

/** Row-major strides. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(shape[axis]!, 1);
  }
  return strides;
}

/** Turns the bytes of every element around. */
export function swapBytes(bytes: Uint8Array, dtype: Exclude<DType, 'string'>): void {
  const word = dtype === 'complex64' ? 4 : dtype === 'complex128' ? 8 : bytesPerElement[dtype];
  if (word > 1) for (let at = 0; at + word <= bytes.length; at += word) bytes.subarray(at, at + word).reverse();
}

/** Elements of an array's type: complex numbers are pairs. */
export function arrayType(dtype: Exclude<DType, 'string'>): DType {
  if (dtype === 'complex64') return 'float32';
  return dtype === 'complex128' ? 'float64' : dtype;
}

function extent(file: string, name: string, { shape, strides, offset }: TorchView): { first: number; last: number } {
  const sizes = [...shape, ...strides, offset];
  if (sizes.some((size) => !Number.isSafeInteger(size) || size < 0) || shape.length !== strides.length || shape.length > 64) {
    throw wrong(file, name, `shape [${shape.join(', ')}] with strides [${strides.join(', ')}] at ${offset} is impossible`);
  }
  if (!(shape.reduce((product, size) => product * Math.max(size, 1), 1) <= 2 ** 48)) throw wrong(file, name, `its shape [${shape.join(', ')}] is impossibly large`);
  if (shape.includes(0)) return { first: offset, last: offset - 1 };
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
  if (!Number.isSafeInteger(last * 16)) throw wrong(file, name, `its strides [${strides.join(', ')}] lead out of every file`);
  return { first: offset, last };
}

/** How a view relates to the file when its elements lie there one behind the other, if in another order of axes. */
function storedAxes({ shape, strides }: TorchView): { shape: readonly number[]; axes: readonly number[] } | undefined {
  const order = shape.map((_, axis) => axis).sort((one, two) => {
    const ones = Number(shape[one] === 1) - Number(shape[two] === 1);
    return ones || strides[two]! - strides[one]! || one - two;
  });
  const plain = contiguousStrides(shape);
  if (shape.every((size, axis) => size === 1 || strides[axis] === plain[axis])) return { shape, axes: shape.map((_, axis) => axis) };
  const sorted = order.map((axis) => shape[axis]!);
  const steps = contiguousStrides(sorted);
  if (!order.every((axis, at) => shape[axis] === 1 || strides[axis] === steps[at])) return undefined;
  const axes = new Array<number>(shape.length);
  order.forEach((axis, at) => (axes[axis] = at));
  return { shape: sorted, axes };
}

/** A repeated (expanded) tensor may be larger than its storage; beyond this it is not written out in memory. */
const largestExpansion = 2 ** 30;

async function readView(file: string, name: string, view: TorchView, first: number, last: number): Promise<NdArray> {
  const { storage, dtype, shape, strides } = view;
  const size = bytesPerElement[dtype];
  const count = elementCount(shape);
  if (count * size > storage.sizeBytes && count * size > largestExpansion) {
    throw wrong(file, name, `its ${count} elements repeat a storage of ${storage.sizeBytes} bytes and do not fit into memory`);
  }
  const parts = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1;
  const data = allocate(arrayType(dtype), count * parts);
  if (last < first) return { dtype, shape, data };
  let bytes = await storage.source.read(storage.offset + first * size, (last - first + 1) * size);
  if (storage.bigEndian) swapBytes((bytes = bytes.slice()), dtype);
  const target = new Uint8Array(data.buffer);
  const plain = contiguousStrides(shape);
  if (shape.every((length, axis) => length === 1 || strides[axis] === plain[axis])) {
    if (bytes.byteOffset % 16 === 0) {
      const make = data.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => typeof data;
      return { dtype, shape, data: new make(bytes.buffer, bytes.byteOffset, count * parts) };
    }
    target.set(bytes);
    return { dtype, shape, data };
  }
  gather(words(bytes, size), words(target, size), size === 16 ? 2 : 1, shape, strides);
  return { dtype, shape, data };
}

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** Bytes as elements that can be copied whole, aligned when they are not. */
function words(bytes: Uint8Array, size: number): Words {
  const word = Math.min(size, 8);
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % word === 0 ? bytes : bytes.slice();
  if (word === 1) return new Uint8Array(buffer, byteOffset, byteLength);
  if (word === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return word === 4 ? new Uint32Array(buffer, byteOffset, byteLength / 4) : new BigUint64Array(buffer, byteOffset, byteLength / 8);
}

function gather(from: Words, to: Words, perElement: number, shape: readonly number[], strides: readonly number[]): void {
  const last = shape.length - 1;
  const index = new Array<number>(shape.length).fill(0);
  const length = shape[last] ?? 1;
  const step = (strides[last] ?? 0) * perElement;
  const rows = elementCount(shape.slice(0, Math.max(last, 0)));
  let at = 0;
  for (let row = 0, start = 0; row < rows; row++) {
    for (let k = 0, source = start; k < length; k++, source += step) {
      for (let part = 0; part < perElement; part++) to[at++] = from[source + part] as never;
    }
    for (let axis = last - 1; axis >= 0; axis--) {
      start += strides[axis]! * perElement;
      if (++index[axis]! < shape[axis]!) break;
      start -= shape[axis]! * strides[axis]! * perElement;
      index[axis] = 0;
    }
  }
}

function wrong(file: string, name: string, cause: string): ParticlizeError {
  return new ParticlizeError({ file, place: `tensor ${name}`, cause, action: 'The file may be cut off or damaged' });
}
