import { intOf } from '../../../core/graph/attributes';
import type { LoweringFamily } from '../loweringContext';

export const masks: LoweringFamily = {
  lowerings: {
    Trilu(context) {
      const { tf, node } = context;
      const x = context.input(0);
      const plain = context.plain(x);
      const [rows, columns] = plain.shape.slice(-2) as [number, number];
      const shift = context.numbers(1)?.[0] ?? 0;
      const upper = intOf(node, 'upper', 1) === 1;
      const down = tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]);
      const across = tf.reshape(tf.range(0, columns, 1, 'int32'), [1, columns]);
      const bound = tf.add(down, tf.scalar(Math.max(-rows, Math.min(columns, shift)), 'int32'));
      const kept = tf.broadcastTo(upper ? tf.greaterEqual(across, bound) : tf.lessEqual(across, bound), plain.shape);
      // Not by multiplication: the triangle that goes may hold infinities.
      const zero = tf.zerosLike(plain);
      if (plain.dtype === 'bool') return context.value(tf.logicalAnd(plain, kept), x.dtype);
      return context.value(tf.where(kept, plain, zero), x.dtype);
    },
  },
};
