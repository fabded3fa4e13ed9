import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';

/** An address that means "nowhere". */
export const nowhere = Number.MAX_SAFE_INTEGER;

/**
 * The bytes of an HDF5 file with the widths of its addresses and lengths. Headers lie scattered in small pieces, so
 * that reads go through a few cached pages; {@link data} reads past them.
 */
export class Hdf5Bytes {
  private readonly pages = new Map<number, Promise<Uint8Array>>();

  constructor(
    readonly source: ByteSource, readonly base: number, readonly offsetSize: number, readonly lengthSize: number,
  ) {}

  /** A part of the file's structure, as a cursor that cannot leave it. Rejects when it leaves the file. */
  async block(address: number, length: number, what: string): Promise<Hdf5Cursor> {
    const start = address + this.base;
    if (!(address >= 0 && length >= 0 && start + length <= this.source.sizeBytes)) {
      this.fail(address, `${what} of ${length} bytes leaves the file, which ends at byte ${this.source.sizeBytes}`);
    }
    if (length > largestBlock) this.fail(address, `${what} of ${length} bytes is larger than Particlize reads`);
    const bytes = new Uint8Array(length);
    for (let at = start; at < start + length; ) {
      const page = Math.floor(at / pageBytes);
      const content = await this.page(page);
      const from = at - page * pageBytes;
      const part = content.subarray(from, Math.min(content.length, from + start + length - at));
      bytes.set(part, at - start);
      at += part.length;
    }
    return new Hdf5Cursor(this, bytes, address);
  }

  /** Elements of a dataset; checks the range only. */
  async data(address: number, length: number): Promise<Uint8Array> {
    return this.source.read(address + this.base, length);
  }

  contains(address: number, length: number): boolean {
    return address >= 0 && length >= 0 && address + this.base + length <= this.source.sizeBytes;
  }

  fail(address: number, cause: string): never {
    const place = Number.isSafeInteger(address) && address !== nowhere ? `byte ${address + this.base}` : undefined;
    throw new ParticlizeError({
      file: this.source.name, place, cause: `the HDF5 file is damaged or of an unknown kind: ${cause}`,
      action: 'Copy or save the file again',
    });
  }

  private page(index: number): Promise<Uint8Array> {
    let page = this.pages.get(index);
    if (page) return page;
    const start = index * pageBytes;
    page = this.source.read(start, Math.min(pageBytes, this.source.sizeBytes - start));
    if (this.pages.size >= maxPages) this.pages.delete(this.pages.keys().next().value!);
    this.pages.set(index, page);
    return page;
  }
}

/** Reads little-endian numbers one behind the other; throws a ParticlizeError at the end. */
export class Hdf5Cursor {
  at = 0;
  private readonly view: DataView;

  constructor(readonly file: Hdf5Bytes, readonly bytes: Uint8Array, readonly address: number) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** An unsigned number of 1 to 8 bytes. All ones in 8 bytes (or the file's width) is {@link nowhere}. */
  uint(size: number): number {
    this.need(size);
    let value = 0;
    let ones = true;
    for (let index = size - 1; index >= 0; index--) {
      const byte = this.view.getUint8(this.at + index);
      ones &&= byte === 255;
      value = value * 256 + byte;
    }
    this.at += size;
    return size >= 4 && ones ? nowhere : value;
  }

  u8(): number { return this.small(1); }
  u16(): number { return this.small(2); }
  u32(): number { return this.small(4); }
  offset(): number { return this.uint(this.file.offsetSize); }
  length(): number { return this.uint(this.file.lengthSize); }

  take(length: number): Uint8Array {
    this.need(length);
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  skip(length: number): this {
    this.need(length);
    this.at += length;
    return this;
  }

  /** A cursor over the next bytes, which are passed. */
  part(length: number): Hdf5Cursor {
    const address = this.address + this.at;
    return new Hdf5Cursor(this.file, this.take(length), address);
  }

  signature(wanted: string, what: string): this {
    if (text(this.take(4)) !== wanted) this.file.fail(this.address, `${what} does not begin here`);
    return this;
  }

  fail(cause: string): never {
    return this.file.fail(this.address + this.at, cause);
  }

  private small(size: 1 | 2 | 4): number {
    this.need(size);
    const value = size === 1 ? this.view.getUint8(this.at) : size === 2 ? this.view.getUint16(this.at, true) : this.view.getUint32(this.at, true);
    this.at += size;
    return value;
  }

  private need(length: number): void {
    if (!(length >= 0 && length <= this.left)) this.fail(`${length} bytes are wanted where ${this.left} are left`);
  }
}

/** Up to the first zero. */
export function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

const decoder = new TextDecoder();
const pageBytes = 8192;
const maxPages = 256;
const largestBlock = 64 * 2 ** 20;
