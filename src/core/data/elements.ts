import { allocate } from '../graph/numeric';
import { elementCount, type DType, type NumericArray } from '../graph/tensor';

const hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Elements from their bytes in a file; bytes are copied, so any alignment will do. */
export function elementsOf(bytes: Uint8Array, dtype: DType, bigEndian: boolean): NumericArray {
  const probe = allocate(dtype, 0);
  const size = probe.BYTES_PER_ELEMENT;
  const result = allocate(dtype, Math.floor(bytes.length / size));
  const target = new Uint8Array(result.buffer);
  target.set(bytes.subarray(0, target.length));
  if (size > 1 && bigEndian === hostIsLittleEndian) swapBytes(target, size);
  return result;
}

/** Column-major elements in row-major order. */
export function fromFortran(data: NumericArray, shape: readonly number[]): NumericArray {
  const result = data.slice() as NumericArray;
  const strides: number[] = [];
  shape.reduce((stride, size) => (strides.push(stride), stride * size), 1);
  const index = new Array<number>(shape.length).fill(0);
  const count = elementCount(shape);
  for (let to = 0, from = 0; to < count; to++) {
    result[to] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

function swapBytes(bytes: Uint8Array, size: number): void {
  for (let start = 0; start + size <= bytes.length; start += size) bytes.subarray(start, start + size).reverse();
}
