import { floatOf, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstInput, firstOutput } from '../axes';
import type { GradientContext, GraphBuilder } from '../operator';
import { Maths } from './maths';

/** Operators that map each element by itself; where the slope jumps, the gradient is the one of PyTorch. */
export function activationGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const x = firstInput(node);
  const composed = compositions[node.op];
  if (composed) return context.through((builder) => [composed(new Maths({ builder, sizes: (value) => context.sizes(value) }), x, node)]);
  const rule = rules[node.op];
  if (!dy || !rule) return [];
  const m = new Maths(context);
  return [rule(m, { x, y: firstOutput(node), dy, node }), ...limits(node, context, m, dy)];
}

/** PRelu: its slope is broadcast. */
export function parametricReluGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [x = '', slope = ''] = node.inputs;
  const [dy] = context.outputs;
  if (!dy) return [];
  const m = new Maths(context);
  const negative = m.less(x, 0);
  return [
    context.needs(0) ? m.where(negative, m.mul(dy, slope), dy) : undefined,
    context.needs(1) ? m.sumTo(m.only(negative, m.mul(dy, x)), slope, x) : undefined,
  ];
}

/** The forms in which ONNX Runtime's optimiser writes Gelu, with or without a bias. */
export function fusedActivationGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [x = '', bias] = node.inputs;
  return context.through((builder: GraphBuilder) => {
    const m = new Maths({ builder, sizes: (value) => context.sizes(value) });
    const sum = bias ? m.add(x, bias) : x;
    if (node.op === 'QuickGelu') return [m.mul(sum, m.op('Sigmoid', [m.scale(sum, floatOf(node, 'alpha', 1.702))]))];
    return [node.op === 'FastGelu' ? tanhGelu(m, sum) : gelu(m, sum)];
  });
}

interface Slope {
  readonly x: string;
  readonly y: string;
  readonly dy: string;
  readonly node: GraphNode;
}

type Rule = (m: Maths, slope: Slope) => string;

/** Written with y where that is possible: then x need not be kept, and the operator in front can be fused with this one. */
const rules: Readonly<Record<string, Rule>> = {
  Relu: (m, { y, dy }) => m.mul(dy, m.mask(m.greater(y, 0), y)),
  LeakyRelu: (m, { x, dy, node }) => m.where(m.greater(x, 0), dy, m.scale(dy, floatOf(node, 'alpha', 0.01))),
  ThresholdedRelu: (m, { x, dy, node }) => m.only(m.greater(x, floatOf(node, 'alpha', 1)), dy),
  Elu: (m, { x, y, dy, node }) => m.where(m.greater(x, 0), dy, m.mul(dy, m.plus(y, floatOf(node, 'alpha', 1)))),
  Selu(m, { x, y, dy, node }) {
    const gamma = floatOf(node, 'gamma', 1.0507009873554805);
    const alpha = floatOf(node, 'alpha', 1.6732632423543772);
    return m.where(m.greater(x, 0), m.scale(dy, gamma), m.mul(dy, m.plus(y, gamma * alpha)));
  },
  Celu: (m, { x, y, dy, node }) => m.where(m.greater(x, 0), dy, m.mul(dy, m.plus(m.scale(y, 1 / floatOf(node, 'alpha', 1)), 1))),
  Sigmoid: (m, { y, dy }) => m.mul(dy, m.mul(y, m.minusFrom(1, y))),
  HardSigmoid: (m, { y, dy, node }) => m.only(m.op('And', [m.greater(y, 0), m.less(y, 1)]), m.scale(dy, floatOf(node, 'alpha', 0.2))),
  HardSwish(m, { x, dy }) {
    const middle = m.mul(dy, m.plus(m.scale(x, 1 / 3), 0.5));
    return m.where(m.greater(x, 3), dy, m.only(m.greater(x, -3), middle));
  },
  Tanh: (m, { y, dy }) => m.mul(dy, m.minusFrom(1, m.square(y))),
  Softplus: (m, { x, dy }) => m.mul(dy, m.op('Sigmoid', [x])),
  Softsign: (m, { x, dy }) => m.div(dy, m.square(m.plus(m.op('Abs', [x]), 1))),
  Clip(m, { x, dy, node }) {
    const [, low, high] = node.inputs;
    const inside = [low && m.op('GreaterOrEqual', [x, low]), high && m.op('LessOrEqual', [x, high])].filter((part): part is string => Boolean(part));
    return inside.reduce((gradient, condition) => m.only(condition, gradient), dy);
  },
  Erf: (m, { x, dy }) => m.mul(dy, m.scale(m.op('Exp', [m.neg(m.square(x))]), 2 / Math.sqrt(Math.PI))),
  Exp: (m, { y, dy }) => m.mul(dy, y),
  Log: (m, { x, dy }) => m.div(dy, x),
  Sqrt: (m, { y, dy }) => m.div(m.scale(dy, 0.5), y),
  Abs: (m, { x, dy }) => m.mul(dy, m.op('Sign', [x])),
  Neg: (m, { dy }) => m.neg(dy),
  Reciprocal: (m, { y, dy }) => m.neg(m.mul(dy, m.square(y))),
  Sin: (m, { x, dy }) => m.mul(dy, m.op('Cos', [x])),
  Cos: (m, { x, dy }) => m.neg(m.mul(dy, m.op('Sin', [x]))),
  Tan: (m, { y, dy }) => m.mul(dy, m.plus(m.square(y), 1)),
  Asin: (m, { x, dy }) => m.div(dy, m.op('Sqrt', [m.minusFrom(1, m.square(x))])),
  Acos: (m, { x, dy }) => m.neg(m.div(dy, m.op('Sqrt', [m.minusFrom(1, m.square(x))]))),
  Atan: (m, { x, dy }) => m.div(dy, m.plus(m.square(x), 1)),
  Sinh: (m, { x, dy }) => m.mul(dy, m.op('Cosh', [x])),
  Cosh: (m, { x, dy }) => m.mul(dy, m.op('Sinh', [x])),
  Asinh: (m, { x, dy }) => m.div(dy, m.op('Sqrt', [m.plus(m.square(x), 1)])),
  Acosh: (m, { x, dy }) => m.div(dy, m.op('Sqrt', [m.plus(m.square(x), -1)])),
  Atanh: (m, { x, dy }) => m.div(dy, m.minusFrom(1, m.square(x))),
  Shrink: (m, { x, dy, node }) => m.only(m.greater(m.op('Abs', [x]), floatOf(node, 'lambd', 0.5)), dy),
};

/** Operators whose derivative is best left to that of plainer ones. */
const compositions: Readonly<Record<string, (m: Maths, x: string, node: GraphNode) => string>> = {
  Gelu: (m, x, node) => (stringOf(node, 'approximate', 'none') === 'tanh' ? tanhGelu(m, x) : gelu(m, x)),
  Mish: (m, x) => m.mul(x, m.op('Tanh', [m.op('Softplus', [x])])),
  Swish: (m, x, node) => m.mul(x, m.op('Sigmoid', [m.scale(x, floatOf(node, 'alpha', 1))])),
};

function gelu(m: Maths, x: string): string {
  return m.mul(x, m.scale(m.plus(m.op('Erf', [m.scale(x, Math.SQRT1_2)]), 1), 0.5));
}

function tanhGelu(m: Maths, x: string): string {
  const cubed = m.mul(m.square(x), x);
  const inner = m.scale(m.add(x, m.scale(cubed, 0.044715)), Math.sqrt(2 / Math.PI));
  return m.mul(m.scale(x, 0.5), m.plus(m.op('Tanh', [inner]), 1));
}

/** Clip's limits get what flows into the elements that they hold. */
function limits(node: GraphNode, context: GradientContext, m: Maths, dy: string): readonly (string | undefined)[] {
  if (node.op !== 'Clip') return [];
  const [x = '', low = '', high = ''] = node.inputs;
  const held = (input: number, limit: string, compare: string): string | undefined =>
    (context.needs(input) ? m.sumTo(m.only(m.op(compare, [x, limit]), dy), limit, x) : undefined);
  return [held(1, low, 'Less'), held(2, high, 'Greater')];
}
