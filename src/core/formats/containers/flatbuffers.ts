import { ParticlizeError } from '../../graph/errors';

/**
 * A table of a FlatBuffers file (https://flatbuffers.dev/internals/): fields by number, absent ones give their default.
 * Every offset is checked; a ParticlizeError names the byte where one leads out of the file.
 */
export class FlatTable {
  constructor(private readonly buffer: FlatBuffer, readonly at: number) {}

  int8(field: number, otherwise = 0): number {
    const at = this.place(field, 1);
    return at ? this.buffer.view.getInt8(at) : otherwise;
  }

  uint8(field: number, otherwise = 0): number {
    return this.int8(field, otherwise) & 255;
  }

  int32(field: number, otherwise = 0): number {
    const at = this.place(field, 4);
    return at ? this.buffer.view.getInt32(at, true) : otherwise;
  }

  uint32(field: number, otherwise = 0): number {
    return this.int32(field, otherwise) >>> 0;
  }

  uint64(field: number): number {
    const at = this.place(field, 8);
    return at ? Number(this.buffer.view.getBigUint64(at, true)) : 0;
  }

  float32(field: number, otherwise = 0): number {
    const at = this.place(field, 4);
    return at ? this.buffer.view.getFloat32(at, true) : otherwise;
  }

  text(field: number): string {
    const list = this.list(field, 1);
    return list ? decoder.decode(this.buffer.bytes.subarray(list.at, list.at + list.count)) : '';
  }

  table(field: number): FlatTable | undefined {
    const at = this.place(field, 4);
    return at ? this.buffer.table(at) : undefined;
  }

  tables(field: number): FlatTable[] {
    const list = this.list(field, 4);
    return list ? Array.from({ length: list.count }, (_, index) => this.buffer.table(list.at + 4 * index)) : [];
  }

  int32s(field: number): number[] | undefined {
    const list = this.list(field, 4);
    return list && Array.from({ length: list.count }, (_, index) => this.buffer.view.getInt32(list.at + 4 * index, true));
  }

  float32s(field: number): number[] {
    const list = this.list(field, 4);
    return list ? Array.from({ length: list.count }, (_, index) => this.buffer.view.getFloat32(list.at + 4 * index, true)) : [];
  }

  int64s(field: number): number[] {
    const list = this.list(field, 8);
    return list ? Array.from({ length: list.count }, (_, index) => Number(this.buffer.view.getBigInt64(list.at + 8 * index, true))) : [];
  }

  /** Where a list of bytes lies in the file. */
  bytes(field: number): { readonly at: number; readonly count: number } | undefined {
    return this.list(field, 1);
  }

  private list(field: number, elementBytes: number): { readonly at: number; readonly count: number } | undefined {
    const at = this.place(field, 4);
    if (!at) return undefined;
    const start = this.buffer.follow(at);
    const count = this.buffer.uint32(start);
    this.buffer.check(start + 4, count * elementBytes);
    return { at: start + 4, count };
  }

  /** Position of a field, 0 when the table does not have it. */
  private place(field: number, bytes: number): number {
    const { buffer, at } = this;
    const offset = this.fields > field ? buffer.uint16(this.vtable + 4 + 2 * field) : 0;
    if (offset === 0) return 0;
    buffer.check(at + offset, bytes);
    return at + offset;
  }

  private get vtable(): number {
    this.buffer.check(this.at, 4);
    return this.at - this.buffer.view.getInt32(this.at, true);
  }

  private get fields(): number {
    return (this.buffer.uint16(this.vtable) - 4) >> 1;
  }
}

export class FlatBuffer {
  readonly view: DataView;

  constructor(readonly name: string, readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  root(): FlatTable {
    return this.table(0);
  }

  table(at: number): FlatTable {
    return new FlatTable(this, this.follow(at));
  }

  follow(at: number): number {
    return at + this.uint32(at);
  }

  uint16(at: number): number {
    this.check(at, 2);
    return this.view.getUint16(at, true);
  }

  uint32(at: number): number {
    this.check(at, 4);
    return this.view.getUint32(at, true);
  }

  check(at: number, length: number): void {
    if (at >= 0 && length >= 0 && at + length <= this.bytes.length) return;
    throw new ParticlizeError({
      file: this.name, place: `byte ${at}`, cause: `${length} bytes are wanted here, but the file ends at byte ${this.bytes.length}`,
      action: 'The file is damaged or was cut off',
    });
  }
}

const decoder = new TextDecoder();
