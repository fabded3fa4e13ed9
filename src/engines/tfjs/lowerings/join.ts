import type * as Tf from '@tensorflow/tfjs-core';
import { intOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, type Value } from '../value';

/** Concat, Split and Slice: cutting along axes without changing the layout. */
export const join: LoweringFamily = {
  lowerings: {
    Concat(context) {
      const first = context.input(0);
      const axis = context.axis(intOf(context.node, 'axis', 0), first.order.length);
      const parts = Array.from({ length: context.inputCount }, (_, index) => context.laidOut(context.input(index), first.order));
      const filled = parts.filter((part) => part.size > 0);
      return context.like(first, filled.length ? context.tf.concat(filled, first.order.indexOf(axis)) : parts[0]!);
    },
    Split: split,
    Slice: slice,
  },
};

function split(context: LoweringContext): readonly Value[] {
  const { node } = context;
  const x = context.input(0);
  const shape = shapeOf(x);
  const axis = context.axis(intOf(node, 'axis', 0), shape.length);
  const count = intOf(node, 'num_outputs', node.outputs.length);
  const each = Math.ceil(shape[axis]! / count);
  const sizes = context.numbers(1)
    ?? Array.from({ length: count }, (_, index) => Math.max(0, Math.min(each, shape[axis]! - index * each)));
  let begin = 0;
  return sizes.map((size) => {
    const part = cut(context, x.tensor, x.order.indexOf(axis), begin, size);
    begin += size;
    return context.like(x, part);
  });
}

function cut(context: LoweringContext, tensor: Tf.Tensor, position: number, begin: number, size: number): Tf.Tensor {
  const { tf } = context;
  const { shape, rank } = tensor;
  if (rank <= 4) {
    const begins = shape.map((_, axis) => axis === position ? begin : 0);
    return tf.slice(tensor, begins, shape.map((whole, axis) => axis === position ? size : whole));
  }
  // The kernel on WebAssembly goes wrong with many axes; those around the cut may as well be one each.
  const count = (sizes: readonly number[]): number => sizes.reduce((product, one) => product * one, 1);
  const [outer, inner] = [count(shape.slice(0, position)), count(shape.slice(position + 1))];
  const part = tf.slice(tf.reshape(tensor, [outer, shape[position]!, inner]), [0, begin, 0], [outer, size, inner]);
  return tf.reshape(part, shape.map((whole, axis) => axis === position ? size : whole));
}

function slice(context: LoweringContext): Value {
  const { tf } = context;
  const x = context.input(0);
  const shape = shapeOf(x);
  const starts = context.numbers(1) ?? [];
  const ends = context.numbers(2) ?? [];
  const axes = context.numbers(3) ?? starts.map((_, axis) => axis);
  const steps = context.numbers(4) ?? starts.map(() => 1);
  let { tensor } = x;
  axes.forEach((wanted, index) => {
    const axis = context.axis(wanted, shape.length);
    const size = shape[axis]!;
    const step = steps[index]!;
    const clamp = (value: number): number => {
      const from = value < 0 ? value + size : value;
      return step > 0 ? Math.min(Math.max(from, 0), size) : Math.min(Math.max(from, -1), size - 1);
    };
    const start = step > 0 ? clamp(starts[index]!) : Math.max(clamp(starts[index]!), -1);
    const end = clamp(ends[index]!);
    const count = Math.max(0, Math.ceil((end - start) / step));
    const position = x.order.indexOf(axis);
    if (step === 1) {
      tensor = cut(context, tensor, position, count ? start : 0, count);
    } else {
      const picked = Array.from({ length: count }, (_, at) => start + at * step);
      tensor = count ? tf.gather(tensor, tf.tensor1d(picked, 'int32'), position) : cut(context, tensor, position, 0, 0);
    }
  });
  return context.like(x, tensor);
}
