import { throwIfCancelled } from '../../graph/errors';
import type { Criterion, PartScores } from './criterion';
import { sumIndices, valuesOf } from './weightSums';

/** Distances between more numbers than this are not computed without a look at the clock. */
const worthAPause = 2 ** 24;

/**
 * How far a slice lies from the others of its tensor: the sum of its Euclidean distances, small near the geometric median (He et al.
 * 2019, "Filter pruning via geometric median"). Distances are between the weights themselves, as in the paper; Torch-Pruning's are
 * between their magnitudes' powers, which makes slices of opposite sign the same. Norms do not count.
 */
export const geometricMedian: Criterion = {
  name: 'fpgm', words: 'takes weights away that lie nearest to the geometric median of their layer', reduce: 'mean', normalise: 'mean',
  async parts({ graph, task }, { weights }) {
    const found: PartScores[] = [];
    for (const part of weights.filter(({ kind }) => kind === 'weight')) {
      const { values, outer, size, inner } = await valuesOf(graph.tensors.get(part.tensor)!, part);
      const sums = new Float64Array(size);
      let since = 0;
      // Only slices that may go are compared, each with each.
      const indices = [...part.bundleOf.keys()].filter((index) => part.bundleOf[index]! >= 0);
      for (const [place, one] of indices.entries()) {
        for (const two of indices.slice(place + 1)) {
          let square = 0;
          for (let block = 0; block < outer; block++) {
            const [start, other] = [(block * size + one) * inner, (block * size + two) * inner];
            for (let at = 0; at < inner; at++) square += (values[start + at]! - values[other + at]!) ** 2;
          }
          const distance = Math.sqrt(square);
          sums[one]! += distance;
          sums[two]! += distance;
        }
        since += (indices.length - place) * outer * inner;
        if (since < worthAPause) continue;
        since = 0;
        await new Promise((resolve) => setTimeout(resolve));
        throwIfCancelled(task);
      }
      found.push(sumIndices(part.bundleOf, sums));
    }
    return found;
  },
};
