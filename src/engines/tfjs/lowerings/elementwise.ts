import type * as Tf from '@tensorflow/tfjs-core';
import { intOf } from '../../../core/graph/attributes';
import { broadcastShape, tfType, type TfModule, type Value } from '../value';
import type { Lowering, LoweringContext, LoweringFamily } from '../loweringContext';

/** Operators of two or more tensors of the same shape, or broadcast to it. */
export const elementwise: LoweringFamily = {
  lowerings: {
    Add: arithmetic((tf, a, b) => tf.add(a, b), (a, b) => a + b),
    Sub: arithmetic((tf, a, b) => tf.sub(a, b), (a, b) => a - b),
    Mul: arithmetic((tf, a, b) => tf.mul(a, b), (a, b) => a * b),
    Div: arithmetic((tf, a, b) => tf.div(a, b), (a, b) => Math.trunc(a / b)),
    Pow: arithmetic((tf, a, b) => tf.pow(a, b), (a, b) => Math.trunc(a ** b)),
    Mod(context) {
      const truncated = intOf(context.node, 'fmod', 0) === 1;
      return arithmetic(
        // fmod takes the sign of the first operand.
        (tf, a, b) => truncated ? tf.sub(a, tf.mul(b, truncate(tf, tf.div(a, b)))) : tf.mod(a, b),
        (a, b) => truncated ? a % b : a - b * Math.floor(a / b),
      )(context);
    },
    Min: variadic((tf, a, b) => tf.minimum(a, b), Math.min),
    Max: variadic((tf, a, b) => tf.maximum(a, b), Math.max),
    Sum: variadic((tf, a, b) => tf.add(a, b), (a, b) => a + b),
    Mean(context) {
      const sum = variadic((tf, a, b) => tf.add(a, b), (a, b) => a + b)(context) as Value;
      return context.like(sum, context.tf.div(sum.tensor, context.inputCount));
    },
    Equal: comparison((tf, a, b) => tf.equal(a, b)),
    Less: comparison((tf, a, b) => tf.less(a, b)),
    LessOrEqual: comparison((tf, a, b) => tf.lessEqual(a, b)),
    Greater: comparison((tf, a, b) => tf.greater(a, b)),
    GreaterOrEqual: comparison((tf, a, b) => tf.greaterEqual(a, b)),
    And: comparison((tf, a, b) => tf.logicalAnd(a, b)),
    Or: comparison((tf, a, b) => tf.logicalOr(a, b)),
    Xor: comparison((tf, a, b) => tf.logicalXor(a, b)),
    Where(context) {
      const values = [context.input(0), context.input(1), context.input(2)];
      const { tensors: [condition, yes, no], order } = context.aligned(values);
      return context.value(context.tf.where(condition!, yes!, no!), values[1]!.dtype, order);
    },
  },
};

type Binary = (tf: TfModule, a: Tf.Tensor, b: Tf.Tensor) => Tf.Tensor;
type OnNumbers = (a: number, b: number) => number;

function arithmetic(onFloats: Binary, onIntegers: OnNumbers): Lowering {
  return (context) => combine(context, context.input(0), context.input(1), onFloats, onIntegers);
}

function variadic(onFloats: Binary, onIntegers: OnNumbers): Lowering {
  return (context) => {
    let result = context.input(0);
    for (let index = 1; index < context.inputCount; index++) {
      result = combine(context, result, context.input(index), onFloats, onIntegers);
    }
    return result;
  };
}

function comparison(apply: Binary): Lowering {
  return (context) => {
    const { tensors: [a, b], order } = context.aligned([context.input(0), context.input(1)]);
    return context.value(apply(context.tf, a!, b!), 'bool', order);
  };
}

function combine(context: LoweringContext, left: Value, right: Value, onFloats: Binary, onIntegers: OnNumbers): Value {
  const { tf } = context;
  const { tensors: [a, b], order } = context.aligned([left, right]);
  if (tfType(left.dtype) !== 'int32') return context.value(onFloats(tf, a!, context.cast(b!, left.dtype)), left.dtype, order);
  // Integers are sizes and indices: few, and to be exact, with ONNX's way of rounding.
  const shape = broadcastShape(a!.shape, b!.shape);
  const x = tf.broadcastTo(a!, shape).dataSync();
  const y = tf.broadcastTo(b!, shape).dataSync();
  const result = Int32Array.from(x, (value, index) => onIntegers(value, y[index]!));
  return context.value(tf.tensor(result, shape, 'int32'), left.dtype, order);
}

function truncate(tf: TfModule, x: Tf.Tensor): Tf.Tensor {
  return tf.where(tf.less(x, 0), tf.ceil(x), tf.floor(x));
}
