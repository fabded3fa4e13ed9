import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';

/**
 * Reads Protocol Buffers wire format (https://protobuf.dev/programming-guides/encoding/) over a random-access file,
 * guided by a schema. Large payloads are not read: a record remembers where its bytes lie, which is also what a writer
 * needs to copy an untouched message byte for byte.
 */
export async function readProto(source: ByteSource, type: ProtoType, limits: ProtoLimits = {}): Promise<ProtoMessage> {
  const reader = new Reader(source, { ...defaultLimits, ...limits });
  return reader.message(type, 0, source.sizeBytes, type.name, 0);
}

/** The same for one message at `start`..`end` of the file; `path` names it in errors. */
export async function readProtoAt(
  source: ByteSource, type: ProtoType, start: number, end: number, path = type.name, limits: ProtoLimits = {},
): Promise<ProtoMessage> {
  return new Reader(source, { ...defaultLimits, ...limits }).message(type, start, end, path, 0);
}

export type ScalarType = 'int32' | 'int64' | 'uint64' | 'bool' | 'enum' | 'float' | 'double' | 'string' | 'bytes';

export interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly type: ScalarType | ProtoType;
  readonly repeated: boolean;
  /** Never decoded at open, only located: weights. */
  readonly lazy: boolean;
}

export interface ProtoType {
  readonly name: string;
  readonly fields: ReadonlyMap<number, ProtoField>;
  readonly byName: ReadonlyMap<string, ProtoField>;
}

export interface ProtoMessage {
  readonly type: ProtoType;
  /** Of its body, without tag and length. */
  readonly start: number;
  readonly end: number;
  /** In file order, unknown fields too. */
  readonly records: readonly ProtoRecord[];
}

/** One field as it stands in the file, or a run of neighbouring unpacked elements of one lazy field. */
export interface ProtoRecord {
  readonly number: number;
  /** Missing: a field that the schema does not know. */
  readonly field?: ProtoField;
  /** With its tag. */
  readonly start: number;
  readonly end: number;
  /** Where the payload begins; equal to `start` for a run of unpacked elements. */
  readonly bodyStart: number;
  /** Missing for lazy and unknown fields. Repeated scalars are arrays, packed or not. 64-bit integers beyond 2^53 are rounded. */
  readonly value?: number | string | Uint8Array | readonly number[] | ProtoMessage;
}

export interface ProtoLimits {
  readonly maxDepth?: number;
  /** Fields and elements in memory at once. */
  readonly maxRecords?: number;
  /** Longest string or eager byte field. */
  readonly maxStringBytes?: number;
}

const defaultLimits: Required<ProtoLimits> = { maxDepth: 100, maxRecords: 8_000_000, maxStringBytes: 1 << 26 };

/**
 * Makes message types of a table `{Message: {field: 'number type'}}`; a `*` behind the type means repeated, the word
 * `lazy` located but not read.
 */
export function protoTypes<Names extends string>(
  table: Readonly<Record<Names, Readonly<Record<string, string>>>>,
): Readonly<Record<Names, ProtoType>> {
  const types = {} as Record<Names, { name: string; fields: Map<number, ProtoField>; byName: Map<string, ProtoField> }>;
  const names = Object.keys(table) as Names[];
  for (const name of names) types[name] = { name, fields: new Map(), byName: new Map() };
  for (const owner of names) {
    for (const [name, text] of Object.entries(table[owner])) {
      const [number, typeText, lazy] = text.split(' ') as [string, string, string?];
      const typeName = typeText.replace('*', '');
      const field: ProtoField = {
        name,
        number: Number(number),
        type: typeName in types ? types[typeName as Names] : (typeName as ScalarType),
        repeated: typeText.endsWith('*'),
        lazy: lazy === 'lazy',
      };
      types[owner].fields.set(field.number, field);
      types[owner].byName.set(name, field);
    }
  }
  return types;
}

export function recordsOf(message: ProtoMessage, name: string): readonly ProtoRecord[] {
  const field = fieldOf(message.type, name);
  return message.records.filter((record) => record.number === field.number);
}

/** The last value of a string field, '' when absent. */
export function textOf(message: ProtoMessage, name: string): string {
  const value = recordsOf(message, name).at(-1)?.value;
  return typeof value === 'string' ? value : '';
}

export function textsOf(message: ProtoMessage, name: string): readonly string[] {
  return recordsOf(message, name).map((record) => record.value as string);
}

/** The last value of a number field, undefined when absent. */
export function numberOf(message: ProtoMessage, name: string): number | undefined {
  return recordsOf(message, name).at(-1)?.value as number | undefined;
}

export function numbersOf(message: ProtoMessage, name: string): readonly number[] {
  const records = recordsOf(message, name);
  return records.length === 1 ? (records[0]!.value as readonly number[]) : records.flatMap((record) => record.value as number[]);
}

export function messagesOf(message: ProtoMessage, name: string): readonly ProtoMessage[] {
  return recordsOf(message, name).map((record) => record.value as ProtoMessage);
}

export function messageOf(message: ProtoMessage, name: string): ProtoMessage | undefined {
  return messagesOf(message, name).at(-1);
}

export function fieldOf(type: ProtoType, name: string): ProtoField {
  const field = type.byName.get(name);
  if (!field) throw new Error(`${type.name} has no field ${name} in its schema`);
  return field;
}

export const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export function wireOf(type: ScalarType | ProtoType): number {
  if (typeof type !== 'string' || type === 'string' || type === 'bytes') return wire.bytes;
  return type === 'float' ? wire.fixed32 : type === 'double' ? wire.fixed64 : wire.varint;
}

/** Messages up to this size are read in one go, and so is what lies between two larger ones. */
const windowBytes = 8 * 1024;
/** A tag, a length and the beginning of a number are never longer. */
const headBytes = 20;

class Reader {
  private window: Uint8Array = new Uint8Array(0);
  private windowStart = 0;
  private records = 0;
  // The varint read last: low and high 32 bits, and where it ended.
  private low = 0;
  private high = 0;
  private at = 0;

  constructor(private readonly source: ByteSource, private readonly limits: Required<ProtoLimits>) {}

  async message(type: ProtoType, start: number, end: number, path: string, depth: number): Promise<ProtoMessage> {
    this.checkDepth(depth, path, start);
    const records: ProtoRecord[] = [];
    for (let position = start; position < end; ) {
      if (!this.holds(position, Math.min(headBytes, end - position))) await this.load(position, end);
      // A field that lies in the window is read without waiting; only larger ones take the slow way.
      const head = this.head(type, position, end, path);
      const record = this.holds(position, head.end - position)
        ? this.field(head, path, depth)
        : await this.largeField(head, path, depth);
      this.push(records, record, path);
      position = record.end;
    }
    return { type, start, end, records };
  }

  private async largeField(head: ProtoRecord, path: string, depth: number): Promise<ProtoRecord> {
    const { field, bodyStart, end } = head;
    if (!field || field.lazy) return head;
    const length = end - bodyStart;
    if (typeof field.type !== 'string') {
      if (length > windowBytes) return { ...head, value: await this.message(field.type, bodyStart, end, pathOf(path, field), depth + 1) };
      await this.load(bodyStart, end);
      return { ...head, value: this.messageHere(field.type, bodyStart, end, pathOf(path, field), depth + 1) };
    }
    if (length > this.limits.maxStringBytes) {
      this.fail(`${pathOf(path, field)} is ${length} bytes long, more than Particlize reads`, head.start);
    }
    return { ...head, value: this.payload(field, await this.source.read(bodyStart, length), bodyStart, path) };
  }

  /** A message that lies in the window. */
  private messageHere(type: ProtoType, start: number, end: number, path: string, depth: number): ProtoMessage {
    this.checkDepth(depth, path, start);
    const records: ProtoRecord[] = [];
    for (let position = start; position < end; ) {
      const record = this.field(this.head(type, position, end, path), path, depth);
      this.push(records, record, path);
      position = record.end;
    }
    return { type, start, end, records };
  }

  /** Tag and length of the field at `position`, and its number when it is one. Wants `headBytes` in the window. */
  private head(type: ProtoType, position: number, end: number, path: string): ProtoRecord {
    const place = (): string => path;
    this.varint(position, end, place);
    const kind = this.low & 7;
    const number = ((this.high << 29) | (this.low >>> 3)) >>> 0;
    if (number === 0 || this.high > 7) this.fail(`${path} holds a field with number ${number}, which cannot be`, position);
    const field = type.fields.get(number);
    const name = (): string => (field ? pathOf(path, field) : `${path}.<field ${number}>`);
    const bodyAt = this.at;
    let bodyStart = bodyAt;
    let bodyEnd: number;
    if (kind === wire.varint) {
      this.varint(bodyAt, end, name);
      bodyEnd = this.at;
    } else if (kind === wire.fixed64) bodyEnd = bodyAt + 8;
    else if (kind === wire.fixed32) bodyEnd = bodyAt + 4;
    else if (kind === wire.bytes) {
      this.varint(bodyAt, end, name);
      bodyStart = this.at;
      bodyEnd = bodyStart + (this.high >>> 0) * 0x1_0000_0000 + (this.low >>> 0);
    } else this.fail(`${name()} has wire type ${kind}, which Particlize does not read`, position);
    if (bodyEnd > end) this.fail(`${name()} says that it is ${bodyEnd - bodyStart} bytes long, but ${Math.max(0, end - bodyStart)} are left`, position);
    if (!field) return { number, start: position, bodyStart, end: bodyEnd };

    const expected = wireOf(field.type);
    if (kind !== expected) {
      const packed = kind === wire.bytes && field.repeated && expected !== wire.bytes;
      if (!packed) this.fail(`${name()} has wire type ${kind} instead of ${expected}`, position);
    } else if (field.repeated && field.lazy && expected !== wire.bytes) {
      bodyStart = position; // an unpacked element: part of a run
    }
    return { number, field, start: position, bodyStart, end: bodyEnd };
  }

  /** The field with its value; all of it lies in the window. */
  private field(head: ProtoRecord, path: string, depth: number): ProtoRecord {
    const { field, bodyStart, end } = head;
    if (!field || field.lazy) return head;
    if (typeof field.type !== 'string') return { ...head, value: this.messageHere(field.type, bodyStart, end, pathOf(path, field), depth + 1) };
    const bytes = this.window.subarray(bodyStart - this.windowStart, end - this.windowStart);
    return { ...head, value: this.payload(field, bytes, bodyStart, path) };
  }

  private payload(field: ProtoField, bytes: Uint8Array, offset: number, path: string): ProtoRecord['value'] {
    const type = field.type as ScalarType;
    if (type === 'string') return utf8.decode(bytes);
    if (type === 'bytes') return bytes.slice();
    const values = decodeNumbers(bytes, type, (at) => this.fail(`${pathOf(path, field)} ends inside a number`, offset + at));
    if (!field.repeated) return values[0] ?? 0;
    this.records += values.length;
    return values;
  }

  private push(records: ProtoRecord[], record: ProtoRecord, path: string): void {
    const last = records.at(-1);
    const isRun = record.field?.lazy && record.bodyStart === record.start;
    if (isRun && last && last.number === record.number && last.bodyStart === last.start) {
      records[records.length - 1] = { ...last, end: record.end };
      return;
    }
    if (++this.records > this.limits.maxRecords) this.fail(`${path} brings the file to more than ${this.limits.maxRecords} fields`, record.start);
    records.push(record);
  }

  private holds(start: number, length: number): boolean {
    return start >= this.windowStart && start + length <= this.windowStart + this.window.length;
  }

  private async load(start: number, end: number): Promise<void> {
    this.window = await this.source.read(start, Math.min(windowBytes, end - start));
    this.windowStart = start;
  }

  private varint(position: number, end: number, name: () => string): void {
    const { window, windowStart } = this;
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (position + i >= end) this.fail(`${name()} ends inside a number`, position);
      const byte = window[position + i - windowStart]!;
      const bits = byte & 127;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 128) {
        this.low = low;
        this.high = high;
        this.at = position + i + 1;
        return;
      }
    }
    this.fail(`${name()} holds a number longer than 10 bytes`, position);
  }

  private checkDepth(depth: number, path: string, offset: number): void {
    if (depth > this.limits.maxDepth) this.fail(`${shorten(path)} is nested more than ${this.limits.maxDepth} messages deep`, offset);
  }

  private fail(cause: string, offset: number): never {
    throw new ParticlizeError({
      file: this.source.name,
      place: `byte ${offset}`,
      cause: shorten(cause),
      action: 'The file may be cut off or damaged',
    });
  }
}

/**
 * All numbers of a packed field (or of one element's payload). Integers are signed for int32, int64 and enum; 64-bit
 * ones beyond 2^53 are rounded: `decodeInt64` keeps them whole. Calls `fail` with the position where the bytes end
 * inside a number.
 */
export function decodeNumbers(bytes: Uint8Array, type: ScalarType, fail: (at: number) => never): number[] {
  const values: number[] = [];
  if (type === 'float' || type === 'double') {
    const size = type === 'float' ? 4 : 8;
    if (bytes.length % size) fail(bytes.length - (bytes.length % size));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += size) values.push(type === 'float' ? view.getFloat32(at, true) : view.getFloat64(at, true));
    return values;
  }
  eachVarint(bytes, fail, (low, high) => {
    if (type === 'uint64') values.push((high >>> 0) * 0x1_0000_0000 + (low >>> 0));
    else if (type === 'bool') values.push(low || high ? 1 : 0);
    else values.push(type === 'int64' ? high * 0x1_0000_0000 + (low >>> 0) : low);
  });
  return values;
}

/** Calls `take` with the signed low and high halves of each varint. */
export function eachVarint(bytes: Uint8Array, fail: (at: number) => never, take: (low: number, high: number) => void): void {
  for (let at = 0; at < bytes.length; ) {
    let low = 0;
    let high = 0;
    for (let i = 0; ; i++) {
      const byte = bytes[at + i];
      if (byte === undefined || i > 9) return fail(at);
      const bits = byte & 127;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 128) {
        at += i + 1;
        break;
      }
    }
    take(low, high);
  }
}

const utf8 = new TextDecoder();

function pathOf(path: string, field: ProtoField): string {
  return `${path}.${field.name}`;
}

/** A path of a hundred nested messages is no help: its ends are. */
function shorten(text: string): string {
  return text.length > 300 ? `${text.slice(0, 120)} … ${text.slice(-160)}` : text;
}
