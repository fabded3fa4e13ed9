import { intOf } from '../../../core/graph/attributes';
import { castTypes } from '../../../core/graph/ops/shapeArithmetic';
import { asFloat32, asNumbers } from '../../../core/graph/numeric';
import type { DType, NdArray } from '../../../core/graph/tensor';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, tfData, tfType, type Value } from '../value';

/** Copies, types, and values made from sizes. */
export const shapeArithmetic: LoweringFamily = {
  lowerings: {
    Identity: (context) => context.input(0),
    Dropout(context) {
      const x = context.input(0);
      const mask = context.node.outputs[1] ? [context.like(x, context.tf.onesLike(context.cast(x.tensor, 'bool')), 'bool')] : [];
      return [x, ...mask];
    },
    Cast: (context) => converted(context, castTypes[intOf(context.node, 'to', 1)] ?? context.fail('its type is not known')),
    CastLike: (context) => converted(context, context.input(1).dtype),
    Shape(context) {
      const shape = shapeOf(context.input(0));
      const bound = (index: number): number => index < 0 ? Math.max(0, index + shape.length) : Math.min(index, shape.length);
      return context.integers(shape.slice(bound(intOf(context.node, 'start', 0)), bound(intOf(context.node, 'end', shape.length))));
    },
    Size: (context) => context.integers([context.input(0).tensor.size], []),
    ConstantOfShape(context) {
      const shape = context.numbers(0) ?? [];
      const attribute = context.node.attributes['value'];
      const array = attribute?.type === 'tensor' ? attribute.value : undefined;
      const dtype = array?.dtype ?? 'float32';
      return context.value(context.tf.fill([...shape], array ? asNumbers(array)[0] ?? 0 : 0, tfType(dtype)), dtype);
    },
    Range(context) {
      const [start = 0, limit = 0, delta = 1] = [0, 1, 2].map((index) => context.numbers(index)?.[0]);
      const { dtype } = context.input(0);
      const count = Math.max(0, Math.ceil((limit - start) / delta));
      const values = Array.from({ length: count }, (_, index) => start + index * delta);
      return context.value(context.tf.tensor1d(values, tfType(dtype)), dtype);
    },
    Constant(context) {
      const { tf } = context;
      const array = constantOf(context);
      return context.value(tf.tensor(tfData(array, asFloat32), [...array.shape], tfType(array.dtype)), array.dtype);
    },
  },
  refuses(node) {
    return node.op === 'Dropout' && node.inputs[2] ? 'whether it drops is computed' : undefined;
  },
};

function converted(context: LoweringContext, dtype: DType): Value {
  const x = context.input(0);
  if (tfType(dtype) === tfType(x.dtype)) return context.like(x, x.tensor, dtype);
  return context.like(x, context.tf.cast(x.tensor, tfType(dtype)), dtype);
}

function constantOf(context: LoweringContext): NdArray {
  const { value, value_int: int, value_ints: ints, value_float: float, value_floats: floats } = context.node.attributes;
  if (value?.type === 'tensor') return value.value;
  if (int?.type === 'int') return { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(int.value)) };
  if (ints?.type === 'ints') return { dtype: 'int64', shape: [ints.value.length], data: BigInt64Array.from(ints.value, BigInt) };
  if (float?.type === 'float') return { dtype: 'float32', shape: [], data: Float32Array.of(float.value) };
  if (floats?.type === 'floats') return { dtype: 'float32', shape: [floats.value.length], data: Float32Array.from(floats.value) };
  return context.fail('its value is not numeric');
}
