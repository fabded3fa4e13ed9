import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { estimateLosses } from './lossEstimate';

/** What exact ablation would find, from a few backward passes; see lossEstimate.ts for how. */
export const estimates: BehaviourFamily = {
  needsLabels: true,
  onRequest: true,
  columns: [
    {
      name: 'estimatedLossChange', title: 'Loss without it (estimate)', unit: '', scale: 'diverging', exact: false, estimateOf: 'ablationLossChange',
      meaning: 'Estimated change of the loss when the particle\'s output is set to zero; above 0 it is needed.',
    },
    {
      name: 'estimatedMetricChange', title: 'Metric without it (estimate)', unit: '', scale: 'diverging', exact: false, estimateOf: 'ablationMetricChange',
      meaning: 'Estimated change of the metric that decides (accuracy, or an error such as rmse, where above 0 is worse) when the particle\'s output is set to zero.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { loss, metric, measured } = await estimateLosses(context, chosenGroups(context));
  for (const values of [loss, metric]) measuredRows.set(values, measured);
  return [loss, metric];
}

const measuredRows = new WeakMap<Float32Array, ReadonlySet<number>>();

/** Rows of an estimate column that hold exact values, which say nothing of how good the estimates are. */
export function measuredRowsOf(values: Float32Array): ReadonlySet<number> {
  return measuredRows.get(values) ?? new Set();
}
