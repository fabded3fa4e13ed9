import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { Attribute, GraphNode, Layer, ModelGraph, Shape } from '../../../src/core/graph/modelGraph';
import { elementCount, tensorOf, type NdArray } from '../../../src/core/graph/tensor';

/** A node as tests write it: `node('Conv', ['x', 'w'], 'y', {group: int(2)})`; its layer is `layer` or its output's name. */
export interface NodeSketch {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly layer: string;
}

export function node(
  op: string, inputs: readonly string[], output: string | readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, layer?: string,
): NodeSketch {
  const outputs = typeof output === 'string' ? [output] : output;
  return { op, inputs, outputs, attributes, layer: layer ?? outputs[0]! };
}

/** A graph from inputs, nodes and weights; weights given as shapes are filled with seeded random numbers. */
export function graphOf(sketch: {
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly outputs: readonly string[];
  readonly nodes: readonly NodeSketch[];
  readonly weights: Readonly<Record<string, readonly number[] | NdArray>>;
  readonly seed?: number;
  /** Inputs that hold whole numbers. */
  readonly integers?: ReadonlySet<string>;
}): Promise<ModelGraph> {
  const random = seededRandom(sketch.seed ?? 1);
  const tensors = new Map(
    Object.entries(sketch.weights).map(([name, weight]) => {
      const array = 'data' in weight ? weight : randomArray(weight, random);
      return [name, tensorOf(name, array)];
    }),
  );
  const nodes: GraphNode[] = sketch.nodes.map((item, index) => ({ ...item, name: `${item.op}_${index}`, domain: '' }));
  const layers: Layer[] = [...new Set(nodes.map(({ layer }) => layer))].map((name) => {
    const own = nodes.filter(({ layer }) => layer === name);
    const weights = own.flatMap(({ inputs }) => inputs.filter((input) => tensors.has(input)));
    return { name, type: own[0]!.op, nodes: own.map((item) => item.name), tensors: weights };
  });
  return finishGraph({
    format: 'test', producer: 'test', opset: 18, nodes, tensors, layers, findings: [], origin: undefined,
    inputs: Object.entries(sketch.inputs).map(([name, shape]) => ({ name, shape, dtype: sketch.integers?.has(name) ? 'int64' : 'float32' })),
    outputs: sketch.outputs.map((name) => ({ name, dtype: 'float32' })),
  });
}

export function randomArray(shape: readonly number[], random: () => number): NdArray {
  return { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, () => random() * 2 - 1) };
}

export function int64(values: readonly number[]): NdArray {
  return { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

/** Numbers in [0, 1) that are the same on every machine (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Largest difference, relative to the largest magnitude of what was expected. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let largest = 1e-12;
  for (let k = 0; k < expected.length; k++) {
    const gap = Math.abs(actual[k]! - expected[k]!);
    if (!(gap <= difference)) difference = Number.isNaN(gap) ? Infinity : gap;
    largest = Math.max(largest, Math.abs(expected[k]!));
  }
  return difference / largest;
}
