import { WasmFunction, wasmModule } from './wasmEmitter';

/** Element types that the kernel reads as they are; others are turned into float32 first. */
export const kernelTypes = ['float32', 'float16', 'bfloat16'] as const;
export type KernelType = (typeof kernelTypes)[number];

/**
 * Sums over weights with 128-bit SIMD, in the memory that chunks of the file are read into. Values become float64 before
 * they are added or multiplied, so that a product of two float32 is exact and sums err by about 1e-16 of their terms.
 *
 * Accumulators are five arrays one behind the other at address 0, `capacity` (a multiple of 4) entries each: sum, magnitude and square
 * (float64), largest magnitude (float32), number of elements of magnitude up to `limit` (int32). Every function adds to
 * them and returns the largest magnitude that it met. NaN goes into the sums and is never the largest nor small.
 * Loads may reach 16 bytes behind the last element.
 */
export interface SumKernel {
  /** `runs` runs of `inner` elements, one behind the other at `at`: run k adds to entry `entry` + k. */
  runs(type: KernelType, at: number, runs: number, inner: number, entry: number, capacity: number, limit: number): number;
  /** `rows` rows of `columns` elements, one behind the other at `at`: column k adds to entry `entry` + k, a multiple of 4 (entries up to the next multiple are spoilt). */
  columns(type: KernelType, at: number, rows: number, columns: number, entry: number, capacity: number, limit: number): number;
}

/** Bytes of accumulators an entry. */
export const accumulatorBytes = 8 + 8 + 8 + 4 + 4;

export function createSumKernel(memory: WebAssembly.Memory): SumKernel {
  module ??= new WebAssembly.Module(wasmModule(kernelTypes.flatMap((type) => [runsFunction(type), columnsFunction(type)])));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  type Kernel = (at: number, count: number, length: number, entry: number, capacity: number, limit: number) => number;
  const named = exports as Readonly<Record<string, Kernel>>;
  return {
    runs: (type, ...rest) => named[`runs_${type}`]!(...rest),
    columns: (type, ...rest) => named[`columns_${type}`]!(...rest),
  };
}

let module: WebAssembly.Module | undefined;

const elementShift: Readonly<Record<KernelType, number>> = { float32: 2, float16: 1, bfloat16: 1 };
const parameters = ['i32', 'i32', 'i32', 'i32', 'i32', 'f32'] as const;

/** One run after the other: lanes are elements of the same run and are added up at its end. */
function runsFunction(type: KernelType): WasmFunction {
  const f = new WasmFunction(`runs_${type}`, parameters, 'f32');
  const [at, runs, inner, entry, capacity, limit] = [0, 1, 2, 3, 4, 5] as const;
  const step = new Step(f, type, limit);
  const places = new Places(f, entry, capacity);
  const [last, rest] = [f.local('i32'), f.local('i32')];
  const bytes = 4 << elementShift[type];
  const plus = (lanes: number): WasmFunction => f.get(lanes).lane('f64x2.extract_lane', 0).get(lanes).lane('f64x2.extract_lane', 1).op('f64.add');

  f.get(inner).i32(3).op('i32.and').set(rest);
  f.while(() => f.get(runs), () => {
    step.clear();
    f.get(at, inner).i32(2).op('i32.shr_u').i32(Math.log2(bytes)).op('i32.shl', 'i32.add').set(last);
    f.while(() => f.get(at, last).op('i32.lt_u'), () => {
      step.load(at);
      step.add();
      f.get(at).i32(bytes).op('i32.add').set(at);
    });
    f.get(rest).if(() => {
      step.load(at);
      // Lanes behind the run become 0; they are taken out of the count of small ones again.
      f.get(step.value, rest).op('i32x4.splat').lanes([0, 1, 2, 3]).op('i32x4.gt_s', 'v128.and').set(step.value);
      step.add();
      f.get(step.small).lanes([0, 1, 2, 3]).get(rest).i32(1).op('i32.sub', 'i32x4.splat', 'i32x4.gt_s', 'i32x4.add').set(step.small);
      f.get(at, rest).i32(elementShift[type]).op('i32.shl', 'i32.add').set(at);
    });
    for (const [place, [low, high]] of [[places.sum, step.sum], [places.magnitude, step.magnitude], [places.square, step.square]] as const) {
      f.get(low, high).op('f64x2.add').set(low);
      f.get(place, place).memory('f64.load');
      plus(low).op('f64.add').memory('f64.store');
    }
    f.get(places.largest, places.largest).memory('f32.load');
    step.horizontalMax(step.largest).op('f32.max').memory('f32.store');
    f.get(places.small, places.small).memory('i32.load');
    for (const lane of [0, 1, 2, 3]) f.get(step.small).lane('i32x4.extract_lane', lane).op('i32.add');
    f.memory('i32.store');
    places.advance(1);
    step.remember();
    f.get(runs).i32(1).op('i32.sub').set(runs);
  });
  step.horizontalMax(step.overall);
  return f;
}

/** Four columns at a time down all rows: lanes are columns, so that nothing is added across them. */
function columnsFunction(type: KernelType): WasmFunction {
  const f = new WasmFunction(`columns_${type}`, parameters, 'f32');
  const [at, rows, columns, entry, capacity, limit] = [0, 1, 2, 3, 4, 5] as const;
  const step = new Step(f, type, limit);
  const places = new Places(f, entry, capacity);
  const [place, row, rowBytes, lastAt] = [f.local('i32'), f.local('i32'), f.local('i32'), f.local('i32')];
  const addTo = (target: number, offset: number, value: number, op: 'f64x2.add' | 'f32x4.pmax' | 'i32x4.add'): void => {
    f.get(target, target).memory('v128.load', offset).get(value).op(op).memory('v128.store', offset);
  };

  f.get(columns).i32(elementShift[type]).op('i32.shl').set(rowBytes);
  f.get(at, rowBytes).op('i32.add').set(lastAt);
  f.while(() => f.get(at, lastAt).op('i32.lt_u'), () => {
    step.clear();
    f.get(at).set(place).get(rows).set(row);
    f.while(() => f.get(row), () => {
      step.load(place);
      step.add();
      f.get(place, rowBytes).op('i32.add').set(place);
      f.get(row).i32(1).op('i32.sub').set(row);
    });
    for (const [target, [low, high]] of [[places.sum, step.sum], [places.magnitude, step.magnitude], [places.square, step.square]] as const) {
      addTo(target, 0, low, 'f64x2.add');
      addTo(target, 16, high, 'f64x2.add');
    }
    addTo(places.largest, 0, step.largest, 'f32x4.pmax');
    addTo(places.small, 0, step.small, 'i32x4.add');
    places.advance(4);
    // What fills up the last four columns belongs to the next row, or to nothing.
    f.get(step.largest, lastAt, at).op('i32.sub').i32(elementShift[type]).op('i32.shr_u', 'i32x4.splat').lanes([0, 1, 2, 3]);
    f.op('i32x4.gt_s', 'v128.and').set(step.largest);
    step.remember();
    f.get(at).i32(4 << elementShift[type]).op('i32.add').set(at);
  });
  step.horizontalMax(step.overall);
  return f;
}

/** What happens to every four elements, and the registers that it happens in. */
class Step {
  readonly value: number;
  readonly sum: readonly [number, number];
  readonly magnitude: readonly [number, number];
  readonly square: readonly [number, number];
  readonly largest: number;
  readonly small: number;
  /** Largest over everything since the function began. */
  readonly overall: number;
  private readonly size: number;
  private readonly wide: number;
  private readonly limits: number;

  constructor(private readonly f: WasmFunction, private readonly type: KernelType, limit: number) {
    const vector = (): number => f.local('v128');
    this.value = vector();
    this.sum = [vector(), vector()];
    this.magnitude = [vector(), vector()];
    this.square = [vector(), vector()];
    [this.largest, this.small, this.overall, this.size, this.wide, this.limits] = [vector(), vector(), vector(), vector(), vector(), vector()];
    f.get(limit).op('f32x4.splat').set(this.limits);
  }

  clear(): void {
    for (const register of [...this.sum, ...this.magnitude, ...this.square, this.largest, this.small]) this.f.bits4(0).set(register);
  }

  /** Four elements at `address` as float32. */
  load(address: number): void {
    const { f, value, wide } = this;
    f.get(address);
    switch (this.type) {
      case 'float32':
        f.memory('v128.load');
        break;
      case 'bfloat16':
        f.memory('v128.load16x4_u').i32(16).op('i32x4.shl');
        break;
      case 'float16':
        f.memory('v128.load16x4_u').set(wide);
        // Exponent and mantissa moved to their places, times 2^112 for the other bias: right for subnormals too.
        f.get(wide).bits4(0x7fff).op('v128.and').i32(13).op('i32x4.shl').bits4(0x77800000).op('f32x4.mul').set(value);
        // What is 65536 or more then was infinite or NaN.
        f.get(value).get(value).bits4(0x47800000).op('f32x4.ge').bits4(0x7f800000).op('v128.and', 'v128.or');
        f.get(wide).bits4(0x8000).op('v128.and').i32(16).op('i32x4.shl', 'v128.or');
        break;
    }
    f.set(value);
  }

  add(): void {
    const { f, value, size, wide } = this;
    f.get(value).op('f32x4.abs').set(size);
    f.get(this.largest, size).op('f32x4.pmax').set(this.largest);
    f.get(this.small, size, this.limits).op('f32x4.le', 'i32x4.sub').set(this.small);
    for (const half of [0, 1] as const) {
      f.get(value);
      if (half === 1) f.get(value).shuffle([2, 3, 2, 3]);
      f.op('f64x2.promote_low_f32x4').set(wide);
      f.get(this.sum[half], wide).op('f64x2.add').set(this.sum[half]);
      f.get(this.magnitude[half], wide).op('f64x2.abs', 'f64x2.add').set(this.magnitude[half]);
      f.get(this.square[half], wide, wide).op('f64x2.mul', 'f64x2.add').set(this.square[half]);
    }
  }

  remember(): void {
    this.f.get(this.overall, this.largest).op('f32x4.pmax').set(this.overall);
  }

  /** Leaves the largest of four lanes on the stack. */
  horizontalMax(vector: number): WasmFunction {
    const { f } = this;
    f.get(vector).lane('f32x4.extract_lane', 0);
    for (const lane of [1, 2, 3]) f.get(vector).lane('f32x4.extract_lane', lane).op('f32.max');
    return f;
  }
}

/** Addresses of an entry's five accumulators. */
class Places {
  readonly sum: number;
  readonly magnitude: number;
  readonly square: number;
  readonly largest: number;
  readonly small: number;

  constructor(private readonly f: WasmFunction, entry: number, capacity: number) {
    const place = (bytesBefore: number, bytes: number): number => {
      const local = f.local('i32');
      f.get(capacity).i32(bytesBefore).op('i32.mul').get(entry).i32(bytes).op('i32.mul', 'i32.add').set(local);
      return local;
    };
    [this.sum, this.magnitude, this.square, this.largest, this.small] = [place(0, 8), place(8, 8), place(16, 8), place(24, 4), place(28, 4)];
  }

  advance(entries: number): void {
    const { f } = this;
    for (const [place, bytes] of [[this.sum, 8], [this.magnitude, 8], [this.square, 8], [this.largest, 4], [this.small, 4]] as const) {
      f.get(place).i32(entries * bytes).op('i32.add').set(place);
    }
  }
}
