import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import {
  PyDict, PyFloat, PyGlobal, PyList, PyObject, PyPersistent, PySet, PyTuple, type PickleValue,
} from './pickleValue';

export interface PickleOptions {
  /** Names that the pickle may refer to, as 'module.name'; everything else is refused by its name. */
  allows(path: string): boolean;
  /** What the user can do when a name is refused. */
  readonly refusalAction?: string;
  readonly maxBytes?: number;
  /** Every opcode makes at most one object, so that this bounds memory as well as time. */
  readonly maxOpcodes?: number;
}

/**
 * Reads one pickle (protocols 0 to 5) that begins at `offset` as data: nothing is imported, called or executed.
 * Rejects with a ParticlizeError when it refers to a name that is not allowed, is cut off, or is larger than the limits.
 * Python's pickle virtual machine (pickletools.py) has the meaning of the opcodes.
 */
export async function readPickle(
  source: ByteSource, offset: number, options: PickleOptions,
): Promise<{ readonly value: PickleValue; readonly end: number }> {
  const available = source.sizeBytes - offset;
  const most = Math.min(available, options.maxBytes ?? 64 * 2 ** 20);
  // A pickle does not say how long it is: more is read until its end is found.
  for (let length = Math.min(most, firstBytes); ; length = Math.min(most, length * 4)) {
    const machine = new Machine(source.name, offset, await source.read(offset, length), options);
    try {
      return { value: machine.run(), end: offset + machine.at };
    } catch (error) {
      if (error !== outOfBytes) throw error;
      if (length < most) continue;
      const cause = most < available ? `its description is longer than ${most} bytes, more than Particlize reads` : 'the pickle is cut off';
      throw new ParticlizeError({ file: source.name, place: `byte ${offset + length}`, cause, action: 'Copy or download the file again' });
    }
  }
}

const firstBytes = 256 * 1024;
const outOfBytes = Symbol('out of bytes');
const mark = Symbol('mark');
type StackItem = PickleValue | typeof mark;

const maxLineBytes = 64 * 1024;
const maxIntegerBytes = 1024;
const utf8 = new TextDecoder();
const latin1 = new TextDecoder('latin1');

class Machine {
  at = 0;
  private readonly view: DataView;
  private stack: StackItem[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly globals = new Map<string, PyGlobal>();

  constructor(private readonly file: string, private readonly offset: number, private readonly bytes: Uint8Array, private readonly options: PickleOptions) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    const most = this.options.maxOpcodes ?? 4_000_000;
    for (let count = 0; ; count++) {
      if (count >= most) this.fail(`it has more than ${most} steps, more than Particlize follows`);
      const opcode = String.fromCharCode(this.byte());
      if (opcode === '.') return this.pop();
      this.step(opcode);
    }
  }

  private step(opcode: string): void {
    const { stack } = this;
    switch (opcode) {
      case '\x80': if (this.byte() > 5) this.fail('its protocol is newer than 5'); return;
      case '\x95': this.length64(); return;
      case '(': stack.push(mark); return;
      case '0': if (stack.pop() === undefined) this.fail('it takes a value that is not there'); return;
      case '1': this.toMark(); return;
      case '2': stack.push(this.top()); return;

      case 'N': stack.push(null); return;
      case '\x88': stack.push(true); return;
      case '\x89': stack.push(false); return;
      case 'I': stack.push(this.integerLine()); return;
      case 'L': stack.push(this.integerLine()); return;
      case 'J': stack.push(this.view.getInt32(this.skip(4), true)); return;
      case 'K': stack.push(this.byte()); return;
      case 'M': stack.push(this.view.getUint16(this.skip(2), true)); return;
      case '\x8a': stack.push(this.integer(this.byte())); return;
      case '\x8b': stack.push(this.integer(this.length32())); return;
      case 'F': stack.push(new PyFloat(floatOf(this.line()))); return;
      case 'G': stack.push(new PyFloat(this.view.getFloat64(this.skip(8), false))); return;

      case 'S': stack.push(unquote(this.line())); return;
      case 'T': stack.push(this.text(this.length32(), latin1)); return;
      case 'U': stack.push(this.text(this.byte(), latin1)); return;
      case 'V': stack.push(this.line()); return;
      case 'X': stack.push(this.text(this.length32(), utf8)); return;
      case '\x8c': stack.push(this.text(this.byte(), utf8)); return;
      case '\x8d': stack.push(this.text(this.length64(), utf8)); return;
      case 'B': stack.push(this.slice(this.length32())); return;
      case 'C': stack.push(this.slice(this.byte())); return;
      case '\x8e': case '\x96': stack.push(this.slice(this.length64())); return;

      case ']': stack.push(new PyList()); return;
      case ')': stack.push(new PyTuple([])); return;
      case '}': stack.push(new PyDict()); return;
      case '\x8f': stack.push(new PySet()); return;
      case 'l': stack.push(new PyList(this.toMark())); return;
      case 't': stack.push(new PyTuple(this.toMark())); return;
      case '\x85': stack.push(new PyTuple(this.last(1))); return;
      case '\x86': stack.push(new PyTuple(this.last(2))); return;
      case '\x87': stack.push(new PyTuple(this.last(3))); return;
      case '\x91': stack.push(new PySet(this.toMark(), true)); return;
      case 'd': {
        const dict = new PyDict();
        this.fill(dict, this.toMark());
        stack.push(dict);
        return;
      }
      case 'a': this.append(this.last(1)); return;
      case 'e': this.append(this.toMark()); return;
      case 's': {
        const pair = this.last(2);
        this.fill(this.top(), pair);
        return;
      }
      case 'u': {
        const pairs = this.toMark();
        this.fill(this.top(), pairs);
        return;
      }
      case '\x90': {
        const items = this.toMark();
        const set = this.top();
        if (!(set instanceof PySet)) return this.fail('it adds to a set that is none');
        for (const item of items) set.items.push(item);
        return;
      }

      case 'p': this.memo.set(this.memoLine(), this.top()); return;
      case 'q': this.memo.set(this.byte(), this.top()); return;
      case 'r': this.memo.set(this.length32(), this.top()); return;
      case '\x94': this.memo.set(this.memo.size, this.top()); return;
      case 'g': stack.push(this.remembered(this.memoLine())); return;
      case 'h': stack.push(this.remembered(this.byte())); return;
      case 'j': stack.push(this.remembered(this.length32())); return;

      case 'c': {
        const module = this.line();
        stack.push(this.global(module, this.line()));
        return;
      }
      case '\x93': {
        const [module, name] = this.last(2);
        if (typeof module !== 'string' || typeof name !== 'string') return this.fail('it refers to something that has no name');
        stack.push(this.global(module, name));
        return;
      }
      case 'R': {
        const [callable, args] = this.last(2);
        stack.push(new PyObject(this.callable(callable!), args!, 'reduce'));
        return;
      }
      case '\x81': {
        const [callable, args] = this.last(2);
        stack.push(new PyObject(this.callable(callable!), args!, 'new'));
        return;
      }
      case '\x92': {
        const [callable, args, named] = this.last(3);
        if (!(named instanceof PyDict) || named.entries.size > 0) this.fail('it makes an object with named arguments, which Particlize does not read');
        stack.push(new PyObject(this.callable(callable!), args!, 'new'));
        return;
      }
      case 'i': {
        const module = this.line();
        const callable = this.global(module, this.line());
        stack.push(new PyObject(callable, new PyTuple(this.toMark()), 'reduce'));
        return;
      }
      case 'o': {
        const [callable, ...args] = this.toMark();
        stack.push(new PyObject(this.callable(callable ?? null), new PyTuple(args), 'reduce'));
        return;
      }
      case 'b': {
        const [state] = this.last(1);
        const object = this.top();
        if (!(object instanceof PyObject)) return this.fail('it sets the state of something that is no object');
        object.state = state;
        return;
      }
      case 'P': stack.push(new PyPersistent(this.line())); return;
      case 'Q': stack.push(new PyPersistent(this.pop())); return;
      default: return this.fail(`byte 0x${opcode.charCodeAt(0).toString(16)} is no pickle operation that Particlize reads`);
    }
  }

  private global(module: string, name: string): PyGlobal {
    const path = `${module}.${name}`;
    if (!this.options.allows(path)) {
      throw new ParticlizeError({
        file: this.file,
        cause: `the file refers to ${path.slice(0, 200)}, which is code and not data: Particlize does not run it`,
        action: this.options.refusalAction,
      });
    }
    let global = this.globals.get(path);
    if (!global) this.globals.set(path, (global = new PyGlobal(module, name)));
    return global;
  }

  private callable(value: PickleValue): PyGlobal {
    return value instanceof PyGlobal ? value : this.fail('it calls something that has no name');
  }

  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!(list instanceof PyList || list instanceof PyObject)) return this.fail('it appends to something that is no list');
    for (const item of items) list.items.push(item);
  }

  private fill(target: PickleValue, pairs: readonly PickleValue[]): void {
    if (!(target instanceof PyDict || target instanceof PyObject)) return this.fail('it adds entries to something that has none');
    if (pairs.length % 2) this.fail('an entry has a key and no value');
    for (let index = 0; index < pairs.length; index += 2) target.set(pairs[index]!, pairs[index + 1]!);
  }

  private top(): PickleValue {
    const value = this.stack[this.stack.length - 1];
    return value === undefined || value === mark ? this.fail('it uses a value that is not there') : value;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private last(count: number): PickleValue[] {
    const values = this.stack.splice(Math.max(0, this.stack.length - count));
    if (values.length < count || values.includes(mark)) this.fail('it uses a value that is not there');
    return values as PickleValue[];
  }

  private toMark(): PickleValue[] {
    const at = this.stack.lastIndexOf(mark);
    if (at < 0) this.fail('it ends a group that was not begun');
    const values = this.stack.splice(at);
    values.shift();
    return values as PickleValue[];
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    return value === undefined ? this.fail(`it recalls value ${index}, which it never stored`) : value;
  }

  /** Moves on by `length` bytes and returns where they began. */
  private skip(length: number): number {
    const start = this.at;
    if (length > this.bytes.length - start) throw outOfBytes;
    this.at += length;
    return start;
  }

  private byte(): number {
    return this.bytes[this.skip(1)]!;
  }

  private length32(): number {
    return this.view.getUint32(this.skip(4), true);
  }

  private length64(): number {
    return Number(this.view.getBigUint64(this.skip(8), true));
  }

  private slice(length: number): Uint8Array {
    const start = this.skip(length);
    return this.bytes.slice(start, start + length);
  }

  private text(length: number, decoder: TextDecoder): string {
    const start = this.skip(length);
    return decoder.decode(this.bytes.subarray(start, start + length));
  }

  private line(): string {
    const end = this.bytes.indexOf(10, this.at);
    const length = (end < 0 ? this.bytes.length : end) - this.at;
    if (length > maxLineBytes) this.fail(`a line of ${length} bytes is longer than Particlize reads`);
    if (end < 0) throw outOfBytes;
    const text = utf8.decode(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  private integer(length: number): PickleValue {
    if (length > maxIntegerBytes) this.fail(`an integer of ${length} bytes is longer than Particlize reads`);
    const start = this.skip(length);
    let value = 0n;
    for (let index = length - 1; index >= 0; index--) value = (value << 8n) | BigInt(this.bytes[start + index]!);
    if (length > 0 && this.bytes[start + length - 1]! & 0x80) value -= 1n << BigInt(8 * length);
    return plain(value);
  }

  private integerLine(): PickleValue {
    const text = this.line().replace(/L$/, '');
    if (text === '00' || text === '01') return text === '01';
    if (!/^[-+]?\d{1,400}$/.test(text.trim())) this.fail('an integer is not written as one');
    return plain(BigInt(text.trim().replace(/^\+/, '')));
  }

  private memoLine(): number {
    const text = this.line();
    return /^\d{1,9}$/.test(text) ? Number(text) : this.fail('it stores a value under something that is no number');
  }

  private fail(cause: string): never {
    throw new ParticlizeError({
      file: this.file, place: `byte ${this.offset + this.at}`, cause: `the pickle cannot be read: ${cause}`,
      action: 'The file may be cut off or damaged',
    });
  }
}

function plain(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function floatOf(text: string): number {
  const named: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
  return Object.hasOwn(named, text) ? named[text]! : Number(text);
}

function unquote(text: string): string {
  return /^(['"]).*\1$/s.test(text) ? text.slice(1, -1) : text;
}
