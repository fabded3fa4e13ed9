import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { shapeObjection } from '../storedTensor';

export interface GgufHeader {
  readonly version: number;
  readonly bigEndian: boolean;
  /** Single numbers, booleans and short texts; lists are left out. */
  readonly metadata: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly tensors: readonly GgufTensorInfo[];
  /** Where tensor data begin. */
  readonly dataOffset: number;
}

export interface GgufTensorInfo {
  readonly name: string;
  /** Row-major: the file has them the other way round. */
  readonly shape: readonly number[];
  /** ggml's number for the element type. */
  readonly type: number;
  /** From the beginning of the file. */
  readonly offset: number;
}

/** Reads everything in front of the tensor data. Rejects with a ParticlizeError when it is cut off or contradicts itself. */
export async function readGguf(source: ByteSource): Promise<GgufHeader> {
  const most = Math.min(source.sizeBytes, largestHeaderBytes);
  // The header does not say how long it is (vocabularies make it megabytes): more is read until it ends.
  for (let length = Math.min(most, firstBytes); ; length = Math.min(most, length * 4)) {
    try {
      return new HeaderReader(source, await source.read(0, length)).header();
    } catch (error) {
      if (error !== outOfBytes) throw error;
      if (length < most) continue;
      const cause = most < source.sizeBytes ? `its header is longer than ${most} bytes, more than Particlize reads` : 'its header is cut off';
      throw new ParticlizeError({ file: source.name, place: `byte ${length}`, cause, action: 'Download the file again' });
    }
  }
}

const firstBytes = 256 * 1024;
const largestHeaderBytes = 256 * 2 ** 20;
const maxItems = 1_000_000;
const outOfBytes = Symbol('out of bytes');
const utf8 = new TextDecoder();

/** Sizes of metadata values by their type numbers; 8 is text and 9 a list. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const textType = 8;
const listType = 9;

class HeaderReader {
  private at = 0;
  private readonly view: DataView;
  private little = true;
  private wide = true;

  constructor(private readonly source: ByteSource, private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  header(): GgufHeader {
    if (utf8.decode(this.bytes.subarray(this.skip(4), 4)) !== 'GGUF') this.fail('it does not begin with GGUF');
    let version = this.uint32();
    if (version > 0xffff) {
      this.little = false;
      version = this.view.getUint32(4, false);
    }
    if (version < 1 || version > 3) this.fail(`version ${version} is not one that Particlize reads (1 to 3)`);
    this.wide = version > 1;
    const tensorCount = this.count('tensors', 24);
    const valueCount = this.count('metadata values', 12);
    const metadata: Record<string, string | number | boolean | undefined> = Object.create(null) as Record<string, undefined>;
    for (let index = 0; index < valueCount; index++) {
      const key = this.text();
      metadata[key] = this.value(this.uint32(), 0);
    }
    const { 'general.alignment': alignment = 32 } = metadata;
    if (typeof alignment !== 'number' || !Number.isInteger(alignment) || alignment < 1 || alignment > 2 ** 20) return this.fail(`an alignment of ${String(alignment)} bytes is impossible`);
    const infos: GgufTensorInfo[] = [];
    const names = new Set<string>();
    for (let index = 0; index < tensorCount; index++) {
      const info = this.tensor();
      if (names.has(info.name)) this.fail(`two tensors are named ${info.name.slice(0, 100)}`);
      names.add(info.name);
      infos.push(info);
    }
    const dataOffset = Math.ceil(this.at / alignment) * alignment;
    return {
      version, bigEndian: !this.little, metadata, dataOffset,
      tensors: infos.map((info) => ({ ...info, offset: info.offset + dataOffset })),
    };
  }

  private tensor(): GgufTensorInfo {
    const name = this.text();
    const rank = this.uint32();
    if (rank > 8) this.fail(`tensor ${name.slice(0, 100)} has ${rank} axes`);
    const shape = Array.from({ length: rank }, () => this.length()).reverse();
    const objection = shapeObjection(shape);
    if (objection) this.fail(`tensor ${name.slice(0, 100)}: ${objection}`);
    return { name, shape, type: this.uint32(), offset: this.uint64() };
  }

  private value(type: number, depth: number): string | number | boolean | undefined {
    if (type === textType) return this.text();
    if (type !== listType) return this.number(type);
    if (depth > 8) this.fail('its metadata are lists in lists in lists');
    const item = this.uint32();
    const count = this.length();
    const size = valueBytes[item] ?? this.fail(`a metadata value is of type ${item}, which does not exist`);
    if (size > 0) this.skip(count * size);
    else {
      for (let index = 0; index < count; index++) {
        if (item === textType) this.skip(this.length());
        else this.value(item, depth + 1);
      }
    }
    return undefined;
  }

  private number(type: number): number | boolean {
    const { view, little } = this;
    const at = this.skip(valueBytes[type] ?? this.fail(`a metadata value is of type ${type}, which does not exist`));
    switch (type) {
      case 0: return view.getUint8(at);
      case 1: return view.getInt8(at);
      case 2: return view.getUint16(at, little);
      case 3: return view.getInt16(at, little);
      case 4: return view.getUint32(at, little);
      case 5: return view.getInt32(at, little);
      case 6: return view.getFloat32(at, little);
      case 7: return view.getUint8(at) !== 0;
      case 10: return Number(view.getBigUint64(at, little));
      case 11: return Number(view.getBigInt64(at, little));
      default: return view.getFloat64(at, little);
    }
  }

  /** A number of things that take at least `least` bytes each. */
  private count(what: string, least: number): number {
    const count = this.length();
    if (count > maxItems || count * least > this.source.sizeBytes) this.fail(`${count} ${what} are more than the file can hold`);
    return count;
  }

  private text(): string {
    const length = this.length();
    const start = this.skip(length);
    return utf8.decode(this.bytes.subarray(start, start + length));
  }

  private length(): number {
    return this.wide ? this.uint64() : this.uint32();
  }

  private uint32(): number {
    return this.view.getUint32(this.skip(4), this.little);
  }

  private uint64(): number {
    return Number(this.view.getBigUint64(this.skip(8), this.little));
  }

  private skip(length: number): number {
    const start = this.at;
    if (length > this.source.sizeBytes - start) this.fail(`${length} bytes are wanted, but ${this.source.sizeBytes - start} are left`);
    if (length > this.bytes.length - start) throw outOfBytes;
    this.at += length;
    return start;
  }

  private fail(cause: string): never {
    throw new ParticlizeError({ file: this.source.name, place: `byte ${this.at}`, cause, action: 'The file may be cut off or damaged; download it again' });
  }
}
