import type * as Tf from '@tensorflow/tfjs-core';
import { intOf, intsOf } from '../../../core/graph/attributes';
import type { DType } from '../../../core/graph/tensor';
import type { Lowering, LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, tfType, type TfModule, type Value } from '../value';

export const reductions: LoweringFamily = {
  lowerings: {
    ReduceSum: reduce((tf, x, axes) => tf.sum(x, axes, true), 0),
    ReduceMean: reduce((tf, x, axes) => tf.mean(x, axes, true), NaN),
    ReduceMax: reduce((tf, x, axes) => tf.max(x, axes, true), -Infinity),
    ReduceMin: reduce((tf, x, axes) => tf.min(x, axes, true), Infinity),
    ReduceProd: reduce((tf, x, axes) => tf.prod(x, axes, true), 1),
    ReduceL1: reduce((tf, x, axes) => tf.sum(tf.abs(x), axes, true), 0),
    ReduceL2: reduce((tf, x, axes) => tf.sqrt(tf.sum(tf.mul(x, x), axes, true)), 0),
    ReduceLogSum: reduce((tf, x, axes) => tf.log(tf.sum(x, axes, true)), -Infinity),
    ReduceSumSquare: reduce((tf, x, axes) => tf.sum(tf.mul(x, x), axes, true), 0),
    ReduceLogSumExp: reduce((tf, x, axes) => {
      const largest = tf.max(x, axes, true);
      return tf.add(tf.log(tf.sum(tf.exp(tf.sub(x, largest)), axes, true)), largest);
    }, -Infinity),
    ArgMax: extreme((tf, x, axis) => tf.argMax(x, axis)),
    ArgMin: extreme((tf, x, axis) => tf.argMin(x, axis)),
  },
};

type Reduce = (tf: TfModule, x: Tf.Tensor, axes: number[]) => Tf.Tensor;

/** `ofNothing` is the result over no elements, which the kernels leave to chance. */
function reduce(apply: Reduce, ofNothing: number): Lowering {
  return (context) => {
    const { node, tf } = context;
    const x = context.input(0);
    const rank = x.order.length;
    // Attributes until operator set 18 (13 for sums), an input since.
    const listed = context.numbers(1) ?? intsOf(node, 'axes');
    if (!listed?.length && intOf(node, 'noop_with_empty_axes', 0) === 1) return context.like(x, x.tensor);
    const axes = listed?.length ? listed.map((axis) => context.axis(axis, rank)) : inOrder(rank);
    const positions = axes.map((axis) => x.order.indexOf(axis));
    const shape = x.tensor.shape.map((size, position) => positions.includes(position) ? 1 : size);
    const result = x.tensor.size === 0 ? tf.fill(shape, ofNothing, tfType(x.dtype)) : context.cast(apply(tf, x.tensor, positions), x.dtype);
    return intOf(node, 'keepdims', 1) === 1 ? context.like(x, result) : without(context, x, result, axes, x.dtype);
  };
}

function extreme(apply: (tf: TfModule, x: Tf.Tensor, axis: number) => Tf.Tensor): Lowering {
  return (context) => {
    const { node, tf } = context;
    const x = context.input(0);
    const axis = context.axis(intOf(node, 'axis', 0), x.order.length);
    const position = x.order.indexOf(axis);
    const size = x.tensor.shape[position]!;
    const last = intOf(node, 'select_last_index', 0) === 1;
    const found = apply(tf, last ? tf.reverse(x.tensor, position) : x.tensor, position);
    const index = last ? tf.sub(tf.scalar(size - 1, 'int32'), found) : found;
    const kept = context.like(x, tf.expandDims(index, position), 'int64');
    return intOf(node, 'keepdims', 1) === 1 ? kept : without(context, x, kept.tensor, [axis], 'int64');
  };
}

/** Leaves out axes of one element, in memory and in the numbering. */
function without(context: LoweringContext, x: Value, tensor: Tf.Tensor, axes: readonly number[], dtype: DType): Value {
  const kept = x.order.filter((axis) => !axes.includes(axis));
  const shape = tensor.shape.filter((_, position) => !axes.includes(x.order[position]!));
  const order = kept.map((axis) => axis - axes.filter((gone) => gone < axis).length);
  return context.value(context.tf.reshape(tensor, shape), dtype, order);
}
