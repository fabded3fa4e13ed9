import { elementCount } from '../../graph/tensor';
import { hdf5Signature, type Hdf5Attribute, type Hdf5Group, type Hdf5Object } from './hdf5';
import type { Hdf5RawAttribute, Hdf5Shape } from './hdf5Messages';

/** A group or dataset to be written; {@link copyOf} makes one of what a file holds. */
export type NewObject = NewGroup | NewDataset;

export interface NewGroup {
  readonly kind: 'group';
  readonly attributes: Map<string, NewAttribute>;
  readonly children: Map<string, NewObject>;
}

export interface NewDataset {
  readonly kind: 'dataset';
  readonly attributes: Map<string, NewAttribute>;
  readonly shape: readonly number[];
  /** An encoded datatype message without pointers. */
  readonly type: Uint8Array;
  readonly elementBytes: number;
  /** Elements, row-major, in that type. */
  read(): Promise<Uint8Array>;
}

export interface NewAttribute {
  readonly type: Uint8Array;
  readonly shape: Hdf5Shape;
  /** Elements in that type, or texts of variable length. */
  readonly content: Uint8Array | readonly string[];
}

/** What a file holds, to be changed and written; datasets stay lazy. Attributes and data that point into the file are left out. */
export function copyOf(object: Hdf5Object): NewObject | undefined {
  const attributes = new Map([...object.attributes].flatMap(([name, attribute]) => {
    const copy = attributeCopy(attribute);
    return copy ? [[name, copy] as const] : [];
  }));
  if (object.kind === 'group') return { kind: 'group', attributes, children: childrenOf(object) };
  const { type } = object.parts;
  if (type.pointers) return undefined;
  return { kind: 'dataset', attributes, shape: object.shape, type: type.encoded, elementBytes: type.sizeBytes, read: () => object.bytes() };
}

/** An attribute with another text, as long as it needs to be. */
export function withText({ raw }: Hdf5Attribute, value: string): NewAttribute {
  if (raw.type.kind === 'vlenString') return { type: raw.type.encoded, shape: raw.shape, content: [value] };
  const content = new TextEncoder().encode(`${value}\0`);
  const type = raw.type.encoded.slice();
  new DataView(type.buffer).setUint32(4, content.length, true);
  return { type, shape: raw.shape, content };
}

/**
 * An HDF5 file with these contents in the oldest form, which every version of the library reads: superblock 0, symbol
 * tables, contiguous data (HDF5 File Format Specification 3.0). Data are read when they are written.
 */
export function writeHdf5(root: NewGroup): { readonly sizeBytes: number; chunks(): AsyncIterable<Uint8Array> } {
  const layout = new Layout();
  layout.placeData(root);
  const header = layout.group(root);
  const { datasets, pieces } = layout;
  const sizeBytes = layout.end;
  return {
    sizeBytes,
    async* chunks() {
      yield superblock(header, sizeBytes);
      let at = superblockBytes;
      for (const [dataset, address] of datasets) {
        yield new Uint8Array(address - at);
        const bytes = await dataset.read();
        if (bytes.length !== dataBytes(dataset)) throw new RangeError(`${bytes.length} bytes came where ${dataBytes(dataset)} were announced`);
        yield bytes;
        at = address + bytes.length;
      }
      for (const { address, bytes } of pieces.sort((a, b) => a.address - b.address)) {
        yield new Uint8Array(address - at);
        yield bytes;
        at = address + bytes.length;
      }
      yield new Uint8Array(sizeBytes - at);
    },
  };
}

function childrenOf(group: Hdf5Group): Map<string, NewObject> {
  return new Map([...group.children].flatMap(([name, child]) => {
    const copy = copyOf(child);
    return copy ? [[name, copy] as const] : [];
  }));
}

function attributeCopy({ raw, values }: Hdf5Attribute): NewAttribute | undefined {
  const { type, shape }: Hdf5RawAttribute = raw;
  if (type.kind === 'vlenString') return { type: type.encoded, shape, content: (values ?? []).map(String) };
  return type.pointers ? undefined : { type: type.encoded, shape, content: raw.raw };
}

const superblockBytes = 96;
const leafEntries = 8;
const treeChildren = 32;
const none = 0xffffffffffffffffn;
/** Attributes and continuation-free headers have 16-bit message sizes. */
const largestMessage = 65_000;

function superblock(root: Header, end: number): Uint8Array {
  const out = new Output(superblockBytes);
  out.raw(Uint8Array.from(hdf5Signature)).raw(Uint8Array.of(0, 0, 0, 0, 0, 8, 8, 0));
  out.u16(leafEntries / 2).u16(treeChildren / 2).u32(0).u64(0).u64(none).u64(end).u64(none);
  out.u64(0).u64(root.address).u32(1).u32(0).u64(root.tree ?? 0).u64(root.heap ?? 0);
  return out.bytes;
}

interface Header {
  readonly address: number;
  readonly tree?: number;
  readonly heap?: number;
}

class Layout {
  end = superblockBytes;
  readonly datasets = new Map<NewDataset, number>();
  readonly pieces: { readonly address: number; readonly bytes: Uint8Array }[] = [];

  placeData(object: NewObject): void {
    if (object.kind === 'dataset') this.datasets.set(object, this.reserve(dataBytes(object)));
    else for (const child of object.children.values()) this.placeData(child);
  }

  group(group: NewGroup): Header {
    // The library finds names by binary search in the order of their bytes.
    const encoder = new TextEncoder();
    const children = [...group.children].map(([name, child]) => ({ name: encoder.encode(name), child }))
      .sort((a, b) => compareBytes(a.name, b.name));
    const headers = children.map(({ child }) => child.kind === 'group' ? this.group(child) : this.dataset(child));
    const names = new Output(Math.max(16, children.reduce((sum, { name }) => sum + padded(name.length + 1), 8) + 16));
    names.at = 8;
    const nameAt = children.map(({ name }) => {
      const at = names.at;
      names.raw(name);
      names.at = at + padded(name.length + 1);
      return at;
    });
    const free = names.at;
    // What is left of the heap is one free block: no next one, and its size.
    names.u64(1).u64(names.bytes.length - free);
    const nameBytes = this.put(names.bytes);
    const heap = this.put(new Output(32).raw(encoder.encode('HEAP')).u32(0).u64(names.bytes.length).u64(free).u64(nameBytes).bytes);
    let nodes = slices(children.length, leafEntries).map(([from, to]): TreeChild => {
      const out = new Output(8 + leafEntries * 40).raw(encoder.encode('SNOD')).raw(Uint8Array.of(1, 0)).u16(to - from);
      for (let index = from; index < to; index++) {
        const { address, tree, heap: ownHeap } = headers[index]!;
        out.u64(nameAt[index]!).u64(address).u32(tree === undefined ? 0 : 1).u32(0).u64(tree ?? 0).u64(ownHeap ?? 0);
      }
      return { address: this.put(out.bytes), last: nameAt[to - 1]! };
    });
    let level = 0;
    do {
      nodes = this.treeLevel(nodes, level++);
    } while (nodes.length > 1);
    const tree = nodes[0]!.address;
    const messages = [message(0x11, new Output(16).u64(tree).u64(heap).bytes), ...this.attributes(group.attributes)];
    return { address: this.header(messages), tree, heap };
  }

  private treeLevel(children: readonly TreeChild[], level: number): TreeChild[] {
    const parts = children.length ? slices(children.length, treeChildren) : [[0, 0] as const];
    const bytes = 24 + treeChildren * 16 + 8;
    const addresses = parts.map(() => this.reserve(bytes));
    return parts.map(([from, to], index) => {
      const out = new Output(bytes).raw(new TextEncoder().encode('TREE')).raw(Uint8Array.of(0, level)).u16(to - from);
      out.u64(addresses[index - 1] ?? none).u64(addresses[index + 1] ?? none);
      out.u64(from === 0 ? 0 : children[from - 1]!.last);
      for (const child of children.slice(from, to)) out.u64(child.address).u64(child.last);
      this.pieces.push({ address: addresses[index]!, bytes: out.bytes });
      return { address: addresses[index]!, last: children[to - 1]?.last ?? 0 };
    });
  }

  private dataset(dataset: NewDataset): Header {
    const bytes = dataBytes(dataset);
    const layout = new Output(24).raw(Uint8Array.of(3, 1)).u64(bytes ? this.datasets.get(dataset)! : none).u64(bytes);
    return { address: this.header([
      message(0x01, shapeMessage(dataset.shape)),
      message(0x03, dataset.type),
      // No fill value; space taken early.
      message(0x05, Uint8Array.of(2, 1, 2, 0, 0, 0, 0, 0)),
      message(0x08, layout.bytes),
      ...this.attributes(dataset.attributes),
    ]) };
  }

  private attributes(attributes: ReadonlyMap<string, NewAttribute>): Uint8Array[] {
    return [...attributes].map(([name, { type, shape, content }]) => {
      const key = new TextEncoder().encode(`${name}\0`);
      const space = shapeMessage(shape);
      const data = content instanceof Uint8Array ? content : this.texts(content);
      const body = new Output(8 + padded(key.length) + padded(type.length) + padded(space.length) + data.length);
      body.raw(Uint8Array.of(1, 0)).u16(key.length).u16(type.length).u16(space.length);
      for (const part of [key, type, space]) {
        const next = body.at + padded(part.length);
        body.raw(part);
        body.at = next;
      }
      body.raw(data);
      if (body.bytes.length > largestMessage) throw new RangeError(`the attribute ${name} of ${body.bytes.length} bytes does not fit into an HDF5 header`);
      return message(0x0c, body.bytes);
    });
  }

  /** Puts texts of variable length into heaps of their own; gives the references to them. */
  private texts(texts: readonly string[]): Uint8Array {
    const references = new Output(16 * texts.length);
    for (const text of texts) {
      const bytes = new TextEncoder().encode(text);
      const size = Math.max(4096, 16 + 16 + padded(bytes.length) + 16);
      const heap = new Output(size).raw(new TextEncoder().encode('GCOL')).u32(1).u64(size);
      heap.u16(1).u16(1).u32(0).u64(bytes.length).raw(bytes);
      heap.at = 32 + padded(bytes.length);
      heap.u64(0).u64(size - 32 - padded(bytes.length));
      references.u32(bytes.length).u64(this.put(heap.bytes)).u32(1);
    }
    return references.bytes;
  }

  private header(messages: readonly Uint8Array[]): number {
    const size = messages.reduce((sum, one) => sum + one.length, 0);
    const out = new Output(16 + size).raw(Uint8Array.of(1, 0)).u16(messages.length).u32(1).u32(size).u32(0);
    for (const one of messages) out.raw(one);
    return this.put(out.bytes);
  }

  private put(bytes: Uint8Array): number {
    const address = this.reserve(bytes.length);
    this.pieces.push({ address, bytes });
    return address;
  }

  private reserve(bytes: number): number {
    const address = padded(this.end);
    this.end = address + bytes;
    return address;
  }
}

interface TreeChild {
  readonly address: number;
  /** Where its last name lies in the heap. */
  readonly last: number;
}

function message(type: number, body: Uint8Array): Uint8Array {
  return new Output(8 + padded(body.length)).u16(type).u16(padded(body.length)).u32(0).raw(body).bytes;
}

function shapeMessage(shape: Hdf5Shape): Uint8Array {
  if (shape === null) return Uint8Array.of(2, 0, 0, 2);
  const out = new Output(8 + 8 * shape.length).raw(Uint8Array.of(1, shape.length, 0, 0, 0, 0, 0, 0));
  for (const size of shape) out.u64(size);
  return out.bytes;
}

class Output {
  readonly bytes: Uint8Array;
  at = 0;
  private readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  u16(value: number): this {
    this.view.setUint16(this.at, value, true);
    this.at += 2;
    return this;
  }

  u32(value: number): this {
    this.view.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }

  u64(value: number | bigint): this {
    this.view.setBigUint64(this.at, BigInt(value), true);
    this.at += 8;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
    return this;
  }
}

function dataBytes({ shape, elementBytes }: NewDataset): number {
  return elementCount(shape) * elementBytes;
}

function slices(count: number, size: number): (readonly [from: number, to: number])[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => [index * size, Math.min(count, (index + 1) * size)] as const);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return a[index]! - b[index]!;
  return a.length - b.length;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
