import type { Engine } from '../../graph/engine';
import { finishGraph } from '../../graph/finishGraph';
import { asFloat32 } from '../../graph/numeric';

/** Products of what many rows say, computed by the engine: they are most of the work. */
export interface Products {
  /** a [rows, m], b [rows, n] -> their transposed product [m, n]. */
  transposedTimes(a: Float32Array, m: number, b: Float32Array, n: number): Promise<Float32Array>;
  dispose(): Promise<void>;
}

export async function openProducts(engine: Engine): Promise<Products> {
  const matrix = (name: string) => ({ name, dtype: 'float32' as const, shape: [null, null] });
  const graph = await finishGraph({
    format: 'onnx', producer: '', opset: 18, inputs: [matrix('a'), matrix('b')], outputs: [{ name: 'product' }], tensors: new Map(), layers: [], findings: [], origin: undefined,
    nodes: [
      { name: 'transpose', op: 'Transpose', domain: '', inputs: ['a'], outputs: ['turned'], attributes: { perm: { type: 'ints', value: [1, 0] } }, layer: '' },
      { name: 'multiply', op: 'MatMul', domain: '', inputs: ['turned', 'b'], outputs: ['product'], attributes: {}, layer: '' },
    ],
  });
  const program = await engine.compile(graph, ['a', 'b'], ['product']);
  return {
    async transposedTimes(a, m, b, n) {
      const rows = a.length / m;
      const results = await program.run(new Map([['a', { dtype: 'float32', shape: [rows, m], data: a }], ['b', { dtype: 'float32', shape: [rows, n], data: b }]]));
      return asFloat32(results.get('product')!);
    },
    dispose: () => program.dispose(),
  };
}

/**
 * The inverse of a symmetric positive matrix [size, size] with `ridge` times the mean of its diagonal added to the diagonal, by
 * Cholesky's factorisation; more is added until it is positive.
 */
export function inverseOf(matrix: ArrayLike<number>, size: number, ridge: number): Float64Array {
  let mean = 0;
  for (let at = 0; at < size; at++) mean += matrix[at * size + at]! / size;
  for (let more = ridge; ; more = Math.max(more * 10, 1e-9)) {
    const factor = Float64Array.from(matrix);
    for (let at = 0; at < size; at++) factor[at * size + at]! += more * mean + 1e-12;
    if (factorise(factor, size)) return inverseFromFactor(factor, size);
  }
}

/** The lower factor in place; false when the matrix is not positive. */
function factorise(a: Float64Array, size: number): boolean {
  for (let row = 0; row < size; row++) {
    const own = a.subarray(row * size, row * size + size);
    for (let column = 0; column <= row; column++) {
      const other = a.subarray(column * size, column * size + size);
      let sum = own[column]!;
      for (let k = 0; k < column; k++) sum -= own[k]! * other[k]!;
      if (column < row) own[column] = sum / other[column]!;
      else if (!(sum > 0)) return false;
      else own[row] = Math.sqrt(sum);
    }
  }
  return true;
}

function inverseFromFactor(lower: Float64Array, size: number): Float64Array {
  // Rows of the transposed inverse factor, so that all loops go along memory.
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column++) {
    const own = inverse.subarray(column * size, column * size + size);
    own[column] = 1 / lower[column * size + column]!;
    for (let row = column + 1; row < size; row++) {
      const factors = lower.subarray(row * size, row * size + size);
      let sum = 0;
      for (let k = column; k < row; k++) sum -= factors[k]! * own[k]!;
      own[row] = sum / factors[row]!;
    }
  }
  const result = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const one = inverse.subarray(row * size, row * size + size);
    for (let column = 0; column <= row; column++) {
      const two = inverse.subarray(column * size, column * size + size);
      let sum = 0;
      for (let k = row; k < size; k++) sum += one[k]! * two[k]!;
      result[row * size + column] = result[column * size + row] = sum;
    }
  }
  return result;
}
