import { nowhere, text, type Hdf5Cursor } from './hdf5Bytes';

/** Element type of a dataset or attribute, as far as Particlize reads it. */
export interface Hdf5Type {
  readonly kind: 'int' | 'float' | 'string' | 'vlenString' | 'other';
  readonly sizeBytes: number;
  readonly signed: boolean;
  readonly bigEndian: boolean;
  /** Floats: bits of the exponent (11, 8 or 5). */
  readonly exponentBits: number;
  /** The message as it stands in the file, which a writer repeats. */
  readonly encoded: Uint8Array;
  /** Holds references into the file (variable-length data, object references), which cannot be copied as they are. */
  readonly pointers: boolean;
  /** In words, for messages. */
  readonly title: string;
}

/** null: no elements at all (H5S_NULL). */
export type Hdf5Shape = readonly number[] | null;

export type Hdf5Layout =
  | { readonly kind: 'compact'; readonly bytes: Uint8Array }
  | { readonly kind: 'contiguous'; readonly address: number; readonly sizeBytes: number }
  | { readonly kind: 'chunked'; readonly address: number; readonly chunk: readonly number[] }
  | { readonly kind: 'unknown'; readonly title: string };

export interface Hdf5Filter {
  readonly id: number;
  readonly values: readonly number[];
}

/** Dataspace message (HDF5 File Format Specification 3.0, IV.A.2.b). */
export function readShape(cursor: Hdf5Cursor): Hdf5Shape {
  const version = cursor.u8();
  const rank = cursor.u8();
  cursor.u8();
  if (version !== 1 && version !== 2) cursor.fail(`dataspace version ${version} is not known`);
  if (version === 1) cursor.skip(5);
  else if (cursor.u8() === 2) return null;
  if (rank > 32) cursor.fail(`${rank} axes are more than HDF5 has`);
  const shape = Array.from({ length: rank }, () => cursor.length());
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count) || shape.includes(nowhere)) cursor.fail(`the shape [${shape.join(', ')}] is impossibly large`);
  return shape;
}

/** Datatype message (IV.A.2.d). */
export function readType(cursor: Hdf5Cursor, depth = 0): Hdf5Type {
  const start = cursor.at;
  const head = cursor.u8();
  const version = head >> 4;
  const kind = head & 15;
  const bits = cursor.u8() | (cursor.u8() << 8) | (cursor.u8() << 16);
  const sizeBytes = cursor.u32();
  if (version < 1 || version > 4 || depth > 8) cursor.fail(`datatype version ${version} is not known`);
  const base = { sizeBytes, signed: (bits & 8) !== 0, bigEndian: (bits & 1) === 1, exponentBits: 0, pointers: false };
  const encoded = (): Uint8Array => cursor.bytes.slice(start, cursor.at);
  if (kind === 0) {
    cursor.skip(4);
    return { ...base, kind: 'int', title: `${base.signed ? '' : 'u'}int${sizeBytes * 8}`, encoded: encoded() };
  }
  if (kind === 1) {
    cursor.skip(5);
    const exponentBits = cursor.u8();
    cursor.skip(6);
    return { ...base, kind: 'float', exponentBits, title: `float${sizeBytes * 8}`, encoded: encoded() };
  }
  if (kind === 3) return { ...base, kind: 'string', title: 'text', encoded: encoded() };
  if (kind === 8) {
    // An enumeration (h5py's bool): its numbers are what counts. Names and values follow and are the end of the message.
    const inner = readType(cursor, depth + 1);
    cursor.skip(cursor.left);
    return { ...inner, title: `enumeration of ${inner.title}`, encoded: encoded() };
  }
  const whole = (): Uint8Array => {
    cursor.skip(cursor.left);
    return encoded();
  };
  if (kind === 9) {
    const string = (bits & 15) === 1;
    return { ...base, kind: string ? 'vlenString' : 'other', pointers: true, title: string ? 'text' : 'lists', encoded: whole() };
  }
  const titles: Readonly<Record<number, string>> = { 2: 'time', 4: 'bits', 5: 'opaque bytes', 6: 'records', 7: 'references', 10: 'arrays' };
  return { ...base, kind: 'other', pointers: [6, 7, 10].includes(kind), title: titles[kind] ?? `class ${kind}`, encoded: whole() };
}

/** Data layout message (IV.A.2.i). */
export function readLayout(cursor: Hdf5Cursor): Hdf5Layout {
  const version = cursor.u8();
  if (version === 1 || version === 2) return readOldLayout(cursor);
  if (version !== 3 && version !== 4) return { kind: 'unknown', title: `layout version ${version}` };
  const kind = cursor.u8();
  if (kind === 0) return { kind: 'compact', bytes: cursor.take(cursor.u16()).slice() };
  if (kind === 1) return { kind: 'contiguous', address: cursor.offset(), sizeBytes: cursor.length() };
  if (kind !== 2 || version === 4) return { kind: 'unknown', title: kind === 2 ? 'chunks of HDF5 1.10 and later' : `layout ${kind}` };
  const rank = cursor.u8();
  const address = cursor.offset();
  return { kind: 'chunked', address, chunk: chunkSizes(cursor, rank - 1) };
}

function readOldLayout(cursor: Hdf5Cursor): Hdf5Layout {
  const rank = cursor.u8();
  const kind = cursor.u8();
  cursor.skip(5);
  const address = kind === 0 ? 0 : cursor.offset();
  if (kind === 2) return { kind: 'chunked', address, chunk: chunkSizes(cursor, rank - 1) };
  cursor.skip(4 * rank);
  if (kind === 0) return { kind: 'compact', bytes: cursor.take(cursor.u32()).slice() };
  return { kind: 'contiguous', address, sizeBytes: nowhere };
}

function chunkSizes(cursor: Hdf5Cursor, rank: number): readonly number[] {
  if (rank < 0 || rank > 32) cursor.fail(`a chunk has ${rank} axes`);
  const chunk = Array.from({ length: rank }, () => cursor.u32());
  if (chunk.some((size) => size === 0)) cursor.fail(`chunks of [${chunk.join(', ')}] elements hold nothing`);
  return chunk;
}

/** Filter pipeline message (IV.A.2.l). */
export function readFilters(cursor: Hdf5Cursor): readonly Hdf5Filter[] {
  const version = cursor.u8();
  const count = cursor.u8();
  if (version !== 1 && version !== 2) cursor.fail(`filter pipeline version ${version} is not known`);
  if (version === 1) cursor.skip(6);
  return Array.from({ length: count }, (): Hdf5Filter => {
    const id = cursor.u16();
    const nameBytes = version === 1 || id >= 256 ? cursor.u16() : 0;
    cursor.u16();
    const values = cursor.u16();
    cursor.skip(version === 1 ? padded(nameBytes) : nameBytes);
    const list = Array.from({ length: values }, () => cursor.u32());
    if (version === 1 && values % 2) cursor.skip(4);
    return { id, values: list };
  });
}

export interface Hdf5RawAttribute {
  readonly name: string;
  readonly type: Hdf5Type;
  readonly shape: Hdf5Shape;
  /** The elements as they stand in the file. */
  readonly raw: Uint8Array;
}

/** Attribute message (IV.A.2.m). */
export function readAttribute(cursor: Hdf5Cursor): Hdf5RawAttribute {
  const version = cursor.u8();
  const flags = cursor.u8();
  if (version < 1 || version > 3) cursor.fail(`attribute version ${version} is not known`);
  const [nameBytes, typeBytes, shapeBytes] = [cursor.u16(), cursor.u16(), cursor.u16()];
  if (version === 3) cursor.u8();
  if (version > 1 && flags & 3) cursor.fail('an attribute shares its type with another object');
  const size = (bytes: number): number => version === 1 ? padded(bytes) : bytes;
  const name = text(cursor.take(size(nameBytes)).subarray(0, nameBytes));
  const type = readType(section(cursor, typeBytes, size(typeBytes)));
  const shape = readShape(section(cursor, shapeBytes, size(shapeBytes)));
  const sizeBytes = (shape === null ? 0 : shape.reduce((product, one) => product * one, 1)) * type.sizeBytes;
  return { name, type, shape, raw: cursor.take(sizeBytes) };
}

/** A part of a message whose padding is passed as well. */
function section(cursor: Hdf5Cursor, bytes: number, passed: number): Hdf5Cursor {
  const part = cursor.part(bytes);
  cursor.skip(passed - bytes);
  return part;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
