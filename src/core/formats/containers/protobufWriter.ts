import type { ByteSource } from '../../graph/byteSource';
import { fieldOf, wire, wireOf, type ProtoField, type ProtoMessage, type ProtoRecord, type ProtoType, type ScalarType } from './protobuf';

/** A piece of a file to be written: in memory, a range of another file, or bytes that are made when they are written. */
export type Chunk =
  | Uint8Array
  | { readonly source: ByteSource; readonly start: number; readonly end: number }
  | { readonly sizeBytes: number; read(): Promise<Uint8Array> };

/** Chunks in order, and their length together. */
export class Chunks {
  readonly list: Chunk[] = [];
  sizeBytes = 0;

  add(chunk: Chunk): this {
    const size = sizeOf(chunk);
    if (size === 0) return this;
    const last = this.list.at(-1);
    // Neighbouring ranges of one file are copied in one go.
    if (last && 'source' in last && 'source' in chunk && last.source === chunk.source && last.end === chunk.start) {
      this.list[this.list.length - 1] = { ...last, end: chunk.end };
    } else this.list.push(chunk);
    this.sizeBytes += size;
    return this;
  }

  addAll(chunks: Chunks): this {
    for (const chunk of chunks.list) this.add(chunk);
    return this;
  }

  /** The bytes, large ranges in pieces, so that a large file is never whole in memory. */
  async *bytes(): AsyncIterable<Uint8Array> {
    for (const chunk of this.list) {
      if (chunk instanceof Uint8Array) yield chunk;
      else if ('source' in chunk) {
        for (let at = chunk.start; at < chunk.end; at += pieceBytes) yield chunk.source.read(at, Math.min(pieceBytes, chunk.end - at));
      } else {
        const bytes = await chunk.read();
        if (bytes.length !== chunk.sizeBytes) throw new Error(`${bytes.length} bytes came where ${chunk.sizeBytes} were announced`);
        yield bytes;
      }
    }
  }

  /** All of it in one array. */
  async whole(): Promise<Uint8Array> {
    const result = new Uint8Array(this.sizeBytes);
    let at = 0;
    for await (const bytes of this.bytes()) {
      result.set(bytes, at);
      at += bytes.length;
    }
    return result;
  }
}

/** A message as plain data: numbers, texts, bytes, nested messages, encoded ones, and arrays of these for repeated fields. */
export interface PlainMessage {
  readonly [field: string]: PlainValue | readonly PlainValue[] | undefined;
}
type PlainValue = number | bigint | string | Uint8Array | Chunks | PlainMessage;

/** The body of a message. Bytes and message fields may be given as {@link Chunks}. Repeated numbers are written unpacked, as ONNX has them. */
export function encodeMessage(type: ProtoType, message: PlainMessage): Chunks {
  const out = new Chunks();
  for (const [name, value] of Object.entries(message)) if (value !== undefined) encodeField(out, fieldOf(type, name), value);
  return out;
}

/**
 * A copy of a message of a file with some records replaced (by field chunks with tag, from {@link encodeField}) or left
 * out (undefined in the map), and fields added at its end. The rest is copied byte for byte, unknown fields too.
 */
export function patchMessage(
  source: ByteSource, message: ProtoMessage, edits: ReadonlyMap<ProtoRecord, Chunks | undefined>, added: PlainMessage = {},
): Chunks {
  const out = new Chunks();
  for (const record of message.records) {
    if (!edits.has(record)) out.add({ source, start: record.start, end: record.end });
    else {
      const replacement = edits.get(record);
      if (replacement) out.addAll(replacement);
    }
  }
  return out.addAll(encodeMessage(message.type, added));
}

/** A field with its tag, once for each value of an array. */
export function encodeField(out: Chunks, field: ProtoField, value: PlainValue | readonly PlainValue[]): Chunks {
  if (Array.isArray(value)) {
    for (const one of value as readonly PlainValue[]) encodeField(out, field, one);
    return out;
  }
  const single = value as PlainValue;
  const kind = wireOf(field.type);
  out.add(varint(BigInt(field.number * 8 + kind)));
  if (kind !== wire.bytes) return out.add(scalar(field.type as ScalarType, single as number | bigint));
  const body = bodyOf(field, single);
  return out.add(varint(BigInt(body.sizeBytes))).addAll(body);
}

const pieceBytes = 4 << 20;

function bodyOf(field: ProtoField, value: PlainValue): Chunks {
  if (value instanceof Chunks) return value;
  if (typeof value === 'string') return new Chunks().add(new TextEncoder().encode(value));
  if (value instanceof Uint8Array) return new Chunks().add(value);
  return encodeMessage(field.type as ProtoType, value as PlainMessage);
}

function scalar(type: ScalarType, value: number | bigint): Uint8Array {
  if (type === 'float') return new Uint8Array(Float32Array.of(Number(value)).buffer);
  if (type === 'double') return new Uint8Array(Float64Array.of(Number(value)).buffer);
  return varint(clamped(value));
}

/** 2^63 stands for the largest 64-bit integer: read as a number, that is what it became. */
function clamped(value: number | bigint): bigint {
  const whole = BigInt(value);
  return whole > maxInt64 && whole <= maxInt64 + 1n ? maxInt64 : whole;
}

const maxInt64 = (1n << 63n) - 1n;

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function sizeOf(chunk: Chunk): number {
  if (chunk instanceof Uint8Array) return chunk.length;
  return 'source' in chunk ? chunk.end - chunk.start : chunk.sizeBytes;
}
