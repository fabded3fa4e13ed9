import { throwIfCancelled } from '../../graph/errors';
import type { Criterion, PartScores } from './criterion';
import type { WeightPart } from './bundleParts';
import { sumByBundle, valuesOf } from './weightSums';

/** Sums of magnitudes (Li et al. 2017, "Pruning filters for efficient ConvNets"), over all weights and norm scales that go. */
export const magnitudeL1: Criterion = {
  name: 'magnitudeL1', words: 'takes the smallest weights (L1) away', reduce: 'mean', normalise: 'mean', parts: magnitudes((value) => Math.abs(value)),
};

/** Sums of squares, without the root, as in Torch-Pruning. */
export const magnitudeL2: Criterion = {
  name: 'magnitudeL2', words: 'takes the smallest weights (L2) away', reduce: 'mean', normalise: 'mean', parts: magnitudes((value) => value * value),
};

/** Magnitudes that count for as much as they are of those that are left (Lee et al. 2021), for bundles: as in Torch-Pruning. */
export const lamp: Criterion = { ...magnitudeL2, name: 'lamp', words: 'takes the smallest share of the weights left in its layers away', normalise: 'lamp' };

/**
 * Magnitudes of batch normalisation's scales (Liu et al. 2017, "Learning efficient convolutional networks through network slimming").
 * Layers without batch normalisation of their own have no score; so have those into which it was folded.
 */
export const batchNormScale: Criterion = {
  name: 'batchNormScale', words: 'takes the smallest scales of batch normalisation away', reduce: 'mean', normalise: 'mean',
  parts: magnitudes((value) => Math.abs(value), ({ kind }) => kind === 'batchNormScale'),
};

function magnitudes(of: (value: number) => number, counts: (part: WeightPart) => boolean = () => true): Criterion['parts'] {
  return async ({ graph, task }, { weights }) => {
    const found: PartScores[] = [];
    for (const part of weights.filter(counts)) {
      throwIfCancelled(task);
      const sliced = await valuesOf(graph.tensors.get(part.tensor)!, part);
      found.push(sumByBundle(part, sliced, (place) => of(sliced.values[place]!)));
    }
    return found;
  };
}
