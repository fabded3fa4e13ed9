import { intOf, intsOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, shapeOf, type Value } from '../value';

/** Other shapes for the same elements. Only Reshape and Flatten may have to move them. */
export const reshape: LoweringFamily = {
  lowerings: {
    Transpose(context) {
      const x = context.input(0);
      const perm = intsOf(context.node, 'perm') ?? inOrder(x.order.length).reverse();
      return { tensor: x.tensor, dtype: x.dtype, order: x.order.map((axis) => perm.indexOf(axis)) };
    },
    Reshape(context) {
      const x = context.input(0);
      const shape = shapeOf(x);
      const target = context.numbers(1) ?? context.fail('its target shape is missing');
      const zeroIsEmpty = intOf(context.node, 'allowzero', 0) === 1;
      const sizes = target.map((size, axis) => size === 0 && !zeroIsEmpty ? shape[axis]! : size);
      const known = sizes.filter((size) => size !== -1).reduce((product, size) => product * size, 1);
      return context.value(context.tf.reshape(context.plain(x), sizes.map((size) => size === -1 ? x.tensor.size / known : size)), x.dtype);
    },
    Flatten(context) {
      const x = context.input(0);
      const shape = shapeOf(x);
      const axis = intOf(context.node, 'axis', 1);
      const rows = shape.slice(0, axis < 0 ? axis + shape.length : axis).reduce((product, size) => product * size, 1);
      const columns = rows === 0 ? 0 : x.tensor.size / rows;
      return context.value(context.tf.reshape(context.plain(x), [rows, columns]), x.dtype);
    },
    Squeeze(context) {
      const x = context.input(0);
      const shape = shapeOf(x);
      const listed = context.numbers(1) ?? intsOf(context.node, 'axes');
      const axes = listed?.map((axis) => context.axis(axis, shape.length)) ?? inOrder(shape.length).filter((axis) => shape[axis] === 1);
      return renumbered(context, x, inOrder(shape.length).filter((axis) => !axes.includes(axis)), shape.length - axes.length);
    },
    Unsqueeze(context) {
      const x = context.input(0);
      const listed = context.numbers(1) ?? intsOf(context.node, 'axes') ?? context.fail('its axes are missing');
      const rank = x.order.length + listed.length;
      const axes = listed.map((axis) => context.axis(axis, rank));
      const places = inOrder(rank).filter((axis) => !axes.includes(axis));
      const positions = [...x.order.map((axis) => places[axis]!), ...axes];
      return context.value(context.tf.reshape(x.tensor, [...x.tensor.shape, ...axes.map(() => 1)]), x.dtype, positions);
    },
    Expand(context) {
      const x = context.input(0);
      const target = context.numbers(1) ?? context.fail('its target shape is missing');
      const shape = shapeOf(x);
      const rank = Math.max(target.length, shape.length);
      const sizes = inOrder(rank).map((axis) => {
        const wanted = target[axis - rank + target.length] ?? 1;
        const own = shape[axis - rank + shape.length] ?? 1;
        return wanted === 1 ? own : wanted;
      });
      return context.value(context.tf.broadcastTo(context.plain(x), sizes), x.dtype);
    },
    Tile(context) {
      const x = context.input(0);
      const times = context.numbers(1) ?? context.fail('its repeats are missing');
      return context.like(x, context.tf.tile(x.tensor, x.order.map((axis) => times[axis]!)));
    },
  },
};

/** Keeps some axes (the others have one element); the layout stays. */
function renumbered(context: LoweringContext, x: Value, kept: readonly number[], rank: number): Value {
  const positions = inOrder(x.order.length).filter((position) => kept.includes(x.order[position]!));
  const shape = positions.map((position) => x.tensor.shape[position]!);
  if (kept.length !== rank || shape.reduce((product, size) => product * size, 1) !== x.tensor.size) {
    context.fail('it squeezes an axis that has more than one element');
  }
  return context.value(context.tf.reshape(x.tensor, shape), x.dtype, positions.map((position) => kept.indexOf(x.order[position]!)));
}
