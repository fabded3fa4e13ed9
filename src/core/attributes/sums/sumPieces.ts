import { allocate, asFloat32 } from '../../graph/numeric';
import type { DType, NdArray } from '../../graph/tensor';
import { accumulatorBytes, createSumKernel, kernelTypes, type KernelType, type SumKernel } from './sumKernel';
import { elementBytes, type ColumnPiece, type RunPiece, type WeightPiece } from './weightPieces';

/** The sums of one piece, by entry of its window. */
export interface PieceSums {
  readonly sum: Float64Array;
  readonly magnitude: Float64Array;
  readonly square: Float64Array;
  readonly largest: Float32Array;
  readonly small: Int32Array;
  /** The order of magnitude that `small` was counted against, or undefined when it grew on the way and the count is void. */
  readonly order: number | undefined;
}

/**
 * What is known so far of the largest magnitude of the piece's layer, shared among threads: the float32 bits of the
 * largest power of two up to it (0: all zero, or nothing known).
 */
export interface LargestOrder {
  readonly words: Int32Array;
  readonly index: number;
}

/** Reads bytes of the piece's file into memory: the place is absolute. */
export type ReadInto = (offset: number, target: Uint8Array) => void | Promise<void>;

/** An element is near zero when its magnitude is at most 2^-10 of the order of the largest of its layer. */
export function nearZeroLimit(order: number): number {
  return Math.fround(orderValue(order) * 2 ** -10);
}

/** The float32 bits of the largest power of two up to a magnitude; 0 for 0. */
export function orderOf(magnitude: number): number {
  float[0] = magnitude;
  const bits = word[0]!;
  if (bits >= 0x00800000) return bits & 0x7f800000;
  return bits === 0 ? 0 : 1 << (31 - Math.clz32(bits));
}

/** Sums pieces one at a time in memory of its own: some MB, whatever the size of the weights. */
export class PieceSummer {
  private readonly memory = new WebAssembly.Memory({ initial: 1 });
  private readonly kernel: SumKernel = createSumKernel(this.memory);

  async sum(piece: WeightPiece, order: LargestOrder, read: ReadInto): Promise<PieceSums> {
    const capacity = (piece.entries + 3) & ~3;
    const chunks = new Chunks(this.memory, capacity * accumulatorBytes, piece.dtype);
    const accumulators = new Uint8Array(this.memory.buffer, 0, capacity * accumulatorBytes);
    accumulators.fill(0);
    let used = Atomics.load(order.words, order.index);
    let steady = true;
    let first = true;
    for (const range of rangesOf(piece, chunks.elements)) {
      const at = await chunks.load(piece.offset, range, read);
      const add = (): number => this.add(piece, chunks.type, at, range, capacity, nearZeroLimit(used));
      const found = orderOf(add());
      if (found > used) raise(order, found);
      const now = Atomics.load(order.words, order.index);
      if (now !== used) {
        used = now;
        if (first) {
          accumulators.fill(0);
          add();
        } else steady = false;
      }
      first = false;
    }
    const { buffer } = accumulators.slice();
    const array = <T>(make: new (buffer: ArrayBuffer, offset: number, length: number) => T, bytesBefore: number): T =>
      new make(buffer, bytesBefore * capacity, piece.entries);
    return {
      sum: array(Float64Array, 0), magnitude: array(Float64Array, 8), square: array(Float64Array, 16),
      largest: array(Float32Array, 24), small: array(Int32Array, 28), order: steady ? used : undefined,
    };
  }

  private add(piece: WeightPiece, type: KernelType, at: number, range: Range, capacity: number, limit: number): number {
    return piece.kind === 'runs'
      ? this.addRuns(piece, type, at, range, capacity, limit)
      : this.addColumns(piece, type, at, range, capacity, limit);
  }

  /** The end of a run that began before, whole runs up to where entries start again, and the beginning of a run. */
  private addRuns(piece: RunPiece, type: KernelType, at: number, { start, count }: Range, capacity: number, limit: number): number {
    const { inner, size, firstEntry } = piece;
    const bytes = elementBytes(type);
    let largest = 0;
    for (let element = start; element < start + count; ) {
      const run = Math.floor(element / inner);
      const within = element - run * inner;
      const left = start + count - element;
      const entry = run % size;
      const runs = within > 0 || left < inner ? 1 : Math.min(Math.floor(left / inner), size - entry);
      const length = runs > 1 ? inner : Math.min(inner - within, left);
      largest = Math.max(largest, this.kernel.runs(type, at + (element - start) * bytes, runs, length, entry - firstEntry, capacity, limit));
      element += runs * length;
    }
    return largest;
  }

  /** Blocks of rows that stay in the nearest cache while the kernel goes down them, four columns at a time. */
  private addColumns(piece: ColumnPiece, type: KernelType, at: number, { count }: Range, capacity: number, limit: number): number {
    const rowBytes = piece.entries * elementBytes(type);
    const rows = count / piece.entries;
    const step = Math.max(leastRows, Math.floor(nearCacheBytes / rowBytes));
    let largest = 0;
    for (let row = 0; row < rows; row += step) {
      const block = Math.min(step, rows - row);
      largest = Math.max(largest, this.kernel.columns(type, at + row * rowBytes, block, piece.entries, 0, capacity, limit));
    }
    return largest;
  }
}

/** Elements of the tensor that are read and summed at once. */
interface Range {
  readonly start: number;
  readonly count: number;
}

/** Fits the second cache of a core together with the sums of most layers. */
const chunkBytes = 1 << 18;
const nearCacheBytes = 1 << 14;
const leastRows = 16;
/** What the kernel may read behind the last element. */
const slackBytes = 16;

function* rangesOf(piece: WeightPiece, most: number): Generator<Range> {
  if (piece.kind === 'runs') {
    for (let start = piece.start; start < piece.end; start += most) yield { start, count: Math.min(most, piece.end - start) };
    return;
  }
  const { width, entries, firstEntry, firstRow, rows } = piece;
  // Part of a row is read by itself: other columns lie between.
  const together = entries === width ? Math.max(1, Math.floor(most / entries)) : 1;
  for (let row = 0; row < rows; row += together) {
    yield { start: (firstRow + row) * width + firstEntry, count: Math.min(together, rows - row) * entries };
  }
}

/** The part of the memory behind the sums that elements are read into, and for types without a kernel turned into float32. */
class Chunks {
  readonly elements: number;
  readonly type: KernelType;
  private readonly bytes: number;

  constructor(private readonly memory: WebAssembly.Memory, private readonly at: number, private readonly dtype: DType) {
    this.type = isKernelType(dtype) ? dtype : 'float32';
    this.bytes = elementBytes(this.type);
    // A row of columns is at most as long as there are sums.
    this.elements = Math.max(chunkBytes / this.bytes, at / accumulatorBytes);
    const missing = at + this.elements * this.bytes + slackBytes - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  }

  async load(offset: number, { start, count }: Range, read: ReadInto): Promise<number> {
    const size = elementBytes(this.dtype);
    if (isKernelType(this.dtype)) {
      const done = read(offset + start * size, new Uint8Array(this.memory.buffer, this.at, count * size));
      if (done) await done;
    } else {
      const data = allocate(this.dtype, count);
      const done = read(offset + start * size, new Uint8Array(data.buffer));
      if (done) await done;
      new Float32Array(this.memory.buffer, this.at, count).set(asFloat32({ dtype: this.dtype, shape: [count], data } satisfies NdArray));
    }
    return this.at;
  }
}

function isKernelType(dtype: DType): dtype is KernelType {
  return (kernelTypes as readonly DType[]).includes(dtype);
}

function raise({ words, index }: LargestOrder, order: number): void {
  for (let known = Atomics.load(words, index); known < order; known = Atomics.load(words, index)) {
    if (Atomics.compareExchange(words, index, known, order) === known) return;
  }
}

function orderValue(order: number): number {
  // Infinity counts as 2^128.
  if (order >= 0x7f800000) return 2 ** 128;
  word[0] = order;
  return float[0]!;
}

const word = new Int32Array(1);
const float = new Float32Array(word.buffer);
