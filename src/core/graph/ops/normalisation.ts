import { intOf, withAttributes } from '../attributes';
import { barriers, firstInput, firstOutput, plain, range, sameAxes } from './axes';
import { normalisationGradient } from './gradients/normalisation';
import type { OperatorFamily } from './operator';

/** Normalisations that mix elements: what they average over must stay as it is. */
export const normalisation: OperatorFamily = {
  name: 'normalisation',
  ops: ['InstanceNormalization', 'LayerNormalization', 'GroupNormalization', 'LRN', 'LpNormalization', 'MeanVarianceNormalization'],

  upgrade(node) {
    return [withAttributes(node, { drop: ['consumed_inputs'] })];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (node.op !== 'LayerNormalization') return [{ dtype, shape }];
    const axis = intOf(node, 'axis', -1);
    const first = shape && (axis < 0 ? axis + shape.length : axis);
    const statistics = { shape: shape?.map((dim, index) => (index >= first! ? 1 : dim)) };
    return [{ dtype, shape }, statistics, statistics];
  },

  flow(node, context) {
    const [x = '', ...parameters] = node.inputs;
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    const mixed = mixedAxes(node.op, intOf(node, 'axis', -1), rank);
    const reason = `${node.op} mixes the elements of this axis`;
    return [
      ...sameAxes(x, y, rank, mixed),
      ...[x, y].flatMap((value) => barriers(value, mixed, reason)),
      ...parameters.filter(Boolean).flatMap((parameter) => node.op === 'InstanceNormalization'
        ? [plain(parameter, 0, y, 1)]
        : barriers(parameter, range(0, context.facts(parameter).shape?.length ?? 0), reason)),
    ];
  },

  gradient: normalisationGradient,
};

function mixedAxes(op: string, axis: number, rank: number): number[] {
  if (op === 'InstanceNormalization') return range(2, rank);
  if (op === 'LRN') return [1];
  if (op === 'LpNormalization') return [axis < 0 ? axis + rank : axis];
  if (op === 'LayerNormalization') return range(axis < 0 ? axis + rank : axis, rank);
  if (op === 'GroupNormalization') return range(1, rank);
  return range(0, rank);
}
