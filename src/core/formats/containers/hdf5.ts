import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import type { DType } from '../../graph/tensor';
import { Hdf5Bytes, nowhere, text, type Hdf5Cursor } from './hdf5Bytes';
import { Hdf5Dataset } from './hdf5Dataset';
import { denseLinks } from './hdf5Heap';
import {
  readAttribute, readFilters, readLayout, readShape, readType, type Hdf5Filter, type Hdf5Layout, type Hdf5RawAttribute, type Hdf5Shape,
  type Hdf5Type,
} from './hdf5Messages';

export interface Hdf5Group {
  readonly kind: 'group';
  /** '' for the root, 'layers/dense' below. */
  readonly path: string;
  readonly attributes: ReadonlyMap<string, Hdf5Attribute>;
  readonly children: ReadonlyMap<string, Hdf5Object>;
}

export type Hdf5Object = Hdf5Group | Hdf5Dataset;

export interface Hdf5Attribute {
  readonly raw: Hdf5RawAttribute;
  /** Texts of string attributes, numbers of numeric ones, in row-major order; undefined for other types. */
  readonly values: readonly (string | number)[] | undefined;
}

export const hdf5Signature = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

export function looksLikeHdf5(head: Uint8Array): boolean {
  return hdf5Signature.every((byte, index) => head[index] === byte);
}

/**
 * Reads the structure of an HDF5 file (groups, attributes, where the data lie) and no data: what h5py, Keras and the
 * HDF5 library write by default, after the HDF5 File Format Specification 3.0. Rejects with a ParticlizeError that names
 * the byte where something cannot be.
 */
export async function openHdf5(source: ByteSource): Promise<Hdf5Group> {
  const { file, root } = await superblock(source);
  const object = await new Tree(file).object(root, '', new Set());
  return object.kind === 'group' ? object : file.fail(root, 'its root is not a group');
}

/** The object at a path below a group, or undefined. */
export function hdf5At(group: Hdf5Group, path: string): Hdf5Object | undefined {
  let object: Hdf5Object | undefined = group;
  for (const part of path.split('/').filter(Boolean)) object = object?.kind === 'group' ? object.children.get(part) : undefined;
  return object;
}

/** Every dataset below a group, in the file's order of names. */
export function datasetsIn(group: Hdf5Group): Hdf5Dataset[] {
  return [...group.children.values()].flatMap((child) => child.kind === 'group' ? datasetsIn(child) : [child]);
}

async function superblock(source: ByteSource): Promise<{ file: Hdf5Bytes; root: number }> {
  const head = await source.read(0, Math.min(source.sizeBytes, 96));
  const plain = new Hdf5Bytes(source, 0, 8, 8);
  if (!looksLikeHdf5(head)) throw new ParticlizeError({ file: source.name, cause: 'it is not an HDF5 file' });
  const cursor = await plain.block(8, head.length - 8, 'the superblock');
  const version = cursor.u8();
  if (version > 3) plain.fail(8, `superblock version ${version} is not known`);
  if (version < 2) cursor.skip(4);
  const offsetSize = cursor.u8();
  const lengthSize = cursor.u8();
  for (const size of [offsetSize, lengthSize]) if (![2, 4, 8].includes(size)) plain.fail(8, `addresses of ${size} bytes are not known`);
  const sized = new Hdf5Bytes(source, 0, offsetSize, lengthSize);
  const rest = await sized.block(8 + cursor.at, head.length - 8 - cursor.at, 'the superblock');
  rest.skip(version === 0 ? 9 : version === 1 ? 13 : 1);
  const base = rest.offset();
  rest.offset();
  const end = rest.offset();
  if (base + end > source.sizeBytes && end !== nowhere) {
    throw new ParticlizeError({
      file: source.name, cause: `it was cut off: it should have ${base + end} bytes and has ${source.sizeBytes}`, action: 'Copy the file again',
    });
  }
  // Older files have the address of driver information and a symbol table entry, which begins with its name.
  if (version < 2) rest.skip(2 * offsetSize);
  return { file: new Hdf5Bytes(source, base, offsetSize, lengthSize), root: rest.offset() };
}

interface Message {
  readonly type: number;
  readonly body: Hdf5Cursor;
}

const maxObjects = 200_000;
const maxDepth = 64;

class Tree {
  private objects = 0;

  constructor(private readonly file: Hdf5Bytes) {}

  async object(address: number, path: string, above: ReadonlySet<number>): Promise<Hdf5Object> {
    if (above.has(address)) this.file.fail(address, `the group '${path}' contains itself`);
    if (above.size > maxDepth) this.file.fail(address, 'its groups are nested too deeply');
    if (++this.objects > maxObjects) this.file.fail(address, `it holds more than ${maxObjects} objects`);
    const parts: { shape?: Hdf5Shape; type?: Hdf5Type; layout?: Hdf5Layout; filters: readonly Hdf5Filter[] } = { filters: [] };
    const attributes = new Map<string, Hdf5Attribute>();
    const links = new Map<string, number>();
    for (const { type, body } of await this.messages(address)) {
      if (type === 0x01) parts.shape = readShape(body);
      else if (type === 0x03) parts.type = readType(body);
      else if (type === 0x08) parts.layout = readLayout(body);
      else if (type === 0x0b) parts.filters = readFilters(body);
      else if (type === 0x0c) await this.attribute(readAttribute(body), attributes);
      else if (type === 0x06) this.link(body, links);
      else if (type === 0x02) for (const link of await denseLinks(this.file, body)) this.link(link, links);
      else if (type === 0x11) await this.symbols(body.offset(), body.offset(), links);
    }
    if (parts.layout) {
      const { shape = [], type, layout, filters } = parts;
      if (!type) this.file.fail(address, `the dataset '${path}' has no type`);
      return new Hdf5Dataset(this.file, { path, shape: shape ?? [0], type, layout, filters, attributes, dtype: dtypeOf(type), address });
    }
    const children = new Map<string, Hdf5Object>();
    const inside = new Set(above).add(address);
    for (const [name, target] of links) children.set(name, await this.object(target, path ? `${path}/${name}` : name, inside));
    return { kind: 'group', path, attributes, children };
  }

  /** The messages of an object header of version 1 or 2 with all its continuations. */
  private async messages(address: number): Promise<Message[]> {
    const { file } = this;
    const found: Message[] = [];
    const head = await file.block(address, Math.min(16, Math.max(0, file.source.sizeBytes - file.base - address)), 'an object header');
    const modern = text(head.bytes.subarray(0, 4)) === 'OHDR';
    let flags = 0;
    let start: number;
    let size: number;
    if (modern) {
      head.skip(5);
      flags = head.u8();
      start = 6 + (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0);
      const width = 1 << (flags & 3);
      size = (await file.block(address + start, width, 'an object header')).uint(width);
      start += width;
    } else {
      if (head.u8() !== 1) file.fail(address, 'an object header of unknown version begins here');
      head.skip(7);
      size = head.u32();
      start = 16;
    }
    const seen = new Set<number>();
    const blocks: [number, number][] = [[address + start, size]];
    for (let next = blocks.shift(); next; next = blocks.shift()) {
      const [at, length] = next;
      if (seen.has(at) || seen.size > 4096) file.fail(at, 'an object header continues in itself');
      seen.add(at);
      const cursor = await file.block(at, length, 'an object header');
      if (modern && seen.size > 1) cursor.signature('OCHK', 'a continued object header');
      const tail = modern && seen.size > 1 ? 4 : 0;
      const headBytes = modern ? 4 + (flags & 4 ? 2 : 0) : 8;
      while (cursor.left - tail >= headBytes) {
        const type = modern ? cursor.u8() : cursor.u16();
        const bytes = cursor.u16();
        const messageFlags = cursor.u8();
        cursor.skip(modern ? (flags & 4 ? 2 : 0) : 3);
        const body = cursor.part(bytes);
        if (type === 0x10) blocks.push([body.offset(), body.length()]);
        else if (messageFlags & 2 && [1, 3, 0x0b, 0x0c].includes(type)) cursor.fail('an object shares its header with another one, which Particlize does not read');
        else found.push({ type, body });
      }
    }
    return found;
  }

  private async attribute(raw: Hdf5RawAttribute, attributes: Map<string, Hdf5Attribute>): Promise<void> {
    attributes.set(raw.name, { raw, values: await attributeValues(this.file, raw) });
  }

  /** Link message (IV.A.2.g); soft and external links are left out. */
  private link(body: Hdf5Cursor, links: Map<string, number>): void {
    if (body.u8() !== 1) body.fail('a link of unknown version');
    const flags = body.u8();
    const kind = flags & 8 ? body.u8() : 0;
    if (flags & 4) body.skip(8);
    if (flags & 16) body.skip(1);
    const name = text(body.take(body.uint(1 << (flags & 3))));
    if (kind === 0) links.set(name, body.offset());
  }

  /** An old group: a B-tree of symbol table nodes whose names lie in a heap (III.A.1, III.B, III.D). */
  private async symbols(tree: number, heapAddress: number, links: Map<string, number>): Promise<void> {
    const { file } = this;
    const head = (await file.block(heapAddress, 8 + 2 * file.lengthSize + file.offsetSize, 'a heap of names')).signature('HEAP', 'a heap of names').skip(4);
    const size = head.length();
    head.length();
    const heap = await file.block(head.offset(), size, 'a heap of names');
    for (const node of await treeLeaves(file, tree)) {
      const cursor = (await file.block(node, 8, 'a group')).signature('SNOD', 'a group').skip(2);
      const count = cursor.u16();
      const entries = await file.block(node + 8, count * (2 * file.offsetSize + 24), 'a group');
      for (let index = 0; index < count; index++) {
        const nameAt = entries.offset();
        const target = entries.offset();
        const cache = entries.u32();
        entries.skip(20);
        if (!(nameAt < heap.bytes.length)) file.fail(node, 'a name lies outside its heap');
        if (cache !== 2) links.set(text(heap.bytes.subarray(nameAt)), target);
      }
    }
  }
}

/** Addresses of the symbol table nodes below a version 1 B-tree of a group. */
async function treeLeaves(file: Hdf5Bytes, address: number, level = 255): Promise<number[]> {
  const head = (await file.block(address, 8 + 2 * file.offsetSize, 'a B-tree')).signature('TREE', 'a B-tree');
  if (head.u8() !== 0) file.fail(address, 'this B-tree is not one of a group');
  const depth = head.u8();
  // Every step goes down, so that a tree cannot lead round in a circle.
  if (depth >= level || (level === 255 && depth > 16)) file.fail(address, 'this B-tree does not go down');
  const count = head.u16();
  const body = await file.block(address + 8 + 2 * file.offsetSize, count * (file.lengthSize + file.offsetSize), 'a B-tree');
  const children = Array.from({ length: count }, () => {
    body.length();
    return body.offset();
  });
  if (depth === 0) return children;
  const lists: number[] = [];
  for (const child of children) {
    for (const leaf of await treeLeaves(file, child, depth)) lists.push(leaf);
    if (lists.length > maxObjects) file.fail(address, `it holds more than ${maxObjects} groups`);
  }
  return lists;
}

async function attributeValues(file: Hdf5Bytes, { name, type, shape, raw }: Hdf5RawAttribute): Promise<Hdf5Attribute['values']> {
  const count = shape === null ? 0 : shape.reduce((product, size) => product * size, 1);
  if (count > 1_000_000) file.fail(nowhere, `the attribute '${name}' has ${count} elements`);
  const { sizeBytes } = type;
  if (raw.length < count * sizeBytes) file.fail(nowhere, `the attribute '${name}' has ${raw.length} bytes for ${count} elements of ${sizeBytes}`);
  const element = (index: number): Uint8Array => raw.subarray(index * sizeBytes, (index + 1) * sizeBytes);
  const indices = Array.from({ length: count }, (_, index) => index);
  if (type.kind === 'string') return indices.map((index) => text(element(index)));
  if (type.kind === 'int' && sizeBytes <= 8) return indices.map((index) => integer(element(index), type));
  if (type.kind === 'float' && (sizeBytes === 4 || sizeBytes === 8)) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    return indices.map((index) => sizeBytes === 4 ? view.getFloat32(index * 4, !type.bigEndian) : view.getFloat64(index * 8, !type.bigEndian));
  }
  if (type.kind !== 'vlenString') return undefined;
  const heaps = new GlobalHeaps(file);
  const texts: string[] = [];
  for (const index of indices) texts.push(await heaps.string(element(index)));
  return texts;
}

function integer(bytes: Uint8Array, { signed, bigEndian }: Hdf5Type): number {
  const ordered = bigEndian ? [...bytes] : [...bytes].reverse();
  const value = ordered.reduce((sum, byte) => sum * 256 + byte, 0);
  return signed && ordered[0]! > 127 ? value - 256 ** bytes.length : value;
}

/** Variable-length data: 4 bytes length, address of a collection, 4 bytes index of the object in it (III.E). */
class GlobalHeaps {
  private readonly collections = new Map<number, Map<number, Uint8Array>>();
  private total = 0;

  constructor(private readonly file: Hdf5Bytes) {}

  async string(reference: Uint8Array): Promise<string> {
    const view = new DataView(reference.buffer, reference.byteOffset, reference.byteLength);
    const width = this.file.offsetSize;
    if (reference.length < 8 + width) this.file.fail(nowhere, `a reference to a text has ${reference.length} bytes`);
    const length = view.getUint32(0, true);
    if (length === 0) return '';
    const address = width === 8 ? Number(view.getBigUint64(4, true)) : width === 4 ? view.getUint32(4, true) : view.getUint16(4, true);
    const index = view.getUint32(4 + width, true);
    const object = (await this.collection(address)).get(index);
    if (!object || object.length < length) this.file.fail(address, `a text of ${length} bytes is not in its heap`);
    // Many references to one long text must not fill the memory.
    if ((this.total += length) > 256 * 2 ** 20) this.file.fail(address, 'its texts are larger than Particlize reads');
    return text(object.subarray(0, length));
  }

  private async collection(address: number): Promise<Map<number, Uint8Array>> {
    const known = this.collections.get(address);
    if (known) return known;
    const { file } = this;
    const head = (await file.block(address, 8 + file.lengthSize, 'a heap')).signature('GCOL', 'a heap').skip(4);
    const size = head.length();
    const body = await file.block(address, size, 'a heap');
    body.skip(8 + file.lengthSize);
    const objects = new Map<number, Uint8Array>();
    while (body.left >= 8 + file.lengthSize) {
      const index = body.u16();
      body.skip(6);
      const bytes = body.length();
      if (index === 0) break;
      objects.set(index, body.take(bytes));
      body.skip(Math.min(body.left, (8 - (bytes % 8)) % 8));
    }
    this.collections.set(address, objects);
    return objects;
  }
}

function dtypeOf({ kind, sizeBytes, signed, exponentBits }: Hdf5Type): DType | undefined {
  if (kind === 'float') {
    if (sizeBytes === 2) return exponentBits === 8 ? 'bfloat16' : exponentBits === 5 ? 'float16' : undefined;
    return sizeBytes === 4 && exponentBits === 8 ? 'float32' : sizeBytes === 8 && exponentBits === 11 ? 'float64' : undefined;
  }
  if (kind !== 'int' || ![1, 2, 4, 8].includes(sizeBytes)) return undefined;
  return `${signed ? '' : 'u'}int${sizeBytes * 8}` as DType;
}
