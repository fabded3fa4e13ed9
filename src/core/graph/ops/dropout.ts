import { floatOf, hasAttribute, withAttributes } from '../attributes';
import { firstInput, sameAxes } from './axes';
import { dropoutGradient } from './gradients/movement';
import type { OperatorFamily } from './operator';

/** Dropout, which does nothing at inference. */
export const dropout: OperatorFamily = {
  name: 'dropout',
  ops: ['Dropout'],

  upgrade(node, context) {
    const bare = withAttributes(node, { drop: ['consumed_inputs', 'is_test', 'ratio'] });
    if (context.fromOpset >= 12 || !hasAttribute(node, 'ratio')) return [bare];
    return [{ ...bare, inputs: [firstInput(node), context.float32('ratio', [floatOf(node, 'ratio', 0.5)], [])] }];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }, { dtype: 'bool', shape }];
  },

  flow(node, context) {
    const rank = context.facts(firstInput(node)).shape?.length ?? 0;
    return node.outputs.filter(Boolean).flatMap((output) => sameAxes(firstInput(node), output, rank));
  },

  gradient: dropoutGradient,
};
