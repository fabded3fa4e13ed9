import { intOf, withAttributes } from '../attributes';
import { firstInput, firstOutput, plain, sameAxes } from './axes';
import { batchNormGradient } from './gradients/normalisation';
import type { OperatorFamily } from './operator';

/** Batch normalisation at inference: per channel (axis 1), so that it belongs to the particle it normalises. */
export const batchNorm: OperatorFamily = {
  name: 'batchNorm',
  ops: ['BatchNormalization'],

  upgrade(node, { fromOpset }) {
    // Per-element statistics (spatial = 0) were never exported by trainers, and have no later form.
    if (intOf(node, 'spatial', 1) === 0) throw new RangeError('statistics for every element are not supported');
    const next = withAttributes(node, { drop: ['consumed_inputs', 'is_test', 'spatial'] });
    return [fromOpset < 14 ? { ...next, outputs: next.outputs.slice(0, 1) } : next];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const statistics = { dtype, shape: context.facts(node.inputs[1] ?? '').shape };
    return [{ dtype, shape }, statistics, statistics];
  },

  flow(node, context) {
    const rank = context.facts(firstInput(node)).shape?.length ?? 0;
    const y = firstOutput(node);
    return [
      ...sameAxes(firstInput(node), y, rank),
      ...node.inputs.slice(1).filter(Boolean).map((parameter) => plain(parameter, 0, y, 1)),
      ...node.outputs.slice(1).filter(Boolean).map((statistic) => plain(statistic, 0, y, 1)),
    ];
  },

  gradient: batchNormGradient,
};
