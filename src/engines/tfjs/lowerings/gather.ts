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
    GatherElements(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const plain = context.plain(x);
      const indices = context.plain(context.input(1));
      const axis = context.axis(intOf(node, 'axis', 0), plain.rank);
      const numbers = context.numbers(1)!;
      const [from, to] = [stridesOf(plain.shape), stridesOf(indices.shape)];
      const size = plain.shape[axis]!;
      const places = Int32Array.from(numbers, (index, at) => {
        if (index < -size || index >= size) context.fail(`index ${index} does not exist among ${size}`);
        return from.reduce((place, stride, own) =>
          place + stride * (own === axis ? (index + size) % size : Math.floor(at / to[own]!) % indices.shape[own]!), 0);
      });
      const picked = tf.gather(tf.reshape(plain, [-1]), tf.tensor1d(places, 'int32'));
      return context.value(tf.reshape(picked, indices.shape), x.dtype);
    },
    GatherND(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const plain = context.plain(x);
      const indices = context.plain(context.input(1));
      const shared = intOf(node, 'batch_dims', 0);
      const depth = indices.shape.at(-1)!;
      const strides = stridesOf(plain.shape);
      const numbers = context.numbers(1)!;
      const inner = plain.shape.slice(shared + depth).reduce((product, size) => product * size, 1);
      const each = indices.shape.slice(shared, -1).reduce((product, size) => product * size, 1);
      const batchStride = plain.shape.slice(shared).reduce((product, size) => product * size, 1);
      const places = Int32Array.from({ length: numbers.length / depth }, (_, row) => {
        let place = Math.floor(row / each) * batchStride;
        for (let k = 0; k < depth; k++) {
          const size = plain.shape[shared + k]!;
          const index = numbers[row * depth + k]!;
          if (index < -size || index >= size) context.fail(`index ${index} does not exist among ${size}`);
          place += ((index + size) % size) * strides[shared + k]!;
        }
        return place / inner;
      });
      const picked = tf.gather(tf.reshape(plain, [-1, inner]), tf.tensor1d(places, 'int32'));
      return context.value(tf.reshape(picked, [...indices.shape.slice(0, -1), ...plain.shape.slice(shared + depth)]), x.dtype);
    },
  },
};

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

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
