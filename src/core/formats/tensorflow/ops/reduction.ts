import { int } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';

export const reductionOps: OpGroup = {
  Mean: (context) => reduce(context, 'ReduceMean'),
  Sum: (context) => reduce(context, 'ReduceSum'),
  Max: (context) => reduce(context, 'ReduceMax'),
  Min: (context) => reduce(context, 'ReduceMin'),
  Prod: (context) => reduce(context, 'ReduceProd'),
  EuclideanNorm: (context) => reduce(context, 'ReduceL2'),
  ArgMax: (context) => arg(context, 'ArgMax'),
  ArgMin: (context) => arg(context, 'ArgMin'),
};

function reduce(context: OpContext, op: string): string | readonly string[] {
  const axes = context.constant(1);
  if (!axes) return context.opaque('its axes are computed');
  const keep = context.flag('keep_dims', false) || context.flag('keepdims', false);
  return context.add(op, [context.input(0), context.int64('axes', axes)], {
    keepdims: int(keep ? 1 : 0), ...(axes.length === 0 && { noop_with_empty_axes: int(1) }),
  });
}

function arg(context: OpContext, op: string): string | readonly string[] {
  const [axis] = context.constant(1) ?? [];
  return axis === undefined ? context.opaque('its axis is computed') : context.add(op, [context.input(0)], { axis: int(axis), keepdims: int(0) });
}
