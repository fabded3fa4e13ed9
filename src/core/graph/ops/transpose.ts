import { intsOf } from '../attributes';
import type { GraphNode } from '../modelGraph';
import { firstInput, firstOutput, normalAxis, plain } from './axes';
import { transposeGradient } from './gradients/movement';
import type { OperatorFamily } from './operator';

/** Transpose: output axis k is input axis perm[k]. */
export const transpose: OperatorFamily = {
  name: 'transpose',
  ops: ['Transpose'],

  shape(node, context) {
    const { dtype, shape, constant, fill } = context.facts(firstInput(node));
    if (!shape) return [{ dtype }];
    const out = permOf(node, shape.length).map((axis) => shape[normalAxis(axis, shape.length)]!);
    return [{ dtype, shape: out, constant: shape.length <= 1 ? constant : undefined, fill }];
  },

  flow(node, context) {
    const rank = context.facts(firstInput(node)).shape?.length ?? 0;
    return permOf(node, rank).map((axis, index) => plain(firstInput(node), axis, firstOutput(node), index));
  },

  gradient: transposeGradient,
};

function permOf(node: GraphNode, rank: number): readonly number[] {
  return intsOf(node, 'perm') ?? Array.from({ length: rank }, (_, index) => rank - 1 - index);
}
