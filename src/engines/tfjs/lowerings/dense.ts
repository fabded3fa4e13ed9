import type * as Tf from '@tensorflow/tfjs-core';
import { floatOf, intOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { broadcastShape, shapeOf, type Value } from '../value';

export const dense: LoweringFamily = {
  lowerings: { Gemm: gemm, MatMul: matMul },
};

function gemm(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.plain(context.input(0)) as Tf.Tensor2D;
  const weight = context.plain(context.input(1)) as Tf.Tensor2D;
  const alpha = floatOf(node, 'alpha', 1);
  const beta = floatOf(node, 'beta', 1);
  const product = tf.matMul(x, weight, intOf(node, 'transA', 0) === 1, intOf(node, 'transB', 0) === 1);
  const scaled = alpha === 1 ? product : tf.mul(product, alpha);
  const bias = context.optional(2);
  if (!bias) return context.value(scaled);
  const addend = context.plain(bias);
  return context.value(tf.add(scaled, beta === 1 ? addend : tf.mul(addend, beta)));
}

/** numpy.matmul: vectors get an axis for the time being, leading axes broadcast. */
function matMul(context: LoweringContext): Value {
  const { tf } = context;
  const left = context.input(0);
  const right = context.input(1);
  const leftShape = shapeOf(left);
  const rightShape = shapeOf(right);
  const inner = leftShape[leftShape.length - 1]!;
  const a = context.plain(left);
  const b = context.plain(right);
  if (rightShape.length <= 2) {
    // One matrix for all: every row at once.
    const matrix = rightShape.length === 1 ? tf.reshape(b, [inner, 1]) : b;
    const rows = tf.matMul(tf.reshape(a, [-1, inner]) as Tf.Tensor2D, matrix as Tf.Tensor2D);
    return context.value(tf.reshape(rows, [...leftShape.slice(0, -1), ...rightShape.slice(1)]));
  }
  const vector = leftShape.length === 1;
  const rows = vector ? tf.reshape(a, [1, inner]) : a;
  // Spread out here: the kernel on WebAssembly mixes up leading axes that broadcast on both sides.
  const leading = broadcastShape(rows.shape.slice(0, -2), b.shape.slice(0, -2));
  const spread = (tensor: Tf.Tensor): Tf.Tensor => {
    const shape = [...leading, ...tensor.shape.slice(-2)];
    return shape.join() === tensor.shape.join() ? tensor : tf.broadcastTo(tensor, shape);
  };
  const product = tf.matMul(spread(rows), spread(b));
  return context.value(vector ? tf.squeeze(product, [product.rank - 2]) : product);
}
