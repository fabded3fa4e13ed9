import { elementCount, type DType, type NdArray, type NumericArray } from './tensor';

/** Elements as float32, whatever they are stored as. The same memory when they already are float32. */
export function asFloat32(array: NdArray): Float32Array {
  const { data, dtype } = array;
  if (data instanceof Float32Array) return data;
  const decode = bitDecoders[dtype];
  if (decode) return decodeBits(data as Uint8Array | Uint16Array, decode);
  const result = new Float32Array(data.length);
  for (let index = 0; index < data.length; index++) result[index] = Number(data[index]);
  return result;
}

/** Elements as numbers; 64-bit integers beyond 2^53 lose their low bits (as sizes they would be impossible anyway). */
export function asNumbers(array: NdArray): number[] {
  const source = bitDecoders[array.dtype] ? asFloat32(array) : array.data;
  return Array.from(source as ArrayLike<number | bigint>, Number);
}

export function int64Array(values: readonly number[], shape: readonly number[] = [values.length]): NdArray {
  return { dtype: 'int64', shape, data: BigInt64Array.from(values, (value) => BigInt(value)) };
}

export function float32Array(values: ArrayLike<number>, shape: readonly number[] = [values.length]): NdArray {
  return { dtype: 'float32', shape, data: Float32Array.from(values) };
}

/** float32 elements in another floating type, rounded to nearest even; other types are refused with a RangeError. */
export function fromFloat32(values: Float32Array, shape: readonly number[], dtype: DType): NdArray {
  if (values.length !== elementCount(shape)) throw new RangeError('the elements do not fill the shape');
  if (dtype === 'float32') return { dtype, shape, data: values };
  if (dtype === 'float64') return { dtype, shape, data: Float64Array.from(values) };
  if (dtype === 'float16') return { dtype, shape, data: encodeBits(values, toFloat16) };
  if (dtype === 'bfloat16') return { dtype, shape, data: encodeBits(values, toBfloat16) };
  throw new RangeError(`float32 cannot be written as ${dtype}`);
}

export function isInteger(dtype: DType | undefined): boolean {
  return dtype !== undefined && /^u?int/.test(dtype);
}

export function isFloat(dtype: DType | undefined): boolean {
  return dtype !== undefined && /^b?float/.test(dtype);
}

/** An empty typed array for elements of this type, as NdArray holds them. */
export function allocate(dtype: DType, length: number): NumericArray {
  const make = arrayTypes[dtype];
  if (!make) throw new RangeError(`${dtype} has no elements in memory`);
  return new make(length);
}

const arrayTypes: Partial<Record<DType, new (length: number) => NumericArray>> = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bfloat16: Uint16Array,
  float8e4m3fn: Uint8Array, float8e5m2: Uint8Array, float8e4m3fnuz: Uint8Array, float8e5m2fnuz: Uint8Array,
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array,
  int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};

const bitDecoders: Partial<Record<DType, (bits: number) => number>> = {
  float16: (bits) => minifloat(bits, { exponentBits: 5, mantissaBits: 10, bias: 15, special: 'ieee' }),
  bfloat16: (bits) => {
    wordBits[0] = bits << 16;
    return wordFloat[0]!;
  },
  float8e5m2: (bits) => minifloat(bits, { exponentBits: 5, mantissaBits: 2, bias: 15, special: 'ieee' }),
  float8e4m3fn: (bits) => minifloat(bits, { exponentBits: 4, mantissaBits: 3, bias: 7, special: 'nanOnly' }),
  float8e5m2fnuz: (bits) => minifloat(bits, { exponentBits: 5, mantissaBits: 2, bias: 16, special: 'negativeZeroIsNan' }),
  float8e4m3fnuz: (bits) => minifloat(bits, { exponentBits: 4, mantissaBits: 3, bias: 8, special: 'negativeZeroIsNan' }),
};

const wordBits = new Uint32Array(1);
const wordFloat = new Float32Array(wordBits.buffer);

interface MinifloatLayout {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** Which bit patterns are not finite (IEEE 754, or the OCP FP8 variants). */
  readonly special: 'ieee' | 'nanOnly' | 'negativeZeroIsNan';
}

function minifloat(bits: number, { exponentBits, mantissaBits, bias, special }: MinifloatLayout): number {
  const sign = bits >> (exponentBits + mantissaBits) ? -1 : 1;
  const top = (1 << exponentBits) - 1;
  const exponent = (bits >> mantissaBits) & top;
  const mantissa = bits & ((1 << mantissaBits) - 1);
  if (special === 'negativeZeroIsNan' && sign < 0 && exponent === 0 && mantissa === 0) return NaN;
  if (special === 'ieee' && exponent === top) return mantissa ? NaN : sign * Infinity;
  if (special === 'nanOnly' && exponent === top && mantissa === (1 << mantissaBits) - 1) return NaN;
  const fraction = mantissa / (1 << mantissaBits);
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

/** Decodes by a table: 64 Ki patterns at most, and weights have many more elements than that. */
function decodeBits(data: Uint8Array | Uint16Array, decode: (bits: number) => number): Float32Array {
  const result = new Float32Array(data.length);
  const patterns = data.BYTES_PER_ELEMENT === 1 ? 256 : 65536;
  if (data.length < patterns) return result.map((_, index) => decode(data[index]!));
  const table = Float32Array.from({ length: patterns }, (_, bits) => decode(bits));
  for (let index = 0; index < data.length; index++) result[index] = table[data[index]!]!;
  return result;
}

function encodeBits(values: Float32Array, encode: (value: number) => number): Uint16Array {
  const result = new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) result[index] = encode(values[index]!);
  return result;
}

function toBfloat16(value: number): number {
  wordFloat[0] = value;
  const bits = wordBits[0]!;
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function toFloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  // A mantissa that rounds up to 1024 carries into the exponent by itself.
  return sign | (((exponent + 15) << 10) + roundEven((size / 2 ** exponent - 1) * 1024));
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
