import { intOf } from '../attributes';
import { barriers, firstInput, range } from './axes';
import { scatterGradient } from './gradients/scatter';
import type { OperatorFamily } from './operator';

/** Picking and placing elements by their numbers: no axis can lose an index without the numbers being wrong. */
export const scatter: OperatorFamily = {
  name: 'scatter',
  ops: ['GatherElements', 'GatherND', 'Scatter', 'ScatterElements', 'ScatterND'],

  upgrade(node) {
    return [node.op === 'Scatter' ? { ...node, op: 'ScatterElements' } : node];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const indices = context.facts(node.inputs[1] ?? '').shape;
    if (node.op === 'GatherElements') return [{ dtype, shape: indices }];
    if (node.op !== 'GatherND') return [{ dtype, shape }];
    const depth = indices?.at(-1);
    if (!shape || !indices || typeof depth !== 'number') return [{ dtype }];
    return [{ dtype, shape: [...indices.slice(0, -1), ...shape.slice(intOf(node, 'batch_dims', 0) + depth)] }];
  },

  flow(node, context) {
    return [...node.inputs, ...node.outputs].flatMap((value) =>
      barriers(value, range(0, context.facts(value).shape?.length ?? 0), `${node.op} finds elements by their numbers`));
  },

  gradient: scatterGradient,
};
