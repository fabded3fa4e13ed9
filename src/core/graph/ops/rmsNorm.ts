import { intOf } from '../attributes';
import { barriers, firstInput, firstOutput, normalAxis, range, sameAxes } from './axes';
import { normalisationGradient } from './gradients/normalisation';
import type { OperatorFamily } from './operator';

/** RMSNormalization: divided by the root of the mean square over the last axes, and scaled. */
export const rmsNorm: OperatorFamily = {
  name: 'rmsNorm',
  ops: ['RMSNormalization'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const [x = '', scale = ''] = node.inputs;
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    const mixed = rank ? range(normalAxis(intOf(node, 'axis', -1), rank), rank) : [];
    const reason = 'RMSNormalization mixes the elements of this axis';
    return [
      ...sameAxes(x, y, rank, mixed), ...[x, y].flatMap((value) => barriers(value, mixed, reason)),
      ...barriers(scale, range(0, context.facts(scale).shape?.length ?? 0), reason),
    ];
  },

  gradient: normalisationGradient,
};
