import { floatOf, hasAttribute, int, withAttributes } from '../attributes';
import type { GraphNode } from '../modelGraph';
import { broadcastRelations, firstInput, firstOutput, sameAxes } from './axes';
import { activationGradient, parametricReluGradient } from './gradients/activations';
import type { OperatorFamily, UpgradeContext, ValueFacts } from './operator';

/** Operators that map each element by itself. */
export const activations: OperatorFamily = {
  name: 'activations',
  ops: [
    'Relu', 'LeakyRelu', 'ThresholdedRelu', 'Elu', 'Selu', 'Celu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Tanh', 'Softplus',
    'Softsign', 'Gelu', 'Mish', 'Swish', 'Clip', 'Erf', 'Exp', 'Log', 'Sqrt', 'Abs', 'Neg', 'Reciprocal', 'Floor', 'Ceil', 'Round',
    'Sign', 'Sin', 'Cos', 'Tan', 'Asin', 'Acos', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh', 'Shrink', 'Not', 'IsNaN',
    'IsInf', 'BitwiseNot',
  ],

  upgrade(node, context) {
    const clean = withAttributes(node, { drop: ['consumed_inputs'] });
    return node.op === 'Clip' ? upgradeClip(clean, context) : [clean];
  },

  shape(node, context): ValueFacts[] {
    const { dtype, shape, constant } = context.facts(firstInput(node));
    const map = integerMaps[node.op];
    const mapped = map && constant?.map((value) => (value === null ? null : map(value)));
    return [{ dtype: logical.has(node.op) ? 'bool' : dtype, shape, constant: mapped }];
  },

  flow(node, context) {
    return sameAxes(firstInput(node), firstOutput(node), context.facts(firstInput(node)).shape?.length ?? 0);
  },

  gradient: activationGradient,
};

/** Relu with a slope of its own for each channel, or one for all. */
export const parametricRelu: OperatorFamily = {
  name: 'parametricRelu',
  ops: ['PRelu'],

  upgrade(node, context) {
    const clean = withAttributes(node, { drop: ['consumed_inputs'] });
    const [x = '', slope = ''] = node.inputs;
    const rank = context.facts(x).shape?.length;
    const slopes = context.facts(slope).shape;
    // Until set 6 a slope [C] was meant for axis 1; since then it is broadcast from the last axis.
    if (context.fromOpset >= 7 || rank === undefined || slopes?.length !== 1 || slopes[0] === 1 || rank <= 2) return [clean];
    const wide = context.value('slope');
    const axes = context.int64('axes', Array.from({ length: rank - 2 }, (_, index) => index + 1));
    return [
      { ...node, op: 'Unsqueeze', inputs: [slope, axes], outputs: [wide], attributes: {} },
      { ...clean, inputs: [x, wide] },
    ];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const [x = '', slope = ''] = node.inputs;
    const y = firstOutput(node);
    return [
      ...sameAxes(x, y, context.facts(x).shape?.length ?? 0),
      ...broadcastRelations(slope, y, context),
    ];
  },

  gradient: parametricReluGradient,
};

/** Before set 11 the limits were attributes. */
function upgradeClip(node: GraphNode, context: UpgradeContext): readonly GraphNode[] {
  if (context.fromOpset >= 11) return [node];
  const dtype = context.facts(firstInput(node)).dtype ?? 'float32';
  const before: GraphNode[] = [];
  const limit = (name: 'min' | 'max'): string => {
    if (!hasAttribute(node, name)) return '';
    const constant = context.float32(name, [floatOf(node, name, 0)], []);
    const code = castCodes[dtype];
    if (code === undefined) return constant;
    const cast = context.value(`${name}Cast`);
    before.push({ ...node, op: 'Cast', inputs: [constant], outputs: [cast], attributes: { to: int(code) } });
    return cast;
  };
  const inputs = [firstInput(node), limit('min'), limit('max')];
  return [...before, { ...withAttributes(node, { drop: ['min', 'max'] }), inputs }];
}

/** TensorProto's numbers of the types that need a cast from float32. */
const castCodes: Readonly<Record<string, number>> = { float16: 10, float64: 11 };

const logical = new Set(['Not', 'IsNaN', 'IsInf']);

const integerMaps: Readonly<Record<string, (value: number) => number>> = {
  Abs: Math.abs, Neg: (value) => -value, Floor: Math.floor, Ceil: Math.ceil, Sqrt: Math.sqrt,
  Not: (value) => (value ? 0 : 1),
};
