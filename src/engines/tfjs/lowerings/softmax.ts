import type * as Tf from '@tensorflow/tfjs-core';
import { intOf } from '../../../core/graph/attributes';
import type { Lowering, LoweringFamily } from '../loweringContext';
import { type TfModule } from '../value';

/** Since operator set 13 these look at one axis. */
export const softmax: LoweringFamily = {
  lowerings: {
    Softmax: onAxis((tf, x, axis) => {
      const powers = tf.exp(tf.sub(x, tf.max(x, axis, true)));
      return tf.div(powers, tf.sum(powers, axis, true));
    }),
    LogSoftmax: onAxis((tf, x, axis) => {
      const shifted = tf.sub(x, tf.max(x, axis, true));
      return tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), axis, true)));
    }),
    Hardmax: onAxis((tf, x, axis) => {
      const size = x.shape[axis]!;
      const places = tf.reshape(tf.range(0, size, 1, 'int32'), x.shape.map((_, other) => other === axis ? size : 1));
      return tf.cast(tf.equal(places, tf.expandDims(tf.argMax(x, axis), axis)), 'float32');
    }),
  },
};

function onAxis(apply: (tf: TfModule, x: Tf.Tensor, axis: number) => Tf.Tensor): Lowering {
  return (context) => {
    const x = context.input(0);
    const axis = context.axis(intOf(context.node, 'axis', -1), x.order.length);
    return context.like(x, apply(context.tf, x.tensor, x.order.indexOf(axis)));
  };
}
