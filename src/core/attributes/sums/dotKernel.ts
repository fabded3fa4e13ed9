import { WasmFunction, wasmModule } from './wasmEmitter';

/** Rows of float32 in memory of their own, compared two against four at a time. */
export class DotKernel {
  /** [rows, stride]: every row begins at a multiple of 16 bytes, and what fills it up is 0. */
  readonly values: Float32Array;
  readonly stride: number;
  private readonly results: Float32Array;
  private readonly dots: (one: number, two: number, strideBytes: number) => void;

  constructor(readonly rows: number, length: number) {
    this.stride = (length + 3) & ~3;
    const padded = Math.ceil(rows / tile.two) * tile.two;
    const bytes = resultBytes + padded * this.stride * 4;
    const memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil(bytes / 65536)) });
    module ??= new WebAssembly.Module(wasmModule([dotsFunction()]));
    this.dots = new WebAssembly.Instance(module, { env: { memory } }).exports.dots as DotKernel['dots'];
    this.values = new Float32Array(memory.buffer, resultBytes, padded * this.stride);
    this.results = new Float32Array(memory.buffer, 0, tile.one * tile.two);
  }

  row(index: number): Float32Array {
    return this.values.subarray(index * this.stride, (index + 1) * this.stride);
  }

  /**
   * Dot products of rows `one`, `one` + 1 (an even number) with rows `two` to `two` + 3 (a multiple of 4), row-major [2, 4]; valid
   * until the next call. Sums are float32, four partial ones each.
   */
  tile(one: number, two: number): Float32Array {
    const bytes = this.stride * 4;
    this.dots(resultBytes + one * bytes, resultBytes + two * bytes, bytes);
    return this.results;
  }
}

export const tile = { one: 2, two: 4 } as const;

const resultBytes = 64;
let module: WebAssembly.Module | undefined;

/** Eight sums stay in registers while two rows and four rows are gone through together. */
function dotsFunction(): WasmFunction {
  const f = new WasmFunction('dots', ['i32', 'i32', 'i32']);
  const [one, two, bytes] = [0, 1, 2] as const;
  const end = f.local('i32');
  const [left, right] = [[f.local('v128'), f.local('v128')], f.local('v128')] as const;
  const ones = [one, f.local('i32')];
  const twos = [two, f.local('i32'), f.local('i32'), f.local('i32')];
  const sums = ones.map(() => twos.map(() => f.local('v128')));
  f.get(one, bytes).op('i32.add').set(end).get(end).set(ones[1]!);
  for (const [index, place] of twos.entries()) if (index > 0) f.get(twos[index - 1]!, bytes).op('i32.add').set(place);
  f.while(() => f.get(one, end).op('i32.lt_u'), () => {
    ones.forEach((place, k) => f.get(place).memory('v128.load').set(left[k]!));
    twos.forEach((place, column) => {
      f.get(place).memory('v128.load').set(right);
      sums.forEach((row, k) => f.get(row[column]!, left[k]!, right).op('f32x4.mul', 'f32x4.add').set(row[column]!));
    });
    for (const place of [...ones, ...twos]) f.get(place).i32(16).op('i32.add').set(place);
  });
  sums.flat().forEach((sum, index) => {
    f.i32(index * 4);
    f.get(sum).lane('f32x4.extract_lane', 0);
    for (const lane of [1, 2, 3]) f.get(sum).lane('f32x4.extract_lane', lane).op('f32.add');
    f.memory('f32.store');
  });
  return f;
}
