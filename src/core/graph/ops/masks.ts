import { barriers, firstInput, firstOutput, range, sameAxes } from './axes';
import { triangleGradient } from './gradients/movement';
import type { OperatorFamily } from './operator';

/** Trilu: one triangle of every matrix, the rest zero (causal masks). */
export const masks: OperatorFamily = {
  name: 'masks',
  ops: ['Trilu'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const [x, y] = [firstInput(node), firstOutput(node)];
    const rank = context.facts(x).shape?.length ?? 0;
    const last = range(Math.max(0, rank - 2), rank);
    const reason = 'a triangle counts the rows and columns of a matrix';
    return [...sameAxes(x, y, rank, last), ...[x, y].flatMap((value) => barriers(value, last, reason))];
  },

  gradient: triangleGradient,
};
