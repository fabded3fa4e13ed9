import type { BehaviourContext } from '../../behaviour/behaviour';
import type { BundleParts, WeightPart } from './bundleParts';
import type { Criterion, PartScores } from './criterion';
import { forEachWeightGradient } from './weightGradients';
import { sumByBundle, valuesOf } from './weightSums';

/** One backward pass a sample takes its time; the mean of this many is near enough. */
const mostSamples = 512;

/**
 * Weight times gradient of the mean loss over all samples, in magnitude, summed (Molchanov et al. 2019, "Importance estimation
 * for neural network pruning", as in Torch-Pruning, where scales of batch normalisation do not count).
 */
export const taylor: Criterion = {
  name: 'taylor', words: 'changes the loss least to first order', reduce: 'mean', normalise: 'mean',
  async parts(context, parts) {
    const counted = parts.weights.filter(({ kind }) => kind !== 'batchNormScale');
    const gradients = new Map<string, Float64Array>();
    await forEachWeightGradient(context, namesOf(counted), (name, gradient) => addTo(gradients, name, gradient, (value) => value / context.data.count));
    return scored(context, counted, gradients, (weight, gradient) => Math.abs(weight * gradient));
  },
};

/**
 * Squared weight times the diagonal of the Hessian (LeCun et al. 1989, "Optimal brain damage"), estimated by the empirical Fisher
 * information: the mean over samples (the first 512 at most) of the squared gradient of each one's loss, from a backward pass each.
 */
export const hessian: Criterion = {
  name: 'hessian', words: 'changes the loss least to second order', reduce: 'mean', normalise: 'mean',
  async parts(context: BehaviourContext, { weights }: BundleParts) {
    const samples = Math.min(mostSamples, context.data.count);
    const squares = new Map<string, Float64Array>();
    await forEachWeightGradient(context, namesOf(weights), (name, gradient) => addTo(squares, name, gradient, (value) => (value * value) / samples), { most: 1, samples });
    return scored(context, weights, squares, (weight, square) => weight * weight * square);
  },
};

function namesOf(parts: readonly WeightPart[]): string[] {
  return [...new Set(parts.map(({ tensor }) => tensor))];
}

function addTo(sums: Map<string, Float64Array>, name: string, gradient: Float32Array, of: (value: number) => number): void {
  let sum = sums.get(name);
  if (!sum) sums.set(name, (sum = new Float64Array(gradient.length)));
  for (let at = 0; at < sum.length; at++) sum[at]! += of(gradient[at]!);
}

async function scored(
  { graph }: BehaviourContext, parts: readonly WeightPart[], found: ReadonlyMap<string, Float64Array>, of: (weight: number, found: number) => number,
): Promise<PartScores[]> {
  const scores: PartScores[] = [];
  for (const part of parts) {
    const [sliced, own] = [await valuesOf(graph.tensors.get(part.tensor)!, part), found.get(part.tensor)];
    if (own) scores.push(sumByBundle(part, sliced, (place) => of(sliced.values[place]!, own[place]!)));
  }
  return scores;
}
