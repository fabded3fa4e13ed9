import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { allocate } from '../../graph/numeric';
import { bytesPerElement, elementCount, type DType, type NdArray, type NumericArray, type Tensor } from '../../graph/tensor';
import {
  eachVarint, messagesOf, numberOf, numbersOf, recordsOf, textOf, wire, wireOf, type ProtoMessage, type ProtoRecord,
} from '../containers/protobuf';
import { dtypeOfCode, onnxTypes } from './onnxSchema';

/** Where a tensor that is kept outside the model file lies; offsets in bytes. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
  /** undefined: what the shape needs. */
  readonly length?: number;
}

export interface ProtoTensor {
  readonly tensor: Tensor;
  readonly external?: ExternalPlace;
}

/**
 * The tensor that a TensorProto describes; elements are read when asked for. `siblings` are the opened external files
 * (undefined: missing). Throws a ParticlizeError when type, shape and size contradict each other.
 */
export function tensorOfProto(
  source: ByteSource, message: ProtoMessage, name: string, siblings: ReadonlyMap<string, ByteSource | undefined>,
): ProtoTensor {
  const fail = (cause: string): never => {
    throw new ParticlizeError({ file: source.name, place: `tensor ${name}`, cause, action: 'The file may be cut off or damaged' });
  };
  const { dtype, shape } = typeAndShape(message, fail);
  const place = externalPlace(message, fail);
  if (dtype === 'string') return { tensor: unread(name, dtype, shape, source.name, 'texts are not read'), external: place };
  const sizeBytes = Math.ceil(elementCount(shape) * bytesPerElement[dtype]);
  const stored = (file: ByteSource, offset: number): Tensor => ({
    name, dtype, shape,
    stored: { source: file, offset, sizeBytes, shape, axes: shape.map((_, axis) => axis) },
    read: async () => ({ dtype, shape, data: elementsOf(await file.read(offset, sizeBytes), dtype) }),
  });

  if (place) {
    const file = siblings.get(place.location);
    if (!file) return { tensor: unread(name, dtype, shape, source.name, `its data file '${place.location}' cannot be read`), external: place };
    const length = place.length ?? sizeBytes;
    if (length !== sizeBytes) fail(`${length} bytes of '${place.location}' do not make ${dtype} of shape [${shape.join(', ')}]`);
    if (place.offset + length > file.sizeBytes) {
      const cause = `'${place.location}' ends at byte ${file.sizeBytes}, before byte ${place.offset + length}`;
      return { tensor: unread(name, dtype, shape, source.name, cause), external: place };
    }
    return { tensor: stored(file, place.offset), external: place };
  }
  const raw = recordsOf(message, 'raw_data').at(-1);
  if (raw && (raw.end > raw.bodyStart || sizeBytes === 0)) {
    const length = raw.end - raw.bodyStart;
    if (length !== sizeBytes) fail(`${length} bytes do not make ${dtype} of shape [${shape.join(', ')}]`);
    return { tensor: stored(source, raw.bodyStart) };
  }
  // A packed float field holds the very bytes that raw_data would.
  const [packed, ...more] = dtype === 'float32' || dtype === 'float64' ? recordsOf(message, typedField(dtype)) : [];
  if (packed && more.length === 0 && packed.bodyStart > packed.start && packed.end - packed.bodyStart === sizeBytes) {
    return { tensor: stored(source, packed.bodyStart) };
  }
  return { tensor: typedTensor(source, message, name, dtype, shape, fail) };
}

/** Names of the external files that a tensor needs. */
export function externalLocation(message: ProtoMessage): string | undefined {
  return numberOf(message, 'data_location') === 1 ? entriesOf(message).get('location') : undefined;
}

/** Elements of a type, little-endian as ONNX, NumPy and most others store them; the same memory where it is aligned. */
export function elementsOf(bytes: Uint8Array, dtype: DType): NumericArray {
  const sample = allocate(arrayDtype(dtype), 0);
  const size = sample.BYTES_PER_ELEMENT;
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const make = sample.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => NumericArray;
  return new make(buffer, byteOffset, bytes.length / size);
}

export function bytesOf(array: NdArray): Uint8Array {
  const { buffer, byteOffset, byteLength } = array.data;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function typeAndShape(message: ProtoMessage, fail: (cause: string) => never): { dtype: DType; shape: number[] } {
  const code = numberOf(message, 'data_type') ?? 0;
  const dtype = dtypeOfCode(code) ?? fail(`its element type (number ${code}) is not one that Particlize reads`);
  const shape = [...numbersOf(message, 'dims')];
  if (shape.length > 64) fail(`it has ${shape.length} axes`);
  if (shape.some((size) => !Number.isSafeInteger(size) || size < 0)) fail(`its shape [${shape.join(', ')}] is impossible`);
  // Checked without a zero's help, so that products of part of the shape are safe too.
  if (!(shape.reduce((product, size) => product * Math.max(size, 1), 1) <= 2 ** 48)) fail(`its shape [${shape.join(', ')}] is impossibly large`);
  return { dtype, shape };
}

function externalPlace(message: ProtoMessage, fail: (cause: string) => never): ExternalPlace | undefined {
  if (numberOf(message, 'data_location') !== 1) return undefined;
  const entries = entriesOf(message);
  const location = entries.get('location');
  if (!location) return fail('it is said to lie in another file, which is not named');
  const number = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const value = Number(text);
    return Number.isSafeInteger(value) && value >= 0 ? value : fail(`the ${key} of its external data, '${text.slice(0, 40)}', is not a number of bytes`);
  };
  return { location, offset: number('offset') ?? 0, length: number('length') };
}

function entriesOf(message: ProtoMessage): Map<string, string> {
  return new Map(messagesOf(message, 'external_data').map((entry) => [textOf(entry, 'key'), textOf(entry, 'value')]));
}

function unread(name: string, dtype: DType, shape: readonly number[], file: string, cause: string): Tensor {
  return { name, dtype, shape, read: () => Promise.reject(new ParticlizeError({ file, place: `tensor ${name}`, cause })) };
}

/** Elements in one of the typed fields (float_data and its like) instead of raw_data. */
function typedTensor(
  source: ByteSource, message: ProtoMessage, name: string, dtype: Exclude<DType, 'string'>, shape: readonly number[], fail: (cause: string) => never,
): Tensor {
  const fieldName = typedField(dtype);
  const field = onnxTypes.TensorProto.byName.get(fieldName)!;
  const records = recordsOf(message, fieldName);
  const perElement = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1;
  const count = dtype === 'int4' || dtype === 'uint4' ? Math.ceil(elementCount(shape) / 2) : elementCount(shape) * perElement;
  const width = { [wire.fixed32]: 4, [wire.fixed64]: 8, [wire.varint]: 1 }[wireOf(field.type)]!;
  const available = records.reduce((sum, record) => sum + record.end - record.bodyStart, 0);
  if (available < count * width) fail(available === 0 ? 'its elements are missing' : `shape [${shape.join(', ')}] has more elements than it holds`);
  const read = async (): Promise<NdArray> => {
    const data = allocate(arrayDtype(dtype), count);
    const size = width === 1 ? data.BYTES_PER_ELEMENT : width;
    const words = size === 8 ? new Uint32Array(data.buffer) : new Uint32Array(0);
    const bytes = new Uint8Array(data.buffer);
    let filled = 0;
    for (const record of records) {
      const payload = packedPayload(await source.read(record.bodyStart, record.end - record.bodyStart), record, width);
      if (width > 1) {
        if ((filled * width) + payload.length > bytes.length) fail('it holds more elements than its shape says');
        bytes.set(payload, filled * width);
        filled += payload.length / width;
        continue;
      }
      eachVarint(payload, () => fail('its elements end inside a number'), (low, high) => {
        if (filled >= count) fail('it holds more elements than its shape says');
        if (size === 8) {
          words[2 * filled] = low;
          words[2 * filled + 1] = high;
        } else (data as Int32Array)[filled] = low;
        filled++;
      });
    }
    if (filled !== count) fail(`its shape has ${count} elements, but it holds ${filled}`);
    return { dtype, shape, data };
  };
  return { name, dtype, shape, read };
}

/** The elements of a record without tags: a packed record is that already, a run of single elements has one before each. */
function packedPayload(bytes: Uint8Array, record: ProtoRecord, width: number): Uint8Array {
  if (record.bodyStart !== record.start) return bytes;
  const payload = new Uint8Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    while (bytes[at]! & 128) at++;
    at++;
    let end = at + width;
    if (width === 1) {
      end = at;
      while (bytes[end]! & 128) end++;
      end++;
    }
    payload.set(bytes.subarray(at, end), length);
    length += end - at;
    at = end;
  }
  return payload.subarray(0, length);
}

function typedField(dtype: DType): string {
  if (dtype === 'float32' || dtype === 'complex64') return 'float_data';
  if (dtype === 'float64' || dtype === 'complex128') return 'double_data';
  if (dtype === 'int64') return 'int64_data';
  if (dtype === 'uint32' || dtype === 'uint64') return 'uint64_data';
  return 'int32_data';
}

/** The type whose array holds these elements: pairs of 4-bit integers share a byte, complex numbers are two floats. */
function arrayDtype(dtype: DType): DType {
  if (dtype === 'int4' || dtype === 'uint4') return 'uint8';
  if (dtype === 'complex64') return 'float32';
  return dtype === 'complex128' ? 'float64' : dtype;
}
