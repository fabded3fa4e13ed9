import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';

/** The keys of a TensorFlow checkpoint's index and their values (encoded BundleEntryProto messages). */
export type BundleIndex = ReadonlyMap<string, Uint8Array>;

/**
 * Reads variables.index: a sorted string table as LevelDB has it (https://github.com/google/leveldb, doc/table_format.md),
 * data blocks found by an index block at its end. Rejects with a ParticlizeError that names the byte where it is damaged.
 */
export async function readBundleIndex(source: ByteSource): Promise<BundleIndex> {
  if (source.sizeBytes < footerBytes) throw damaged(source, 0, 'it is too short');
  if (source.sizeBytes > largestIndex) throw damaged(source, 0, `${source.sizeBytes} bytes are more than Particlize reads`);
  const bytes = await source.read(0, source.sizeBytes);
  const footer = new Reader(source, bytes, source.sizeBytes - footerBytes, source.sizeBytes);
  footer.handle();
  const index = footer.handle();
  const magic = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(bytes.length - 8, true);
  if (magic !== 0xdb4775248b80fb57n) throw damaged(source, source.sizeBytes - 8, 'it does not end as an index does');
  const entries = new Map<string, Uint8Array>();
  for (const [, value] of block(source, bytes, index)) {
    const handle = new Reader(source, value, 0, value.length).handle();
    for (const [key, content] of block(source, bytes, handle)) {
      entries.set(key, content);
      if (entries.size > maxEntries) throw damaged(source, handle.offset, `it has more than ${maxEntries} entries`);
    }
  }
  return entries;
}

const footerBytes = 48;
const largestIndex = 256 * 2 ** 20;
const maxEntries = 1_000_000;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** Entries with shared beginnings of keys: shared, unshared, value length, rest of the key, value. */
function block(source: ByteSource, bytes: Uint8Array, { offset, size }: Handle): [string, Uint8Array][] {
  if (offset + size + 1 > bytes.length || size < 4) throw damaged(source, offset, `a block of ${size} bytes leaves the file`);
  const kind = bytes[offset + size];
  const content = kind === 0 ? bytes.subarray(offset, offset + size) : kind === 1 ? unsnappy(source, bytes.subarray(offset, offset + size), offset) : undefined;
  if (!content) throw damaged(source, offset, `its compression (${kind}) is not one that Particlize reads`);
  if (content.length < 4) throw damaged(source, offset, 'a block is too short');
  const restarts = new DataView(content.buffer, content.byteOffset, content.byteLength).getUint32(content.length - 4, true);
  const end = content.length - 4 - 4 * restarts;
  if (end < 0) throw damaged(source, offset, 'a block is too short');
  const reader = new Reader(source, content, 0, end);
  const entries: [string, Uint8Array][] = [];
  let key = new Uint8Array(0);
  while (reader.at < end) {
    const [shared, rest, length] = [reader.varint(), reader.varint(), reader.varint()];
    if (shared > key.length) throw damaged(source, offset, 'a name is cut off');
    const own = reader.take(rest);
    const next = new Uint8Array(shared + rest);
    next.set(key.subarray(0, shared));
    next.set(own, shared);
    key = next;
    entries.push([decoder.decode(key), reader.take(length)]);
    if (entries.length > maxEntries) throw damaged(source, offset, `it has more than ${maxEntries} entries`);
  }
  return entries;
}

class Reader {
  constructor(private readonly source: ByteSource, private readonly bytes: Uint8Array, public at: number, private readonly end: number) {}

  handle(): Handle {
    return { offset: this.varint(), size: this.varint() };
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      if (this.at >= this.end) throw damaged(this.source, this.at, 'it ends inside a number');
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
    }
    throw damaged(this.source, this.at, 'a number is too large');
  }

  take(length: number): Uint8Array {
    if (length > this.end - this.at) throw damaged(this.source, this.at, `${length} bytes are wanted where ${this.end - this.at} are left`);
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }
}

/** Snappy's format (https://github.com/google/snappy, format_description.txt). */
function unsnappy(source: ByteSource, packed: Uint8Array, offset: number): Uint8Array {
  const reader = new Reader(source, packed, 0, packed.length);
  const size = reader.varint();
  // A copy of 64 bytes takes 3: more than about 22 to 1 is impossible.
  if (size > packed.length * 24 + 64) throw damaged(source, offset, `${packed.length} bytes cannot unpack to ${size}`);
  const result = new Uint8Array(size);
  let at = 0;
  const little = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  while (reader.at < packed.length) {
    const tag = reader.take(1)[0]!;
    let length = tag >> 2;
    if ((tag & 3) === 0) {
      if (length >= 60) length = little(reader.take(length - 59));
      if (at + length + 1 > size) throw damaged(source, offset, 'a compressed block is damaged');
      result.set(reader.take(length + 1), at);
      at += length + 1;
      continue;
    }
    const near = (tag & 3) === 1;
    const back = near ? ((tag >> 5) << 8) + reader.take(1)[0]! : little(reader.take((tag & 3) === 2 ? 2 : 4));
    const count = near ? (length & 7) + 4 : length + 1;
    if (back === 0 || back > at || at + count > size) throw damaged(source, offset, 'a compressed block is damaged');
    for (let index = 0; index < count; index++) result[at + index] = result[at - back + index]!;
    at += count;
  }
  return at === size ? result : result.subarray(0, at);
}

const decoder = new TextDecoder();

function damaged(source: ByteSource, offset: number, cause: string): ParticlizeError {
  return new ParticlizeError({ file: source.name, place: `byte ${offset}`, cause: `the checkpoint index is damaged: ${cause}`, action: 'Copy the file again' });
}
