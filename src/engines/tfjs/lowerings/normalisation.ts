import type * as Tf from '@tensorflow/tfjs-core';
import { floatOf, intOf, intsOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, shapeOf, type Value } from '../value';

export const normalisation: LoweringFamily = {
  lowerings: {
    BatchNormalization: batchNormalization,
    InstanceNormalization: (context) => groupNormalization(context, shapeOf(context.input(0))[1]!, 1e-5),
    GroupNormalization: (context) => groupNormalization(context, intOf(context.node, 'num_groups', 1), 1e-5),
    LayerNormalization: layerNormalization,
    LRN: localResponse,
    LpNormalization(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const axis = x.order.indexOf(context.axis(intOf(node, 'axis', -1), x.order.length));
      const norm = intOf(node, 'p', 2) === 1
        ? tf.sum(tf.abs(x.tensor), axis, true) : tf.sqrt(tf.sum(tf.mul(x.tensor, x.tensor), axis, true));
      return context.like(x, tf.divNoNan(x.tensor, norm));
    },
    MeanVarianceNormalization(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const axes = (intsOf(node, 'axes') ?? [0, 2, 3]).map((axis) => x.order.indexOf(context.axis(axis, x.order.length)));
      const centred = tf.sub(x.tensor, tf.mean(x.tensor, axes, true));
      const deviation = tf.sqrt(tf.mean(tf.mul(centred, centred), axes, true));
      return context.like(x, tf.div(centred, tf.add(deviation, 1e-9)));
    },
  },
  refuses(node) {
    const training = node.op === 'BatchNormalization' && intOf(node, 'training_mode', 0) === 1;
    return training ? 'it is in training mode' : undefined;
  },
};

function batchNormalization(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.input(0);
  const [scale, shift, mean, variance] = [1, 2, 3, 4].map((index) => context.plain(context.input(index)));
  const factor = tf.div(scale!, tf.sqrt(tf.add(variance!, floatOf(node, 'epsilon', 1e-5))));
  const addend = tf.sub(shift!, tf.mul(mean!, factor));
  return context.like(x, tf.add(tf.mul(x.tensor, onChannels(context, x, factor)), onChannels(context, x, addend)));
}

/** A vector over axis 1 of a value, shaped to broadcast in that value's layout. */
function onChannels(context: LoweringContext, x: Value, vector: Tf.Tensor): Tf.Tensor {
  if (x.order.length < 2) return vector;
  return context.tf.reshape(vector, x.order.map((axis) => axis === 1 ? vector.size : 1));
}

/** Scale and bias are per channel; with one channel a group this is instance normalisation. */
function groupNormalization(context: LoweringContext, groups: number, epsilon: number): Value {
  const { tf, node } = context;
  const x = context.input(0);
  const shape = shapeOf(x);
  const grouped = tf.reshape(context.plain(x), [shape[0]!, groups, -1]);
  const normal = tf.reshape(standardised(context, grouped, [2], floatOf(node, 'epsilon', epsilon)), shape);
  const plain: Value = { tensor: normal, order: inOrder(shape.length), dtype: x.dtype };
  const [scale, bias] = [context.plain(context.input(1)), context.plain(context.input(2))];
  // Up to operator set 20 GroupNormalization has one scale a group.
  const each = (vector: Tf.Tensor): Tf.Tensor => vector.size === shape[1] ? vector
    : tf.gather(vector, tf.tensor1d(inOrder(shape[1]!).map((channel) => Math.floor(channel / (shape[1]! / vector.size))), 'int32'));
  return context.like(plain, tf.add(tf.mul(normal, onChannels(context, plain, each(scale))), onChannels(context, plain, each(bias))));
}

/** Also gives the mean and the inverse deviation that it normalises with. */
function layerNormalization(context: LoweringContext): readonly Value[] {
  const { tf, node } = context;
  const tensor = context.plain(context.input(0));
  const axes = inOrder(tensor.rank).slice(context.axis(intOf(node, 'axis', -1), tensor.rank));
  const mean = tf.mean(tensor, axes, true);
  const centred = tf.sub(tensor, mean);
  const variance = tf.mean(tf.mul(centred, centred), axes, true);
  const inverse = tf.div(1, tf.sqrt(tf.add(variance, floatOf(node, 'epsilon', 1e-5))));
  const scaled = tf.mul(tf.mul(centred, inverse), context.plain(context.input(1)));
  const bias = context.optional(2);
  return [bias ? tf.add(scaled, context.plain(bias)) : scaled, mean, inverse].map((result) => context.value(result));
}

function standardised(context: LoweringContext, tensor: Tf.Tensor, axes: number[], epsilon: number): Tf.Tensor {
  const { tf } = context;
  const centred = tf.sub(tensor, tf.mean(tensor, axes, true));
  const variance = tf.mean(tf.mul(centred, centred), axes, true);
  return tf.div(centred, tf.sqrt(tf.add(variance, epsilon)));
}

/** x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta */
function localResponse(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.input(0);
  const size = intOf(node, 'size', 1);
  const position = x.order.indexOf(1);
  const channels = x.tensor.shape[position]!;
  const before = Math.floor((size - 1) / 2);
  const pads = x.order.map((axis): [number, number] => axis === 1 ? [before, size - 1 - before] : [0, 0]);
  const squares = tf.pad(tf.mul(x.tensor, x.tensor), pads);
  let sum: Tf.Tensor | undefined;
  for (let offset = 0; offset < size; offset++) {
    const begin = x.order.map((axis) => axis === 1 ? offset : 0);
    const window = tf.slice(squares, begin, squares.shape.map((whole, axis) => axis === position ? channels : whole));
    sum = sum ? tf.add(sum, window) : window;
  }
  const scaled = tf.add(tf.mul(sum!, floatOf(node, 'alpha', 1e-4) / size), floatOf(node, 'bias', 1));
  return context.like(x, tf.div(x.tensor, tf.pow(scaled, floatOf(node, 'beta', 0.75))));
}
