import {
  PyDict, PyFloat, PyGlobal, PyList, PyPersistent, PySet, PyTuple, type PickleValue, type PyObject,
} from './pickleValue';

/** What is written differently from the value; the value itself is not touched. */
export interface PickleEdits {
  /** Called for everything before it is written; what it returns is written instead. */
  replace?(value: PickleValue): PickleValue;
  /** Entries and items for which it says yes are left out (None inside tuples, whose places count). */
  drops?(value: PickleValue): boolean;
}

/**
 * A pickle (protocol 2, as torch.save writes) of the value. Containers that occur twice are written once and recalled,
 * so that sharing and circles survive. Throws a RangeError when tuples or objects are nested more than 1000 deep.
 */
export function writePickle(value: PickleValue, edits: PickleEdits = {}): Uint8Array {
  const writer = new Writer(edits);
  writer.raw(0x80, 2);
  writer.value(value, 0);
  writer.op('.');
  return writer.finish();
}

const maxDepth = 1000;

class Writer {
  private bytes = new Uint8Array(64 * 1024);
  private length = 0;
  private readonly memo = new Map<PickleValue, number>();
  private readonly globals = new Map<string, number>();
  private next = 0;

  constructor(private readonly edits: PickleEdits) {}

  value(given: PickleValue, depth: number): void {
    const value = this.edits.drops?.(given) ? null : this.edits.replace?.(given) ?? given;
    if (depth > maxDepth) throw new RangeError(`values are nested more than ${maxDepth} deep`);
    if (value === null) return this.op('N');
    if (typeof value === 'boolean') return this.raw(value ? 0x88 : 0x89);
    if (typeof value === 'number') return this.integer(value);
    if (typeof value === 'bigint') return this.long(value);
    if (value instanceof PyFloat) return this.float(value.value);
    const known = this.memo.get(value);
    if (known !== undefined) return this.recall(known);
    if (typeof value === 'string') {
      this.text(value);
      return this.remember(value);
    }
    if (value instanceof Uint8Array) return this.binary(value);
    if (value instanceof PyGlobal) return this.global(value);
    if (value instanceof PyTuple) return this.tuple(value, depth);
    if (value instanceof PyPersistent) {
      this.value(value.id, depth + 1);
      return this.op('Q');
    }
    if (value instanceof PyList) {
      this.op(']');
      this.remember(value);
      return this.items(value.items, depth);
    }
    if (value instanceof PyDict) {
      this.op('}');
      this.remember(value);
      return this.entries(value.entries, depth);
    }
    if (value instanceof PySet) return this.set(value, depth);
    this.object(value, depth);
  }

  op(opcode: string): void {
    this.raw(opcode.charCodeAt(0));
  }

  raw(...bytes: number[]): void {
    const start = this.grow(bytes.length);
    bytes.forEach((byte, index) => (this.bytes[start + index] = byte));
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  private object(object: PyObject, depth: number): void {
    this.global(object.callable);
    this.value(object.args, depth + 1);
    this.raw(object.how === 'new' ? 0x81 : 0x52);
    this.remember(object);
    if (object.items.length) this.items(object.items, depth);
    if (object.entries.size) this.entries(object.entries, depth);
    if (object.state === undefined) return;
    this.value(object.state, depth + 1);
    this.op('b');
  }

  private tuple(tuple: PyTuple, depth: number): void {
    const { items } = tuple;
    if (items.length === 0) return this.op(')');
    if (items.length > 3) this.op('(');
    for (const item of items) this.value(item, depth + 1);
    if (items.length > 3) this.op('t');
    else this.raw(0x84 + items.length);
    this.remember(tuple);
  }

  private set(set: PySet, depth: number): void {
    this.global(new PyGlobal('__builtin__', set.frozen ? 'frozenset' : 'set'));
    this.value(new PyTuple([new PyList(set.items)]), depth + 1);
    this.op('R');
    this.remember(set);
  }

  private items(items: readonly PickleValue[], depth: number): void {
    if (!items.length) return;
    this.op('(');
    for (const item of items) if (!this.edits.drops?.(item)) this.value(item, depth + 1);
    this.op('e');
  }

  private entries(entries: ReadonlyMap<PickleValue, PickleValue>, depth: number): void {
    if (!entries.size) return;
    this.op('(');
    for (const [key, value] of entries) {
      if (this.edits.drops?.(value)) continue;
      this.value(key, depth + 1);
      this.value(value, depth + 1);
    }
    this.op('u');
  }

  private global(global: PyGlobal): void {
    const known = this.globals.get(global.path);
    if (known !== undefined) return this.recall(known);
    this.op('c');
    this.append(new TextEncoder().encode(`${global.module}\n${global.name}\n`));
    this.globals.set(global.path, this.next);
    this.put();
  }

  private integer(value: number): void {
    if (value >= 0 && value < 256) return this.raw(0x4b, value);
    if (value >= 0 && value < 65536) return this.raw(0x4d, value & 255, value >> 8);
    if (value === (value | 0)) {
      this.op('J');
      const start = this.grow(4);
      return new DataView(this.bytes.buffer).setInt32(start, value, true);
    }
    this.long(BigInt(value));
  }

  private long(value: bigint): void {
    const bytes: number[] = [];
    for (let rest = value; ; rest >>= 8n) {
      bytes.push(Number(rest & 255n));
      const top = bytes[bytes.length - 1]! & 0x80;
      if (rest >> 8n === (top ? -1n : 0n)) break;
    }
    if (bytes.length < 256) this.raw(0x8a, bytes.length);
    else {
      this.raw(0x8b);
      this.length32(bytes.length);
    }
    this.raw(...bytes);
  }

  private float(value: number): void {
    this.op('G');
    const start = this.grow(8);
    new DataView(this.bytes.buffer).setFloat64(start, value, false);
  }

  private text(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.op('X');
    this.length32(bytes.length);
    this.append(bytes);
  }

  /** Protocol 2 has no bytes: they travel as text that is encoded back, which is what Python itself writes. */
  private binary(bytes: Uint8Array): void {
    this.global(new PyGlobal('_codecs', 'encode'));
    this.op('(');
    this.text(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    this.text('latin1');
    this.op('t');
    this.op('R');
    this.remember(bytes);
  }

  private remember(value: PickleValue): void {
    this.memo.set(value, this.next);
    this.put();
  }

  private put(): void {
    const index = this.next++;
    if (index < 256) return this.raw(0x71, index);
    this.op('r');
    this.length32(index);
  }

  private recall(index: number): void {
    if (index < 256) return this.raw(0x68, index);
    this.op('j');
    this.length32(index);
  }

  private length32(value: number): void {
    const start = this.grow(4);
    new DataView(this.bytes.buffer).setUint32(start, value, true);
  }

  private append(bytes: Uint8Array): void {
    const start = this.grow(bytes.length);
    this.bytes.set(bytes, start);
  }

  private grow(length: number): number {
    const start = this.length;
    this.length += length;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    return start;
  }
}
