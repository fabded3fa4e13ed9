import { batchModel, batchSize, bytesPerSample, openRunner } from '../../evaluate/batching';
import { throwIfCancelled } from '../../graph/errors';
import type { ModelGraph } from '../../graph/modelGraph';
import { asFloat32, float32Array } from '../../graph/numeric';
import { seededRandom } from '../../graph/seededRandom';
import { tensorOf, type NdArray } from '../../graph/tensor';
import type { BehaviourContext } from '../../behaviour/behaviour';
import { inverseOf, openProducts } from './leastSquares';
import { asStored, inputRows, linearSites, matrixOf, outputRows, type LinearSite, type Places } from './linearSites';

/** What stays of each site's outputs, as indices of the original's; all of them where it is missing. */
export type KeptOutputs = ReadonlyMap<string, readonly number[]>;

export interface ReconstructOptions {
  /** Samples that are looked at. */
  readonly samples: number;
  /** How strongly weights hold to what they are, relative to the mean square of their inputs. */
  readonly ridge: number;
}

/** Rows of a site at most, and at least that many for each column. */
const [mostRows, rowsPerColumn] = [12_000, 6];
/** Wider matrices are left as they are: their inverse costs more than it gains. */
export const mostColumns = 2304;

/**
 * Weights of a smaller model such that each linear operator gives again what it gave in the original, as far as what is left of
 * its inputs allows: least squares, layer by layer from the first on, each from the inputs that the layers in front of it, already
 * reconstructed, now give (He et al. 2017, Channel pruning for accelerating very deep neural networks). Means go into the bias, or
 * into the running mean of the batch normalisation behind. Only samples' inputs are used, no labels.
 */
export async function reconstruct(
  original: ModelGraph, smaller: ModelGraph, { engine, data, task, memoryBytes }: Pick<BehaviourContext, 'engine' | 'data' | 'task' | 'memoryBytes'>, kept: KeptOutputs, { samples, ridge }: ReconstructOptions,
): Promise<ModelGraph> {
  const [before, model] = [await batchModel(original), await batchModel(smaller)];
  const old = new Map(linearSites(before.graph).map((site) => [site.node.name, site]));
  const sites = linearSites(model.graph).filter(({ node, channels, taps }) => {
    const was = old.get(node.name);
    return was && channels * taps <= mostColumns;
  });
  if (!sites.some((site) => old.get(site.node.name)!.channels > site.channels)) return smaller;
  const first = sites.findIndex((site) => old.get(site.node.name)!.channels > site.channels);
  const outputs = sites.slice(first).map((site) => old.get(site.node.name)!.output);
  const count = Math.min(samples, data.count, batchSize(memoryBytes, bytesPerSample(before.graph, [...outputs, ...sites.map(({ input }) => input)]), samples));
  const inputs = await data.inputs(0, count);
  const wanted = await valuesOf(before, inputs, outputs);
  const products = await openProducts(engine);
  const random = seededRandom(data.seed);
  const tensors = new Map(smaller.tensors);
  // Inputs of sites that are final: what lies behind them need not be computed from the beginning.
  const known = new Map<string, NdArray>(inputs);
  try {
    for (const site of sites.slice(first)) {
      throwIfCancelled(task);
      const was = old.get(site.node.name)!;
      const graph = { ...model.graph, tensors: new Map([...model.graph.tensors, ...[...tensors].filter(([name]) => model.graph.tensors.has(name))]) };
      if (!known.has(site.input)) for (const [name, value] of await valuesOf({ ...model, graph }, known, [site.input])) known.set(name, value);
      const y = wanted.get(was.output)!;
      const all = y.data.length / was.outputs;
      const places = drawn(all, Math.min(all, mostRows, Math.max(2000, rowsPerColumn * site.channels * site.taps)), random);
      const rows = { x: inputRows(graph, site, known.get(site.input)!, places), y: outputRows(was, y, places, kept.get(site.node.name) ?? range(site.outputs)) };
      const [fit, bias] = [await matrixOf(graph, site), site.bias === undefined ? undefined : Float32Array.from(asFloat32(await graph.tensors.get(site.bias)!.read()))];
      const { meanX, meanY } = await refit(site, fit, bias, rows, ridge);
      const set = (name: string, values: Float32Array): void => void tensors.set(name, tensorOf(name, float32Array(values, tensors.get(name)!.shape)));
      set(site.weight, asStored(site, fit));
      if (site.bias === undefined && site.mean === undefined) continue;
      const levels = Float32Array.from({ length: site.outputs }, (_, output) => dot(fit, output * meanX.length, meanX));
      if (site.bias !== undefined) {
        set(site.bias, levels.map((level, output) => meanY[output]! - level));
      } else {
        const mean = asFloat32(await graph.tensors.get(site.mean!)!.read());
        set(site.mean!, Float32Array.from(mean, (value, output) => value + levels[output]! - meanY[output]!));
      }
    }
    return { ...smaller, tensors };
  } finally {
    await products.dispose();
  }

  async function valuesOf(of: typeof model, feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<Map<string, NdArray>> {
    const runner = await openRunner(engine, of, [...feeds.keys()], fetches);
    try {
      return await runner.run(feeds);
    } finally {
      await runner.dispose();
    }
  }

  /** Changes `weights` [outputs, columns] in place; the means are those of the rows. */
  async function refit(
    site: LinearSite, weights: Float32Array, bias: Float32Array | undefined, { x, y }: { x: Float32Array; y: Float32Array }, strength: number,
  ): Promise<{ meanX: Float64Array; meanY: Float64Array }> {
    const columns = site.channels * site.taps;
    const centred = bias !== undefined || site.mean !== undefined;
    const [meanX, meanY] = [meansOf(x, columns, centred), meansOf(y, site.outputs, centred)];
    centre(x, meanX);
    centre(y, meanY);
    const squares = await products.transposedTimes(x, columns, x, columns);
    const crossed = await products.transposedTimes(x, columns, y, site.outputs);
    const inverse = inverseOf(squares, columns, strength);
    const rest = new Float64Array(columns);
    for (let output = 0; output < site.outputs; output++) {
      const own = weights.subarray(output * columns, (output + 1) * columns);
      for (let column = 0; column < columns; column++) rest[column] = crossed[column * site.outputs + output]! - dot(squares, column * columns, own);
      for (let column = 0; column < columns; column++) crossed[column * site.outputs + output] = dot(inverse, column * columns, rest);
      for (let column = 0; column < columns; column++) own[column]! += crossed[column * site.outputs + output]!;
    }
    return { meanX, meanY };
  }
}

/** Some places of all, in ascending order. */
export function drawn(all: number, count: number, random: () => number): Places {
  if (count >= all) return Int32Array.from({ length: all }, (_, place) => place);
  const places = new Int32Array(count);
  for (let at = 0; at < count; at++) places[at] = Math.min(all - 1, Math.floor(((at + random()) * all) / count));
  return places;
}

export function meansOf(rows: Float32Array, columns: number, centred: boolean): Float64Array {
  const means = new Float64Array(columns);
  if (!centred) return means;
  for (let from = 0; from < rows.length; from += columns) for (let at = 0; at < columns; at++) means[at]! += rows[from + at]!;
  return means.map((sum) => (sum * columns) / rows.length);
}

export function centre(rows: Float32Array, means: Float64Array): void {
  for (let from = 0; from < rows.length; from += means.length) for (let at = 0; at < means.length; at++) rows[from + at]! -= means[at]!;
}

function dot(one: ArrayLike<number>, from: number, two: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < two.length; at++) sum += one[from + at]! * two[at]!;
  return sum;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
