import type { ValueInfo } from '../graph/modelGraph';
import { seededRandom } from '../graph/seededRandom';
import { elementCount, type NdArray } from '../graph/tensor';
import { fromFloat32, isFloat } from '../graph/numeric';
import type { Dataset } from './dataset';
import type { IdLimit } from './idLimits';

/** Where a model leaves a length open, a probe takes this one. */
const openLength = 16;
/** Ids of an input whose embedding is not known. */
const fewIds = 2;

/**
 * Made-up samples for a model without data: numbers of a normal distribution, ids drawn evenly from the embedding's rows. What is
 * computed from them is marked synthetic: it tells how the model is built, not what it does on real data. Each sample follows from the seed
 * and its number alone.
 */
export function syntheticProbe(inputs: readonly ValueInfo[], idLimits: ReadonlyMap<string, IdLimit>, { count = 64, seed = 0 }: { count?: number; seed?: number } = {}): Dataset {
  return {
    title: 'synthetic samples', task: 'classification', count, seed, synthetic: true,
    inputs: (from, to) => Promise.resolve(new Map(inputs.map((input, place) => [input.name, made(input, idLimits.get(input.name)?.limit, { from, to, seed: seed + 7919 * place })]))),
    labels: () => Promise.resolve(undefined),
  };
}

function made({ shape, dtype = 'float32' }: ValueInfo, limit: number | undefined, { from, to, seed }: { from: number; to: number; seed: number }): NdArray {
  const sample = (shape ?? [null]).slice(1).map((dim) => dim ?? openLength);
  const each = elementCount(sample);
  const whole = [to - from, ...sample];
  const values = new Float32Array((to - from) * each);
  for (let row = from; row < to; row++) {
    const random = seededRandom((seed * 0x9e3779b1 + row * 0x85ebca6b) >>> 0);
    for (let at = (row - from) * each; at < (row - from + 1) * each; at++) {
      values[at] = limit !== undefined || !isFloat(dtype) ? Math.floor(random() * (limit ?? fewIds)) : normal(random);
    }
  }
  if (isFloat(dtype)) return fromFloat32(values, whole, dtype);
  if (dtype === 'int64' || dtype === 'uint64') {
    const big = Array.from(values, (value) => BigInt(value));
    return { dtype, shape: whole, data: dtype === 'int64' ? BigInt64Array.from(big) : BigUint64Array.from(big) };
  }
  const make = { int32: Int32Array, uint32: Uint32Array, int16: Int16Array, uint16: Uint16Array, int8: Int8Array, uint8: Uint8Array, bool: Uint8Array }[dtype as 'int32'] ?? Int32Array;
  return { dtype, shape: whole, data: make.from(values) };
}

/** Box and Muller's way from two even numbers to a normal one. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
