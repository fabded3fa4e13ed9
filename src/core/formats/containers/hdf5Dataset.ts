import { Unzlib } from 'fflate';
import { ParticlizeError } from '../../graph/errors';
import { allocate } from '../../graph/numeric';
import { bytesPerElement, elementCount, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import type { Hdf5Attribute } from './hdf5';
import { nowhere, type Hdf5Bytes } from './hdf5Bytes';
import type { Hdf5Filter, Hdf5Layout, Hdf5Type } from './hdf5Messages';

export interface Hdf5DatasetParts {
  readonly path: string;
  readonly shape: readonly number[];
  readonly type: Hdf5Type;
  /** Missing: elements that are not numbers. */
  readonly dtype: DType | undefined;
  readonly layout: Hdf5Layout;
  readonly filters: readonly Hdf5Filter[];
  readonly attributes: ReadonlyMap<string, Hdf5Attribute>;
  readonly address: number;
}

/** An array in an HDF5 file: contiguous, in its header, or in (compressed) chunks. Read when asked for. */
export class Hdf5Dataset {
  readonly kind = 'dataset';
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: DType | undefined;
  readonly attributes: ReadonlyMap<string, Hdf5Attribute>;

  constructor(private readonly file: Hdf5Bytes, readonly parts: Hdf5DatasetParts) {
    this.path = parts.path;
    this.shape = parts.shape;
    this.dtype = parts.dtype;
    this.attributes = parts.attributes;
    const { layout } = parts;
    if (layout.kind === 'contiguous' && layout.address !== nowhere && !file.contains(layout.address, this.sizeBytes)) {
      this.fail(`its ${this.sizeBytes} bytes leave the file, which ends at byte ${file.source.sizeBytes}`);
    }
    if (layout.kind === 'chunked' && layout.chunk.length !== this.shape.length) this.fail('its chunks have other axes than it');
  }

  get sizeBytes(): number {
    return elementCount(this.shape) * this.parts.type.sizeBytes;
  }

  /** As a tensor in the file's layout. Throws a ParticlizeError when its elements are not numbers. */
  tensor(name: string, dtype = this.dtype): Tensor {
    const { type, layout } = this.parts;
    if (!dtype) this.fail(`its elements are ${type.title}, not numbers that Particlize reads`);
    const plain = layout.kind === 'contiguous' && layout.address !== nowhere && !type.bigEndian;
    return {
      name, dtype, shape: this.shape,
      stored: plain ? {
        source: this.file.source, offset: layout.address + this.file.base, sizeBytes: this.sizeBytes, shape: this.shape,
        axes: this.shape.map((_, axis) => axis),
      } : undefined,
      read: () => this.read(dtype),
    };
  }

  async read(dtype = this.dtype): Promise<NdArray> {
    if (!dtype || dtype === 'string') this.fail('its elements are not numbers');
    const { bigEndian, sizeBytes } = this.parts.type;
    if (bytesPerElement[dtype] !== sizeBytes) this.fail(`its elements have ${sizeBytes} bytes, those of ${dtype} have not`);
    const bytes = await this.bytes();
    if (bigEndian) swap(bytes, sizeBytes);
    const data = allocate(dtype, 0);
    const make = data.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => NdArray['data'];
    const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
    return { dtype, shape: this.shape, data: new make(aligned.buffer, aligned.byteOffset, aligned.length / sizeBytes) };
  }

  /** The elements as the file has them, row-major and uncompressed. */
  async bytes(): Promise<Uint8Array> {
    const { layout, filters } = this.parts;
    if (layout.kind === 'unknown') this.fail(`${layout.title} are not read by Particlize`);
    if (layout.kind === 'chunked') return this.readChunks(layout, filters);
    if (layout.kind === 'contiguous') {
      // Nothing was ever written: the library gives zeros.
      if (layout.address === nowhere) return this.zeros();
      return this.file.data(layout.address, this.sizeBytes);
    }
    if (layout.bytes.length < this.sizeBytes) this.fail(`it holds ${layout.bytes.length} bytes where ${this.sizeBytes} are needed`);
    return layout.bytes.slice(0, this.sizeBytes);
  }

  private zeros(): Uint8Array {
    if (this.sizeBytes > largestUnpacked) this.fail(`${this.sizeBytes} bytes are more than Particlize unpacks`);
    return new Uint8Array(this.sizeBytes);
  }

  private async readChunks({ address, chunk }: Extract<Hdf5Layout, { kind: 'chunked' }>, filters: readonly Hdf5Filter[]): Promise<Uint8Array> {
    const elementBytes = this.parts.type.sizeBytes;
    const chunkBytes = elementCount(chunk) * elementBytes;
    if (chunkBytes > largestUnpacked) this.fail(`chunks of ${chunkBytes} bytes are more than Particlize unpacks`);
    if (address === nowhere) return this.zeros();
    const chunks = await chunkList(this.file, address, this.shape.length);
    const packed = chunks.reduce((sum, one) => sum + one.sizeBytes, 0);
    // Chunks are compressed by about 1000 to 1 at best; parts never written are zeros, which only small arrays have.
    if (this.sizeBytes > packed * 1100 + 64 * 2 ** 20) this.fail(`its ${packed} bytes cannot unpack to ${this.sizeBytes}`);
    const result = new Uint8Array(this.sizeBytes);
    for (const { address: at, sizeBytes, mask, start } of chunks) {
      if (start.some((index, axis) => index >= this.shape[axis]! || index % chunk[axis]! !== 0)) this.fail('a chunk lies outside its array');
      if (!this.file.contains(at, sizeBytes)) this.fail(`a chunk at byte ${at} leaves the file`);
      const bytes = this.unfilter(await this.file.data(at, sizeBytes), filters, mask, chunkBytes);
      if (bytes.length < chunkBytes) this.fail(`a chunk has ${bytes.length} bytes where ${chunkBytes} are needed`);
      copyChunk(bytes, chunk, result, this.shape, start, elementBytes);
    }
    return result;
  }

  private unfilter(packed: Uint8Array, filters: readonly Hdf5Filter[], mask: number, chunkBytes: number): Uint8Array {
    let bytes = packed;
    for (let index = filters.length - 1; index >= 0; index--) {
      const { id, values } = filters[index]!;
      if ((mask >> index) & 1) continue;
      if (id === 1) bytes = this.inflate(bytes, chunkBytes + 4);
      else if (id === 2) bytes = unshuffle(bytes, values[0] ?? this.parts.type.sizeBytes);
      else if (id === 3) bytes = bytes.subarray(0, Math.max(0, bytes.length - 4));
      else this.fail(`it is compressed by filter ${id}, which Particlize does not read`);
    }
    return bytes;
  }

  private inflate(bytes: Uint8Array, limit: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let total = 0;
    const inflate = new Unzlib((part) => {
      total += part.length;
      if (total > limit) throw new RangeError('it is too long');
      parts.push(part.slice());
    });
    try {
      for (let at = 0; at < bytes.length; at += packedChunk) inflate.push(bytes.subarray(at, at + packedChunk), at + packedChunk >= bytes.length);
    } catch (error) {
      return this.fail(`a compressed chunk is damaged (${error instanceof Error ? error.message : String(error)})`);
    }
    const result = new Uint8Array(total);
    parts.reduce((at, part) => {
      result.set(part, at);
      return at + part.length;
    }, 0);
    return result;
  }

  private fail(cause: string): never {
    throw new ParticlizeError({ file: this.file.source.name, place: `dataset ${this.parts.path}`, cause });
  }
}

const largestUnpacked = 2 ** 30;
const packedChunk = 64 * 1024;

interface ChunkPlace {
  readonly address: number;
  readonly sizeBytes: number;
  readonly mask: number;
  readonly start: readonly number[];
}

/** The chunks of a version 1 B-tree (III.A.1, node type 1). */
async function chunkList(file: Hdf5Bytes, address: number, rank: number, level = 255): Promise<ChunkPlace[]> {
  const head = (await file.block(address, 8 + 2 * file.offsetSize, 'a B-tree')).signature('TREE', 'a B-tree');
  if (head.u8() !== 1) file.fail(address, 'this B-tree is not one of chunks');
  const depth = head.u8();
  if (depth >= level || (level === 255 && depth > 16)) file.fail(address, 'this B-tree does not go down');
  const count = head.u16();
  const keyBytes = 8 + 8 * (rank + 1);
  const body = await file.block(address + 8 + 2 * file.offsetSize, count * (keyBytes + file.offsetSize), 'a B-tree');
  const chunks: ChunkPlace[] = [];
  for (let index = 0; index < count; index++) {
    const sizeBytes = body.u32();
    const mask = body.u32();
    const start = Array.from({ length: rank }, () => body.uint(8));
    body.skip(8);
    const child = body.offset();
    if (depth === 0) chunks.push({ address: child, sizeBytes, mask, start });
    else for (const one of await chunkList(file, child, rank, depth)) chunks.push(one);
    if (chunks.length > 4_000_000) file.fail(address, 'it has more chunks than Particlize reads');
  }
  return chunks;
}

/** The part of a chunk that lies inside the array; chunks at the edges stick out. */
function copyChunk(
  bytes: Uint8Array, chunk: readonly number[], result: Uint8Array, shape: readonly number[], start: readonly number[], elementBytes: number,
): void {
  const rank = shape.length;
  if (rank === 0) return result.set(bytes.subarray(0, elementBytes));
  const inside = chunk.map((size, axis) => Math.min(size, shape[axis]! - start[axis]!));
  const run = inside[rank - 1]! * elementBytes;
  const rows = elementCount(inside.slice(0, -1));
  const position = new Array<number>(rank).fill(0);
  for (let row = 0; row < rows; row++) {
    let from = 0;
    let to = 0;
    for (let axis = 0; axis < rank; axis++) {
      from = from * chunk[axis]! + position[axis]!;
      to = to * shape[axis]! + start[axis]! + position[axis]!;
    }
    result.set(bytes.subarray(from * elementBytes, from * elementBytes + run), to * elementBytes);
    for (let axis = rank - 2; axis >= 0; axis--) {
      if (++position[axis]! < inside[axis]!) break;
      position[axis] = 0;
    }
  }
}

/** The shuffle filter stores the first bytes of all elements, then the second ones, ... */
function unshuffle(bytes: Uint8Array, elementBytes: number): Uint8Array {
  if (elementBytes < 2) return bytes;
  const count = Math.floor(bytes.length / elementBytes);
  const result = bytes.slice();
  for (let byte = 0; byte < elementBytes; byte++) {
    for (let index = 0; index < count; index++) result[index * elementBytes + byte] = bytes[byte * count + index]!;
  }
  return result;
}

function swap(bytes: Uint8Array, elementBytes: number): void {
  for (let at = 0; at + elementBytes <= bytes.length; at += elementBytes) bytes.subarray(at, at + elementBytes).reverse();
}
