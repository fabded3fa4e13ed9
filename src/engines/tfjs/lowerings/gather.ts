import { intOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, type Value } from '../value';

export const gather: LoweringFamily = {
  lowerings: {
    Gather(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const indices = context.input(1);
      const shape = shapeOf(x);
      const axis = context.axis(intOf(node, 'axis', 0), shape.length);
      const size = shape[axis]!;
      const at = indexTensor(context, indices, size);
      if (indices.order.length === 1) return context.like(x, tf.gather(x.tensor, at, x.order.indexOf(axis)));
      return context.value(tf.gather(context.plain(x), at, axis), x.dtype);
    },
  },
};

/** Negative indices count from the end; others outside the axis are refused, since the kernels do not look. */
function indexTensor(context: LoweringContext, indices: Value, size: number) {
  const { tf } = context;
  const plain = context.plain(indices);
  const numbers = indices.numbers ?? plain.dataSync();
  let negative = false;
  for (const index of numbers) {
    if (index < -size || index >= size) context.fail(`index ${index} does not exist among ${size}`);
    negative ||= index < 0;
  }
  if (!negative) return context.cast(plain, 'int32');
  return tf.tensor(Int32Array.from(numbers, (index) => index < 0 ? index + size : index), plain.shape, 'int32');
}
