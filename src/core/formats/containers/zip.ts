import { Inflate } from 'fflate';
import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';

/** One file inside a zip archive, as the central directory describes it. */
export interface ZipEntry {
  readonly name: string;
  /** 0: stored, 8: deflated. */
  readonly method: number;
  /** As it lies in the archive, and unpacked. */
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly crc32: number;
  /** Where its local header begins in the archive. */
  readonly headerOffset: number;
  readonly encrypted: boolean;
}

export interface ZipLimits {
  readonly maxEntries?: number;
  /** The largest deflated entry that is unpacked into memory; stored entries are read by range, whatever their size. */
  readonly maxInflatedBytes?: number;
}

/**
 * Reads the directory of a zip archive (zip64 too) and nothing else. Rejects with a ParticlizeError when it is cut off,
 * when sizes contradict each other, or when two entries have one name. The archive may have bytes in front of it.
 */
export async function openZip(source: ByteSource, limits: ZipLimits = {}): Promise<ZipArchive> {
  const { maxEntries = 1_000_000, maxInflatedBytes = 512 * 2 ** 20 } = limits;
  const end = await findEnd(source);
  if (end.entries > maxEntries) throw broken(source, end.at, `it lists ${end.entries} entries, more than Particlize reads`);
  if (end.directoryBytes > maxDirectoryBytes || end.entries * entryHeader > end.directoryBytes) {
    throw broken(source, end.at, `a directory of ${end.directoryBytes} bytes cannot list ${end.entries} entries`);
  }
  // What comes in front of the first entry (a self-extractor) shifts every offset.
  const shift = end.at - end.directoryBytes - end.directoryOffset;
  if (shift < 0) throw broken(source, end.at, 'its directory lies outside the file');
  const directory = await source.read(end.directoryOffset + shift, end.directoryBytes);
  return new ZipArchive(source, readEntries(source, directory, end.entries, shift, end.directoryOffset + shift), maxInflatedBytes);
}

export function looksLikeZip(head: Uint8Array): boolean {
  return head[0] === 0x50 && head[1] === 0x4b && ((head[2] === 3 && head[3] === 4) || (head[2] === 5 && head[3] === 6));
}

export class ZipArchive {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  private readonly offsets = new Map<ZipEntry, Promise<number>>();

  constructor(readonly source: ByteSource, entries: readonly ZipEntry[], private readonly maxInflatedBytes: number) {
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
  }

  entry(name: string): ZipEntry {
    const entry = this.entries.get(name);
    if (entry) return entry;
    throw new ParticlizeError({
      file: this.source.name, place: `entry ${shorten(name)}`, cause: 'the archive does not hold it', action: 'The file may be damaged',
    });
  }

  /** Where an entry's (packed) bytes begin in the archive. One small read, the first time. */
  dataOffset(entry: ZipEntry): Promise<number> {
    let offset = this.offsets.get(entry);
    if (!offset) this.offsets.set(entry, (offset = this.findData(entry)));
    return offset;
  }

  /** Random access to an entry: a stored one by range without unpacking; a deflated one is unpacked when first read. */
  async open(entry: ZipEntry): Promise<ByteSource> {
    const offset = await this.dataOffset(entry);
    if (entry.method === 0) return new PartOfFile(`${this.source.name}: ${shorten(entry.name)}`, this.source, offset, entry.sizeBytes);
    this.checkInflatable(entry);
    return new InflatedEntry(this, entry);
  }

  /** All of an entry, unpacked. `maxBytes` refuses more than the caller wants in memory. */
  async readAll(entry: ZipEntry, maxBytes = this.maxInflatedBytes): Promise<Uint8Array> {
    if (entry.sizeBytes > maxBytes) throw this.wrong(entry, `${entry.sizeBytes} bytes are more than Particlize unpacks`);
    if (entry.method === 0) return this.source.read(await this.dataOffset(entry), entry.sizeBytes);
    this.checkInflatable(entry);
    return this.inflate(entry);
  }

  private checkInflatable(entry: ZipEntry): void {
    if (entry.method !== 8) throw this.wrong(entry, `its compression (method ${entry.method}) is not one that Particlize reads`);
    if (entry.sizeBytes > this.maxInflatedBytes) throw this.wrong(entry, `${entry.sizeBytes} bytes are more than Particlize unpacks`);
    // DEFLATE cannot shrink by more than about 1032 to 1: a larger claim is a lie, found before memory is taken.
    if (entry.sizeBytes > entry.packedBytes * 1040 + 64) throw this.wrong(entry, `${entry.packedBytes} bytes cannot unpack to ${entry.sizeBytes}`);
  }

  private async inflate(entry: ZipEntry): Promise<Uint8Array> {
    const start = await this.dataOffset(entry);
    const bytes = new Uint8Array(entry.sizeBytes);
    let filled = 0;
    const inflate = new Inflate((chunk) => {
      if (filled + chunk.length > bytes.length) throw this.wrong(entry, `it unpacks to more than the ${bytes.length} bytes that it claims`);
      bytes.set(chunk, filled);
      filled += chunk.length;
    });
    try {
      for (let at = 0; at < entry.packedBytes; at += packedChunk) {
        const length = Math.min(packedChunk, entry.packedBytes - at);
        inflate.push(await this.source.read(start + at, length), at + length === entry.packedBytes);
      }
    } catch (error) {
      if (error instanceof ParticlizeError) throw error;
      throw this.wrong(entry, 'its compressed bytes are damaged', error);
    }
    if (filled !== bytes.length) throw this.wrong(entry, `it unpacks to ${filled} bytes where the directory says ${bytes.length}`);
    return bytes;
  }

  private async findData(entry: ZipEntry): Promise<number> {
    const { source } = this;
    if (entry.encrypted) throw this.wrong(entry, 'it is encrypted');
    if (entry.method === 0 && entry.packedBytes !== entry.sizeBytes) {
      throw this.wrong(entry, `it is stored, but its sizes differ (${entry.packedBytes} and ${entry.sizeBytes})`);
    }
    if (entry.headerOffset + localHeader > source.sizeBytes) throw this.wrong(entry, `it begins at byte ${entry.headerOffset}, behind the end`);
    const header = viewOf(await source.read(entry.headerOffset, localHeader));
    if (header.getUint32(0, true) !== signatures.local) throw this.wrong(entry, `byte ${entry.headerOffset} is not where an entry begins`);
    const offset = entry.headerOffset + localHeader + header.getUint16(26, true) + header.getUint16(28, true);
    if (offset + entry.packedBytes > source.sizeBytes) {
      throw this.wrong(entry, `its ${entry.packedBytes} bytes at byte ${offset} leave the file, which ends at byte ${source.sizeBytes}`);
    }
    return offset;
  }

  private wrong(entry: ZipEntry, cause: string, error?: unknown): ParticlizeError {
    const place = `entry ${shorten(entry.name)}`;
    return new ParticlizeError({ file: this.source.name, place, cause, action: 'The file may be damaged' }, { cause: error });
  }
}

/** A range of a file as if it were a file of its own. */
export class PartOfFile implements ByteSource {
  readonly within: { readonly source: ByteSource; readonly offset: number };

  constructor(readonly name: string, private readonly source: ByteSource, private readonly start: number, readonly sizeBytes: number) {
    this.within = { source, offset: start };
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      return Promise.reject(new ParticlizeError({
        file: this.name, place: `byte ${offset}`, cause: `${length} bytes are wanted, but it ends at byte ${this.sizeBytes}`,
      }));
    }
    return this.source.read(this.start + offset, length);
  }
}

class InflatedEntry implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  private bytes: Promise<Uint8Array> | undefined;

  constructor(private readonly archive: ZipArchive, private readonly entry: ZipEntry) {
    this.name = `${archive.source.name}: ${shorten(entry.name)}`;
    this.sizeBytes = entry.sizeBytes;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.bytes ??= this.archive.readAll(this.entry);
    const bytes = await this.bytes;
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
      throw new ParticlizeError({ file: this.name, place: `byte ${offset}`, cause: `${length} bytes are wanted, but it ends at byte ${bytes.length}` });
    }
    return bytes.slice(offset, offset + length);
  }
}

const signatures = { local: 0x04034b50, entry: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 };
const localHeader = 30;
const entryHeader = 46;
const endBytes = 22;
const maxDirectoryBytes = 256 * 2 ** 20;
const packedChunk = 64 * 1024;

interface EndRecord {
  /** Where the directory should end. */
  readonly at: number;
  readonly entries: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
}

async function findEnd(source: ByteSource): Promise<EndRecord> {
  const length = Math.min(source.sizeBytes, endBytes + 0xffff);
  const start = source.sizeBytes - length;
  const tail = viewOf(await source.read(start, length));
  for (let at = length - endBytes; at >= 0; at--) {
    if (tail.getUint32(at, true) !== signatures.end || at + endBytes + tail.getUint16(at + 20, true) > length) continue;
    const end = {
      at: start + at,
      entries: tail.getUint16(at + 10, true), directoryBytes: tail.getUint32(at + 12, true), directoryOffset: tail.getUint32(at + 16, true),
    };
    const locator = at - 20;
    if (locator < 0 || tail.getUint32(locator, true) !== signatures.locator64) return end;
    return findEnd64(source, start + locator, Number(tail.getBigUint64(locator + 8, true)));
  }
  throw broken(source, source.sizeBytes, 'the directory that ends a zip archive is missing');
}

async function findEnd64(source: ByteSource, locator: number, offset: number): Promise<EndRecord> {
  // The record lies right in front of its locator; the offset says the same unless something was put in front of the archive.
  for (const at of [offset, locator - 56]) {
    if (!(at >= 0 && at + 56 <= source.sizeBytes)) continue;
    const record = viewOf(await source.read(at, 56));
    if (record.getUint32(0, true) !== signatures.end64) continue;
    return {
      at,
      entries: Number(record.getBigUint64(32, true)),
      directoryBytes: Number(record.getBigUint64(40, true)),
      directoryOffset: Number(record.getBigUint64(48, true)),
    };
  }
  throw broken(source, locator, 'the directory that ends a zip64 archive is missing');
}

function readEntries(source: ByteSource, bytes: Uint8Array, count: number, shift: number, base: number): ZipEntry[] {
  const view = viewOf(bytes);
  const names = new Set<string>();
  const entries: ZipEntry[] = [];
  for (let at = 0, index = 0; index < count; index++) {
    if (at + entryHeader > bytes.length || view.getUint32(at, true) !== signatures.entry) {
      throw broken(source, base + at, `entry ${index + 1} of ${count} is missing in its directory`);
    }
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => view.getUint16(at + field, true)) as [number, number, number];
    const next = at + entryHeader + nameBytes + extraBytes + commentBytes;
    if (next > bytes.length) throw broken(source, base + at, `entry ${index + 1} leaves the directory`);
    const extraStart = at + entryHeader + nameBytes;
    const name = decoder.decode(bytes.subarray(at + entryHeader, extraStart));
    const [packedBytes, sizeBytes, headerOffset] = wideFields(view, extraStart, extraStart + extraBytes, {
      packed: view.getUint32(at + 20, true), size: view.getUint32(at + 24, true), offset: view.getUint32(at + 42, true),
    });
    if (![packedBytes, sizeBytes, headerOffset].every(Number.isSafeInteger) || headerOffset + shift + packedBytes > source.sizeBytes) {
      throw broken(source, base + at, `entry ${shorten(name)} lies outside the file`);
    }
    if (names.has(name)) throw broken(source, base + at, `two entries are named ${shorten(name)}`);
    names.add(name);
    entries.push({
      name, packedBytes, sizeBytes, headerOffset: headerOffset + shift,
      method: view.getUint16(at + 10, true), crc32: view.getUint32(at + 16, true), encrypted: (view.getUint16(at + 8, true) & 1) === 1,
    });
    at = next;
  }
  return entries;
}

/** Sizes and offset, from the zip64 field where the plain ones are full. */
function wideFields(
  view: DataView, start: number, end: number, plain: { packed: number; size: number; offset: number },
): [number, number, number] {
  let { packed, size, offset } = plain;
  for (let at = start; at + 4 <= end; ) {
    const kind = view.getUint16(at, true);
    const fieldEnd = at + 4 + view.getUint16(at + 2, true);
    if (kind === 1 && fieldEnd <= end) {
      let from = at + 4;
      const wide = (value: number): number => {
        if (value !== 0xffffffff || from + 8 > fieldEnd) return value;
        from += 8;
        return Number(view.getBigUint64(from - 8, true));
      };
      size = wide(size);
      packed = wide(packed);
      offset = wide(offset);
    }
    at = fieldEnd;
  }
  return [packed, size, offset];
}

const decoder = new TextDecoder();

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function shorten(name: string): string {
  return name.length > 120 ? `${name.slice(0, 100)}…` : name;
}

function broken(source: ByteSource, offset: number, cause: string): ParticlizeError {
  return new ParticlizeError({
    file: source.name, place: `byte ${offset}`, cause: `the zip archive is damaged: ${cause}`, action: 'Copy or download the file again',
  });
}
