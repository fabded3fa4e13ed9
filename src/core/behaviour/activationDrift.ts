import type { Dataset } from '../data/dataset';
import { asFloat32 } from '../graph/numeric';
import { seededRandom } from '../graph/seededRandom';
import type { NdArray } from '../graph/tensor';
import type { BehaviourContext } from './behaviour';
import { axisWalk, chosenGroups, forEachBatch, responseOf } from './forward';

/** How differently a layer's particles respond to two sets of samples. */
export interface LayerDrift {
  readonly layer: string;
  /** Mean squared difference of the standardised responses and of their squares, over particles: 0 when means and spreads agree. */
  readonly statistic: number;
  /** The value that 95 % of random divisions of the same samples stay below. */
  readonly baseline: number;
  /** Share of random divisions that differ as much or more, itself counted: the smallest possible is 1 / 200. */
  readonly pValue: number;
  /** No random division differs as much. */
  readonly shifted: boolean;
}

const divisions = 199;

/**
 * Drift between two sets of samples in the model's own activations, layer by layer, by a permutation test (Fisher's; with a kernel of
 * first and second moments a maximum mean discrepancy, Gretton et al. 2012). The response of a particle to a sample is its mean over positions.
 */
export async function activationDrift(context: BehaviourContext, left: Dataset, right: Dataset): Promise<readonly LayerDrift[]> {
  const [before, after] = [await responses(context, left), await responses(context, right)];
  const result: LayerDrift[] = [];
  for (const group of chosenGroups(context)) {
    const [a, b] = [before.get(group.layer), after.get(group.layer)];
    if (a?.length && b?.length) result.push({ layer: group.layer, ...compare(a, b, left.seed) });
  }
  return result;
}

/** By layer the mean response of each particle, a row a sample. */
async function responses(context: BehaviourContext, data: Dataset): Promise<ReadonlyMap<string, readonly Float64Array[]>> {
  const groups = chosenGroups(context).map((group) => ({ layer: group.layer, at: responseOf(context.graph, group) }));
  const rows = new Map(groups.map(({ layer }) => [layer, [] as Float64Array[]]));
  await forEachBatch({ ...context, data }, groups.map(({ at }) => at.value), 'Comparing activations', (values) => {
    for (const { layer, at } of groups) rows.get(layer)!.push(...means(values.get(at.value)!, at.axis));
  });
  return rows;
}

function means(array: NdArray, axis: number): Float64Array[] {
  if (axis === 0) return [];
  const values = asFloat32(array);
  const { size, inner } = axisWalk(array.shape, axis);
  const rows = array.shape[0]!;
  const each = values.length / rows;
  return Array.from({ length: rows }, (_, row) => {
    const sums = new Float64Array(size);
    for (let at = 0; at < each; at++) sums[Math.floor(at / inner) % size]! += values[row * each + at]!;
    return sums.map((sum) => (sum * size) / each);
  });
}

function compare(left: readonly Float64Array[], right: readonly Float64Array[], seed: number): Omit<LayerDrift, 'layer'> {
  const rows = withSquares(standardised([...left, ...right]));
  const order = Array.from(rows, (_, index) => index);
  const statistic = distance(rows, order, left.length);
  const random = seededRandom(seed);
  const others = Float64Array.from({ length: divisions }, () => {
    for (let at = order.length - 1; at > 0; at--) {
      const other = Math.floor(random() * (at + 1));
      [order[at], order[other]] = [order[other]!, order[at]!];
    }
    return distance(rows, order, left.length);
  }).sort();
  const asMuch = others.filter((value) => value >= statistic).length;
  return { statistic, baseline: others[Math.floor(0.95 * divisions)]!, pValue: (asMuch + 1) / (divisions + 1), shifted: asMuch === 0 && statistic > 0 };
}

/** Mean 0 and deviation 1 for each particle; particles that never change say nothing. */
function standardised(rows: readonly Float64Array[]): readonly Float64Array[] {
  const width = rows[0]!.length;
  const [mean, deviation] = [new Float64Array(width), new Float64Array(width)];
  for (const row of rows) row.forEach((value, at) => (mean[at]! += value / rows.length));
  for (const row of rows) row.forEach((value, at) => (deviation[at]! += (value - mean[at]!) ** 2 / rows.length));
  return rows.map((row) => row.map((value, at) => (deviation[at]! > 1e-18 ? (value - mean[at]!) / Math.sqrt(deviation[at]!) : 0)));
}

function withSquares(rows: readonly Float64Array[]): readonly Float64Array[] {
  return rows.map((row) => {
    const both = new Float64Array(2 * row.length);
    both.set(row);
    row.forEach((value, at) => (both[row.length + at] = value * value));
    return both;
  });
}

function distance(rows: readonly Float64Array[], order: readonly number[], first: number): number {
  const width = rows[0]!.length;
  const difference = new Float64Array(width);
  order.forEach((index, place) => {
    const row = rows[index]!;
    const weight = place < first ? 1 / first : -1 / (order.length - first);
    for (let at = 0; at < width; at++) difference[at]! += weight * row[at]!;
  });
  return difference.reduce((sum, value) => sum + value * value, 0) / width;
}
