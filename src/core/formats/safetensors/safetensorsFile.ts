import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError, type Finding } from '../../graph/errors';
import { bytesPerElement, elementCount, type DType, type Tensor } from '../../graph/tensor';
import { isObject, type Json, type JsonObject } from '../containers/json';
import { copied } from '../containers/zipWriter';
import { bytesOf } from '../onnx/onnxTensors';
import { shapeObjection, storedTensor } from '../storedTensor';

export interface SafetensorsFile {
  readonly source: ByteSource;
  readonly metadata?: JsonObject;
  /** By name, in the order of the header. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly findings: readonly Finding[];
}

export interface SafetensorsEntry {
  /** The file's own word for the element type: 'F32'. */
  readonly type: string;
  readonly tensor: Tensor;
  /** In the file, from its beginning. */
  readonly start: number;
  readonly end: number;
}

/** The format's own limit. */
const largestHeaderBytes = 100_000_000;

const dtypes: Readonly<Record<string, Exclude<DType, 'string'>>> = {
  F64: 'float64', F32: 'float32', F16: 'float16', BF16: 'bfloat16', F8_E4M3: 'float8e4m3fn', F8_E5M2: 'float8e5m2',
  F8_E4M3FNUZ: 'float8e4m3fnuz', F8_E5M2FNUZ: 'float8e5m2fnuz', I64: 'int64', I32: 'int32', I16: 'int16', I8: 'int8',
  U64: 'uint64', U32: 'uint32', U16: 'uint16', U8: 'uint8', BOOL: 'bool', C64: 'complex64',
};

/** Reads the header. Rejects with a ParticlizeError when it contradicts itself or the size of the file. */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const fail = (cause: string, place?: string): never => {
    throw new ParticlizeError({ file: source.name, place, cause, action: 'The file may be cut off or damaged; download it again' });
  };
  if (source.sizeBytes < 10) fail('it is too short for a safetensors file');
  const head = await source.read(0, 8);
  const headerBytes = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  if (headerBytes > largestHeaderBytes || headerBytes < 2) fail(`a header of ${headerBytes} bytes cannot be`, 'byte 0');
  if (headerBytes + 8 > source.sizeBytes) fail(`its header is said to be ${headerBytes} bytes long, but ${source.sizeBytes - 8} are left`, 'byte 0');
  const base = 8 + headerBytes;
  const root = parse(await source.read(8, headerBytes)) ?? fail('its header is not valid JSON', 'byte 8');
  const findings: Finding[] = [];
  const entries = new Map<string, SafetensorsEntry>();
  let metadata: JsonObject | undefined;
  for (const [name, item] of Object.entries(root)) {
    if (name === '__metadata__') {
      metadata = isObject(item) ? item : undefined;
      continue;
    }
    const place = `tensor ${name.slice(0, 200)}`;
    const { dtype: type, shape, data_offsets: offsets } = isObject(item) ? item : fail('it is not described', place);
    if (typeof type !== 'string' || !Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2) return fail('its description lacks type, shape or place', place);
    const objection = shapeObjection(shape);
    if (objection) fail(objection, place);
    const [from, to] = offsets as [Json, Json];
    if (!isOffset(from) || !isOffset(to) || from > to) return fail(`its place [${String(from)}, ${String(to)}] is impossible`, place);
    if (base + to > source.sizeBytes) fail(`it ends at byte ${base + to}, but the file at byte ${source.sizeBytes}`, place);
    const sizes = shape as number[];
    const dtype = Object.hasOwn(dtypes, type) ? dtypes[type] : undefined;
    if (dtype && elementCount(sizes) * bytesPerElement[dtype] !== to - from) fail(`${to - from} bytes do not make ${type} of shape [${sizes.join(', ')}]`, place);
    const tensor = dtype ? storedTensor(name, dtype, sizes, source, base + from) : unreadable(source.name, name, type, sizes);
    if (!dtype) findings.push({ severity: 'warning', place: name, message: `its elements are of type ${type}, which Particlize does not read` });
    entries.set(name, { type, tensor, start: base + from, end: base + to });
  }
  let end = base;
  for (const [name, entry] of [...entries].sort(([, one], [, two]) => one.start - two.start || one.end - two.end)) {
    if (entry.start < end) fail('its bytes overlap those of another tensor', `tensor ${name}`);
    end = Math.max(end, entry.end);
  }
  return { source, metadata, entries, findings };
}

/** The file with tensors replaced or (undefined) left out; the same bytes when nothing changed. */
export function safetensorsFile(
  file: SafetensorsFile, replacement: (name: string) => Tensor | undefined,
): { readonly sizeBytes: number; chunks(): AsyncIterable<Uint8Array> } {
  const { source } = file;
  const kept = [...file.entries].flatMap(([name, entry]) => {
    const tensor = replacement(name);
    return tensor ? [{ name, entry, tensor, changed: tensor !== entry.tensor }] : [];
  });
  if (kept.length === file.entries.size && kept.every(({ changed }) => !changed)) {
    return { sizeBytes: source.sizeBytes, chunks: () => copied(source, 0, source.sizeBytes) };
  }
  // Data stay in the order in which the file has them, the header in its own.
  const places = new Map<string, [number, number]>();
  let at = 0;
  const inFile = [...kept].sort((one, two) => one.entry.start - two.entry.start);
  for (const { name, entry, tensor, changed } of inFile) {
    const length = changed ? elementCount(tensor.shape) * bytesPerElement[dtypes[entry.type]!] : entry.end - entry.start;
    places.set(name, [at, (at += length)]);
  }
  const header = headerBytes([
    ...(file.metadata ? [['__metadata__', file.metadata] as const] : []),
    ...kept.map(({ name, entry, tensor }) => [name, { dtype: entry.type, shape: tensor.shape, data_offsets: places.get(name) }] as const),
  ]);
  return {
    sizeBytes: header.length + at,
    async* chunks() {
      yield header;
      for (const { entry, tensor, changed } of inFile) {
        if (changed) yield bytesOf(await tensor.read());
        else yield* copied(source, entry.start, entry.end - entry.start);
      }
    },
  };
}

/** Length and JSON, padded with blanks so that data begin at a multiple of 8. */
function headerBytes(entries: readonly (readonly [string, unknown])[]): Uint8Array {
  const text = new TextEncoder().encode(`{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  return bytes;
}

function parse(bytes: Uint8Array): JsonObject | undefined {
  try {
    const root = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Json;
    return isObject(root) ? root : undefined;
  } catch {
    return undefined;
  }
}

function isOffset(value: Json): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function unreadable(file: string, name: string, type: string, shape: readonly number[]): Tensor {
  return {
    name, dtype: 'uint8', shape,
    read: () => Promise.reject(new ParticlizeError({ file, place: `tensor ${name}`, cause: `elements of type ${type} are not read by Particlize` })),
  };
}
