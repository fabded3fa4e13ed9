import { int, intsOf, floatOf, withAttributes } from '../attributes';
import { barriers, firstInput, plain, range } from './axes';
import { poolingGradient } from './gradients/pooling';
import type { OperatorFamily } from './operator';
import { slidOver, windowsOf } from './windows';

/** Pooling over the spatial axes; channels stay apart. */
export const pooling: OperatorFamily = {
  name: 'pooling',
  ops: ['MaxPool', 'AveragePool', 'LpPool', 'GlobalMaxPool', 'GlobalAveragePool', 'GlobalLpPool'],

  upgrade(node) {
    // The exponent was a float at first.
    return [node.op.endsWith('LpPool') && node.attributes['p']
      ? withAttributes(node, { set: { p: int(Math.round(floatOf(node, 'p', 2))) } })
      : node];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (!shape) return [{ dtype }, { dtype: 'int64' }];
    const spatial = shape.slice(2);
    const kernel = intsOf(node, 'kernel_shape') ?? [];
    const pooled = node.op.startsWith('Global')
      ? spatial.map(() => 1)
      : slidOver(spatial, kernel, windowsOf(node, spatial.length));
    const out = [...shape.slice(0, 2), ...pooled];
    return [{ dtype, shape: out }, { dtype: 'int64', shape: out }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    return [x, ...node.outputs.filter(Boolean)].flatMap((value) => [
      ...(value === x ? [] : [plain(x, 0, value, 0), plain(x, 1, value, 1)]),
      ...barriers(value, range(2, rank), 'pooling slides over this axis'),
    ]);
  },

  gradient: poolingGradient,
};
