import type { BehaviourContext } from '../../behaviour/behaviour';
import { addBehaviour } from '../../behaviour/registry';
import type { BundleParts } from './bundleParts';
import type { Criterion, PartScores } from './criterion';

/** What the loss really does when the particle is silenced. Where several go together, each is silenced by itself. */
export const ablation: Criterion = {
  name: 'ablation', words: 'raises the loss least', reduce: 'sum', normalise: 'none', parts: ofColumns(['ablationLossChange'], ([change]) => change!),
};

/** The same, estimated from gradients and what the next layers do. */
export const estimate: Criterion = {
  name: 'estimate', words: 'is estimated to raise the loss least', reduce: 'sum', normalise: 'none', parts: ofColumns(['estimatedLossChange'], ([change]) => change!),
};

/** How much a particle says: the root mean square of its outputs over samples and places. */
export const activation: Criterion = {
  name: 'activation', words: 'silences those that say least', reduce: 'mean', normalise: 'mean',
  parts: ofColumns(['activationMean', 'activationDeviation'], ([mean, deviation]) => Math.hypot(mean!, deviation!)),
};

/** How little another particle of its layer says the same on the data: 1 - |r| of the most strongly correlated one; 0 of what is constant. */
export const redundancy: Criterion = {
  name: 'redundancy', words: 'takes those away for which another one speaks', reduce: 'mean', normalise: 'none',
  parts: ofColumns(['activationCorrelation', 'activationDeviation'], ([correlation, deviation]) => (deviation === 0 ? 0 : 1 - Math.abs(correlation!))),
};

/** Columns that the table does not have yet are added to it. Each layer's particles of a bundle are a part of it. */
function ofColumns(names: readonly string[], of: (values: readonly number[]) => number): Criterion['parts'] {
  return async (context: BehaviourContext, { bundleOfRow }: BundleParts) => {
    const { table } = context;
    const missing = names.filter((name) => !table.column(name));
    if (missing.length) await addBehaviour(context, new Set(missing));
    const columns = names.map((name) => table.column(name)?.values ?? table.emptyValues());
    return table.groups.map(({ firstRow, count }): PartScores => {
      const sums = new Map<number, number>();
      for (let row = firstRow; row < firstRow + count; row++) {
        const value = of(columns.map((values) => values[row]!));
        if (!Number.isNaN(value)) sums.set(bundleOfRow[row]!, (sums.get(bundleOfRow[row]!) ?? 0) + value);
      }
      return { bundles: [...sums.keys()], values: [...sums.values()] };
    });
  };
}
