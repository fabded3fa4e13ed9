import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers, isFloat } from '../../../src/core/graph/numeric';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { seededRandom } from '../support/graphs';

/** Values from which an operator can be differentiated: between two numbers, or all of them apart, and away from 0. */
export type Values = readonly [low: number, high: number] | 'apart';

/** From where an operator of the fixture is differentiated. */
export function valuesOf(op: string): Values | undefined {
  return values[op];
}

/** Where an operator is defined, or smooth: elsewhere differences say nothing. */
const values: Readonly<Record<string, Values>> = {
  Log: [0.5, 2], Sqrt: [0.5, 2], Pow: [0.5, 2], ReduceLogSum: [0.5, 2], BatchNormalization: [0.5, 2], Reciprocal: [0.5, 2], Div: [0.5, 2],
  Mod: [5.2, 5.4], Tan: [-1, 1], Asin: [-0.8, 0.8], Acos: [-0.8, 0.8], Atanh: [-0.8, 0.8], Acosh: [1.2, 3],
  PRelu: 'apart', Min: 'apart', Max: 'apart', MaxPool: 'apart', ReduceMax: 'apart', ReduceMin: 'apart', ReduceL1: 'apart', Clip: 'apart',
  ReduceL2: 'apart', Relu: 'apart', LeakyRelu: 'apart', Selu: 'apart', Abs: 'apart', Sign: 'apart', GlobalMaxPool: 'apart', Elu: 'apart', Celu: 'apart',
  HardSwish: 'apart', Hardmax: 'apart', Shrink: [2.5, 4], LayerNormalization: 'apart', Ceil: [0.1, 0.9], Floor: [0.1, 0.9], Round: [0.6, 1.4],
};

/** Feeds for every input of a graph: the same for the same seed. */
export function feedsOf(graph: ModelGraph, seed: number, range: Values = [-2, 2]): Map<string, NdArray> {
  if (range === 'apart') return apartFeeds(graph, seed);
  return new Map<string, NdArray>(graph.inputs.map(({ name, dtype, shape }, index) => {
    const next = seededRandom(seed * 100 + index);
    const dims = (shape ?? []).map((dim) => dim ?? 2);
    const count = elementCount(dims);
    if (dtype === 'bool') return [name, { dtype, shape: dims, data: Uint8Array.from({ length: count }, () => (next() < 0.5 ? 1 : 0)) }];
    const [low, high] = range;
    return [name, { dtype: 'float32', shape: dims, data: Float32Array.from({ length: count }, () => low + next() * (high - low)) }];
  }));
}

/** Multiples of a tenth, no two of them the same: what is largest stays so when it is moved a little. */
function apartFeeds(graph: ModelGraph, seed: number): Map<string, NdArray> {
  const next = seededRandom(seed);
  const sizes = graph.inputs.map(({ shape }) => (shape ?? []).map((dim) => dim ?? 2));
  const total = sizes.reduce((sum, dims) => sum + elementCount(dims), 0);
  const values = Array.from({ length: total }, (_, index) => (index - Math.floor(total / 2) + 0.5) / 10)
    .map((value) => ({ value, order: next() })).sort((one, two) => one.order - two.order).map(({ value }) => value);
  return new Map<string, NdArray>(graph.inputs.map(({ name }, index) => {
    const shape = sizes[index]!;
    return [name, { dtype: 'float32', shape, data: Float32Array.from(values.splice(0, elementCount(shape))) }];
  }));
}

export interface Measured {
  readonly wrt: string;
  /** Slope along a random direction, by the gradient and by differences. */
  readonly found: number;
  readonly expected: number;
  /** What an error is measured by: the size of the slope, or where that is larger a thousand times what rounding amounts to. */
  readonly scale: number;
}

/**
 * Slopes of Σ seed·output along random directions, by the gradient and by central differences over two step widths
 * (Richardson's extrapolation takes out the error of second order). Sums are in double precision, the runs in single.
 */
export async function slopes(
  engine: Engine, graph: ModelGraph, of: string, feeds: ReadonlyMap<string, NdArray>, options: { directions?: number; step?: number; wrt?: readonly string[] } = {},
): Promise<Measured[]> {
  const wrt = options.wrt ?? [...feeds].filter(([, array]) => isFloat(array.dtype)).map(([name]) => name);
  const forward = await engine.compile(graph, [...feeds.keys()], [of]);
  const output = (await forward.run(feeds)).get(of)!;
  const random = seededRandom(77);
  const seedArray: NdArray = { dtype: 'float32', shape: output.shape, data: Float32Array.from({ length: output.data.length }, () => random() * 2 - 1) };
  const made = await differentiate(graph, { of, withRespectTo: wrt, seed: 'incoming' });
  const names = wrt.map((name) => made.gradients.get(name)!);
  const backward = await engine.compile(made.graph, [...feeds.keys(), made.seed!], names);
  const gradients = await backward.run(new Map([...feeds, [made.seed!, seedArray]]));
  const results: Measured[] = [];
  const step = options.step ?? 2 ** -5;
  for (const [index, name] of wrt.entries()) {
    const x = feeds.get(name)!;
    const gradient = gradients.get(names[index]!)!;
    if (gradient.shape.join() !== x.shape.join()) throw new Error(`the gradient of ${name} has shape [${gradient.shape.join()}] instead of [${x.shape.join()}]`);
    if (gradient.dtype !== x.dtype) throw new Error(`the gradient of ${name} is ${gradient.dtype}`);
    for (let trial = 0; trial < (options.directions ?? 4); trial++) {
      // Whole directions find what is wrong on the average, single elements what is wrong in one place.
      const only = Math.floor(random() * x.data.length);
      const direction = Float64Array.from({ length: x.data.length }, (_, at) => (trial % 2 ? Number(at === only) : (random() < 0.5 ? -1 : 1)));
      const at = async (width: number): Promise<Float64Array> => {
        const data = Float32Array.from(asNumbers(x), (value, place) => value + width * direction[place]!);
        const run = await forward.run(new Map([...feeds, [name, { ...x, data }]]));
        return Float64Array.from(asNumbers(run.get(of)!));
      };
      const slope = async (width: number): Promise<number> => {
        const [up, down] = [await at(width), await at(-width)];
        return up.reduce((sum, value, place) => sum + (value - down[place]!) * Number(seedArray.data[place]), 0) / (2 * width);
      };
      const expected = (4 * await slope(step / 2) - await slope(step)) / 3;
      const found = direction.reduce((sum, value, place) => sum + value * Number(gradient.data[place]), 0);
      const size = Math.sqrt(direction.reduce((sum, value, place) => sum + (value * Number(gradient.data[place])) ** 2, 0));
      const noise = Math.sqrt(output.data.length) * Math.max(0, ...asNumbers(output).map(Math.abs)) * 6e-8 / step;
      results.push({ wrt: name, found, expected, scale: Math.max(size, Math.abs(expected), noise * 3000, 1e-3) });
    }
  }
  await Promise.all([forward.dispose(), backward.dispose()]);
  return results;
}
