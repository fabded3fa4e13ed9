import type { Tensor as OrtTensor, TensorConstructor } from 'onnxruntime-common';
import { ParticlizeError } from '../../core/graph/errors';
import { asFloat32, asNumbers, fromFloat32, isFloat } from '../../core/graph/numeric';
import { elementCount, type DType, type NdArray, type NumericArray } from '../../core/graph/tensor';

/** An array as ONNX Runtime takes it, in the type that the model wants. Throws a ParticlizeError when it does not fit. */
export function toOrt(make: TensorConstructor, name: string, array: NdArray, dtype: DType): OrtTensor {
  const { data, shape } = convert(name, array, dtype);
  if (data.length !== elementCount(shape)) {
    throw new ParticlizeError({ place: name, cause: `${data.length} elements do not make the shape [${shape.join(', ')}]` });
  }
  if (!ortTypes.has(dtype)) throw new ParticlizeError({ place: name, cause: `ONNX Runtime takes no ${dtype} from outside` });
  return new make(dtype as OrtTensor.Type, data as never, [...shape]) as OrtTensor;
}

/** A result of ONNX Runtime; 16-bit floats as their bits. */
export function fromOrt(name: string, tensor: OrtTensor): NdArray {
  const { data, dims, type } = tensor;
  if (!ArrayBuffer.isView(data)) throw new ParticlizeError({ place: name, cause: 'the result is text, which Particlize does not analyse' });
  const { buffer, byteOffset, length } = data as NumericArray;
  return { dtype: type as DType, shape: [...dims], data: type === 'float16' ? new Uint16Array(buffer, byteOffset, length) : (data as NumericArray) };
}

const ortTypes = new Set<DType>([
  'float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'bool',
]);

/** Between numeric types; data sets rarely have the very type that a model declares. */
function convert(name: string, array: NdArray, dtype: DType): NdArray {
  if (array.dtype === dtype) return array;
  const { shape } = array;
  if (isFloat(dtype)) return fromFloat32(asFloat32(array), shape, dtype);
  const make = integerArrays[dtype];
  if (!make) throw new ParticlizeError({ place: name, cause: `${array.dtype} cannot be fed where the model wants ${dtype}` });
  const numbers = asNumbers(array);
  const broken = numbers.findIndex((value) => !Number.isInteger(value));
  if (broken >= 0) {
    throw new ParticlizeError({ place: name, cause: `the model wants whole numbers (${dtype}), but element ${broken} is ${numbers[broken]}` });
  }
  return { dtype, shape, data: make(numbers) };
}

const integerArrays: Partial<Record<DType, (values: readonly number[]) => NumericArray>> = {
  int8: (values) => Int8Array.from(values),
  uint8: (values) => Uint8Array.from(values),
  int16: (values) => Int16Array.from(values),
  uint16: (values) => Uint16Array.from(values),
  int32: (values) => Int32Array.from(values),
  uint32: (values) => Uint32Array.from(values),
  int64: (values) => BigInt64Array.from(values, BigInt),
  uint64: (values) => BigUint64Array.from(values, (value) => BigInt.asUintN(64, BigInt(value))),
  bool: (values) => Uint8Array.from(values, (value) => (value ? 1 : 0)),
};
