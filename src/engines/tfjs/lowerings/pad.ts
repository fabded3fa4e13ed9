import type * as Tf from '@tensorflow/tfjs-core';
import { stringOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, type Value } from '../value';

export const pad: LoweringFamily = {
  lowerings: {
    Pad(context) {
      const x = context.input(0);
      const shape = shapeOf(x);
      const pads = context.numbers(1) ?? context.fail('its padding is missing');
      const axes = (context.numbers(3) ?? shape.map((_, axis) => axis)).map((axis) => context.axis(axis, shape.length));
      const amounts = shape.map((_, axis): [number, number] => {
        const index = axes.indexOf(axis);
        return index < 0 ? [0, 0] : [pads[index]!, pads[index + axes.length]!];
      });
      const mode = stringOf(context.node, 'mode', 'constant');
      const inMemory = x.order.map((axis) => amounts[axis]!);
      return mode === 'constant' ? constant(context, x, inMemory) : byIndex(context, x, inMemory, mode);
    },
  },
};

function constant(context: LoweringContext, x: Value, amounts: readonly [number, number][]): Value {
  const { tf } = context;
  const { tensor } = x;
  // Negative amounts cut.
  const begins = amounts.map(([before]) => Math.max(0, -before));
  const sizes = tensor.shape.map((size, axis) => size - begins[axis]! - Math.max(0, -amounts[axis]![1]));
  const cut = amounts.flat().some((amount) => amount < 0) ? tf.slice(tensor, begins, sizes) : tensor;
  const filled = amounts.map(([before, after]): [number, number] => [Math.max(0, before), Math.max(0, after)]);
  return context.like(x, tf.pad(cut, filled, context.numbers(2)?.[0] ?? 0));
}

/** reflect, edge and wrap: every axis picks existing elements. */
function byIndex(context: LoweringContext, x: Value, amounts: readonly [number, number][], mode: string): Value {
  const { tf } = context;
  let tensor: Tf.Tensor = x.tensor;
  amounts.forEach(([before, after], axis) => {
    if (before === 0 && after === 0) return;
    const size = tensor.shape[axis]!;
    const picked = Array.from({ length: before + size + after }, (_, index) => source(index - before, size, mode));
    tensor = tf.gather(tensor, tf.tensor1d(picked, 'int32'), axis);
  });
  return context.like(x, tensor);
}

function source(index: number, size: number, mode: string): number {
  if (mode === 'edge') return Math.min(Math.max(index, 0), size - 1);
  if (mode === 'wrap') return ((index % size) + size) % size;
  const period = Math.max(1, 2 * (size - 1));
  const folded = ((index % period) + period) % period;
  return folded < size ? folded : period - folded;
}
