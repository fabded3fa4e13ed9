import { throwIfCancelled, type Task } from '../graph/errors';

/** How to make `wanted` out of `base`: runs copied from it, and the bytes that it does not have. */
export interface ByteDelta {
  /** Triples of varints: literal bytes first, then where the copied run begins (against the end of the last, zigzag), then its length. */
  readonly operations: Uint8Array;
  readonly literals: Uint8Array;
}

/**
 * Greedy copying as in rsync (Tridgell and Mackerras 1996) with blocks of 16 bytes. Taking slices out of a tensor leaves
 * what is kept side by side, in runs shorter than a block where the axis is an inner one, so a run that goes on where
 * the last one ended is taken from 8 bytes up.
 */
export async function byteDelta(base: Uint8Array, wanted: Uint8Array, task?: Task): Promise<ByteDelta> {
  const table = blockTable(base);
  const mask = table.length - 1;
  const operations = new ByteList();
  const literals = new ByteList();
  let from = 0;
  let expected = 0;
  let hash = 0;
  let hashed = -1;
  let pause = pauseBytes;
  for (let at = 0; at < wanted.length; ) {
    if (at >= pause) {
      pause = at + pauseBytes;
      await new Promise((resolve) => setTimeout(resolve));
      throwIfCancelled(task);
      task?.progress?.(at, wanted.length, 'comparing with the original');
    }
    let start = -1;
    if (agree(base, expected, wanted, at) >= shortest) start = expected;
    else if (at + block <= wanted.length) {
      hash = hashed === at - 1 ? (Math.imul(hash - Math.imul(wanted[at - 1]!, lastPower), factor) + wanted[at + block - 1]!) | 0 : hashOf(wanted, at);
      hashed = at;
      const found = table[slotOf(hash, mask)]! - 1;
      if (found >= 0 && agree(base, found, wanted, at) >= block) start = found;
    }
    if (start < 0) {
      at++;
      continue;
    }
    let begin = at;
    const goesOn = start === expected;
    while (!goesOn && begin > from && start > 0 && base[start - 1] === wanted[begin - 1]) {
      begin--;
      start--;
    }
    let end = at;
    for (let other = start + at - begin; end < wanted.length && other < base.length && base[other] === wanted[end]; other++) end++;
    put(begin, start, end - begin);
    at = end;
  }
  if (from < wanted.length) put(wanted.length, expected, 0);
  return { operations: operations.bytes(), literals: literals.bytes() };

  function put(begin: number, start: number, length: number): void {
    literals.add(wanted.subarray(from, begin));
    operations.varint(begin - from);
    operations.varint(start >= expected ? 2 * (start - expected) : 2 * (expected - start) - 1);
    operations.varint(length);
    from = begin + length;
    expected = start + length;
  }
}

/** The bytes that a delta was made for; undefined when it does not fit `base` and the length. */
export function withDelta(base: Uint8Array, { operations, literals }: ByteDelta, length: number): Uint8Array | undefined {
  const result = new Uint8Array(length);
  let at = 0;
  let read = 0;
  let literal = 0;
  let expected = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 42; scale *= 128) {
      const byte = operations[read++];
      if (byte === undefined) return NaN;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return NaN;
  };
  while (read < operations.length) {
    const [own, jump, copied] = [varint(), varint(), varint()];
    const start = expected + (jump % 2 ? -(jump + 1) / 2 : jump / 2);
    // Comparisons with NaN are false.
    if (!(own <= literals.length - literal && own + copied <= length - at && start >= 0 && start + copied <= base.length)) return undefined;
    result.set(literals.subarray(literal, literal + own), at);
    result.set(base.subarray(start, start + copied), at + own);
    literal += own;
    at += own + copied;
    expected = start + copied;
  }
  return at === length && literal === literals.length ? result : undefined;
}

const block = 16;
const shortest = 8;
const factor = 0x01000193;
const pauseBytes = 1 << 20;
const lastPower = Array.from({ length: block - 1 }).reduce<number>((power) => Math.imul(power, factor), 1);

/** One more than where a block of each hash begins; 0 where there is none. */
function blockTable(base: Uint8Array): Int32Array {
  const table = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(2, base.length / block) * 2)));
  for (let at = 0; at + block <= base.length; at += block) {
    const slot = slotOf(hashOf(base, at), table.length - 1);
    if (table[slot] === 0) table[slot] = at + 1;
  }
  return table;
}

function hashOf(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let index = at; index < at + block; index++) hash = (Math.imul(hash, factor) + bytes[index]!) | 0;
  return hash;
}

function slotOf(hash: number, mask: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 13)) & mask;
}

/** How many of the next bytes are the same, up to a block. */
function agree(a: Uint8Array, from: number, b: Uint8Array, at: number): number {
  const most = Math.min(block, a.length - from, b.length - at);
  let count = 0;
  while (count < most && a[from + count] === b[at + count]) count++;
  return count;
}

class ByteList {
  private held = new Uint8Array(1 << 12);
  private length = 0;

  add(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.held.set(bytes, this.length);
    this.length += bytes.length;
  }

  varint(value: number): void {
    this.room(8);
    for (; value >= 128; value = Math.floor(value / 128)) this.held[this.length++] = (value % 128) | 128;
    this.held[this.length++] = value;
  }

  bytes(): Uint8Array {
    return this.held.subarray(0, this.length);
  }

  private room(more: number): void {
    if (this.length + more <= this.held.length) return;
    const larger = new Uint8Array(Math.max(this.length + more, this.held.length * 2));
    larger.set(this.bytes());
    this.held = larger;
  }
}
