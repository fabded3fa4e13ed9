import type * as Tf from '@tensorflow/tfjs-core';
import { floatOf, stringOf } from '../../../core/graph/attributes';
import type { GraphNode } from '../../../core/graph/modelGraph';
import type { Lowering, LoweringContext, LoweringFamily } from '../loweringContext';
import type { TfModule } from '../value';

/** Functions of each element alone; the layout stays. */
export const activations: LoweringFamily = {
  lowerings: {
    Relu: unary((tf, x) => tf.relu(x)),
    LeakyRelu: unary((tf, x, node) => tf.leakyRelu(x, floatOf(node, 'alpha', 0.01))),
    Elu: unary((tf, x, node) => negativePart(tf, x, (rest) => tf.mul(tf.sub(tf.exp(rest), 1), floatOf(node, 'alpha', 1)))),
    Celu: unary((tf, x, node) => {
      const alpha = floatOf(node, 'alpha', 1);
      return negativePart(tf, x, (rest) => tf.mul(tf.sub(tf.exp(tf.div(rest, alpha)), 1), alpha));
    }),
    Selu: unary((tf, x, node) => {
      const alpha = floatOf(node, 'alpha', 1.6732631921768188);
      const rest = negativePart(tf, x, (part) => tf.mul(tf.sub(tf.exp(part), 1), alpha));
      return tf.mul(rest, floatOf(node, 'gamma', 1.0507010221481323));
    }),
    ThresholdedRelu: unary((tf, x, node) => tf.where(tf.greater(x, floatOf(node, 'alpha', 1)), x, tf.zerosLike(x))),
    Sigmoid: unary((tf, x) => tf.sigmoid(x)),
    HardSigmoid: unary((tf, x, node) =>
      tf.clipByValue(tf.add(tf.mul(x, floatOf(node, 'alpha', 0.2)), floatOf(node, 'beta', 0.5)), 0, 1)),
    HardSwish: unary((tf, x) => tf.mul(x, tf.clipByValue(tf.add(tf.div(x, 6), 0.5), 0, 1))),
    Tanh: unary((tf, x) => tf.tanh(x)),
    Softplus: unary((tf, x) => softplus(tf, x)),
    Softsign: unary((tf, x) => tf.div(x, tf.add(tf.abs(x), 1))),
    Mish: unary((tf, x) => tf.mul(x, tf.tanh(softplus(tf, x)))),
    Gelu: unary((tf, x, node) => stringOf(node, 'approximate', 'none') === 'tanh' ? geluTanh(tf, x)
      : tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.div(x, Math.SQRT2)), 1))),
    Erf: unary((tf, x) => tf.erf(x)),
    Exp: unary((tf, x) => tf.exp(x)),
    Log: unary((tf, x) => tf.log(x)),
    Sqrt: unary((tf, x) => tf.sqrt(x)),
    Abs: unary((tf, x) => tf.abs(x)),
    Neg: unary((tf, x) => tf.mul(x, tf.scalar(-1, x.dtype as 'float32'))),
    Reciprocal: unary((tf, x) => tf.div(1, x)),
    Floor: unary((tf, x) => tf.floor(x)),
    Ceil: unary((tf, x) => tf.ceil(x)),
    Round: unary((tf, x) => tf.round(x)),
    Sign: unary((tf, x) => tf.sign(x)),
    Sin: unary((tf, x) => tf.sin(x)),
    Cos: unary((tf, x) => tf.cos(x)),
    Tan: unary((tf, x) => tf.tan(x)),
    Asin: unary((tf, x) => tf.asin(x)),
    Acos: unary((tf, x) => tf.acos(x)),
    Atan: unary((tf, x) => tf.atan(x)),
    Sinh: unary((tf, x) => tf.sinh(x)),
    Cosh: unary((tf, x) => tf.cosh(x)),
    Asinh: unary((tf, x) => tf.asinh(x)),
    Acosh: unary((tf, x) => tf.acosh(x)),
    Atanh: unary((tf, x) => tf.atanh(x)),
    Shrink: unary((tf, x, node) => {
      const edge = floatOf(node, 'lambd', 0.5);
      const bias = floatOf(node, 'bias', 0);
      const above = tf.where(tf.greater(x, edge), tf.sub(x, bias), tf.zerosLike(x));
      return tf.where(tf.less(x, -edge), tf.add(x, bias), above);
    }),
    IsNaN: (context) => context.like(context.input(0), context.tf.isNaN(context.input(0).tensor), 'bool'),
    Not: (context) => context.like(context.input(0), context.tf.logicalNot(context.input(0).tensor), 'bool'),
    Clip(context) {
      const x = context.input(0);
      const low = context.numbers(1)?.[0];
      const high = context.numbers(2)?.[0];
      let { tensor } = x;
      if (low !== undefined) tensor = context.tf.maximum(tensor, context.tf.scalar(low, tensor.dtype as 'float32'));
      if (high !== undefined) tensor = context.tf.minimum(tensor, context.tf.scalar(high, tensor.dtype as 'float32'));
      return context.like(x, tensor);
    },
    PRelu(context) {
      const { tensors: [x, slope], order } = context.aligned([context.input(0), context.input(1)]);
      // The kernel on WebAssembly takes the slope as if it had the shape of x.
      const { tf } = context;
      return context.value(tf.where(tf.less(x!, 0), tf.mul(x!, slope!), x!), context.input(0).dtype, order);
    },
  },
};

type Unary = (tf: TfModule, x: Tf.Tensor, node: GraphNode) => Tf.Tensor;

function unary(apply: Unary): Lowering {
  return (context: LoweringContext) => context.like(context.input(0), apply(context.tf, context.input(0).tensor, context.node));
}

/** x where it is positive, else f(x); f sees no positive number, so that it cannot overflow. */
function negativePart(tf: TfModule, x: Tf.Tensor, apply: (rest: Tf.Tensor) => Tf.Tensor): Tf.Tensor {
  return tf.where(tf.greater(x, 0), x, apply(tf.minimum(x, 0)));
}

/** max(x, 0) + log(1 + exp(-|x|)), which neither overflows nor loses small values as the kernel of TensorFlow.js does. */
function softplus(tf: TfModule, x: Tf.Tensor): Tf.Tensor {
  return tf.add(tf.maximum(x, 0), tf.log1p(tf.exp(tf.neg(tf.abs(x)))));
}

function geluTanh(tf: TfModule, x: Tf.Tensor): Tf.Tensor {
  const bent = tf.add(x, tf.mul(tf.mul(tf.mul(x, x), x), 0.044715));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(bent, Math.sqrt(2 / Math.PI))), 1));
}
