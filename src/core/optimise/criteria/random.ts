import { seededRandom } from '../../graph/seededRandom';
import type { Criterion } from './criterion';

/** The baseline: numbers from 0 to 1 that follow from the data's seed. */
export const random: Criterion = {
  name: 'random', words: 'was drawn by lot', reduce: 'mean', normalise: 'none',
  parts({ data }, { bundles }) {
    const next = seededRandom(data.seed);
    return Promise.resolve([{ bundles: [...bundles.keys()], values: bundles.map(() => next()) }]);
  },
};
