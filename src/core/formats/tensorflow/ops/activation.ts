import { float, int } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';

const simple: Readonly<Record<string, string>> = {
  Relu: 'Relu', Elu: 'Elu', Selu: 'Selu', Sigmoid: 'Sigmoid', Tanh: 'Tanh', Softplus: 'Softplus', Softsign: 'Softsign', Erf: 'Erf',
  Exp: 'Exp', Log: 'Log', Neg: 'Neg', Abs: 'Abs', Sqrt: 'Sqrt', Floor: 'Floor', Ceil: 'Ceil', Round: 'Round', Rint: 'Round', Sign: 'Sign',
  Sin: 'Sin', Cos: 'Cos', Tan: 'Tan', Asin: 'Asin', Acos: 'Acos', Atan: 'Atan', Sinh: 'Sinh', Cosh: 'Cosh', Asinh: 'Asinh', Acosh: 'Acosh',
  Atanh: 'Atanh', Reciprocal: 'Reciprocal', Inv: 'Reciprocal', LogicalNot: 'Not', IsNan: 'IsNaN', IsInf: 'IsInf',
};

export const activationOps: OpGroup = {
  ...Object.fromEntries(Object.keys(simple).map((op) => [op, (context: OpContext) => activate(context, op, context.input(0))])),
  Relu6: (context) => activate(context, 'Relu6', context.input(0)),
  LeakyRelu: (context) => context.add('LeakyRelu', [context.input(0)], { alpha: float(context.float('alpha', 0.2)) }),
  Softmax: (context) => context.add('Softmax', [context.input(0)], { axis: int(-1) }),
  LogSoftmax: (context) => context.add('LogSoftmax', [context.input(0)], { axis: int(-1) }),
  Prelu: (context) => context.add('PRelu', [context.input(0), context.input(1)]),
  Rsqrt: (context) => context.add('Reciprocal', [context.add('Sqrt', [context.input(0)])]),
  Square: (context) => context.add('Mul', [context.input(0), context.input(0)]),
  Log1p: (context) => context.add('Log', [context.add('Add', [context.input(0), context.float32('one', [1])])]),
  Expm1: (context) => context.add('Sub', [context.add('Exp', [context.input(0)]), context.float32('one', [1])]),
  Erfc: (context) => context.add('Sub', [context.float32('one', [1]), context.add('Erf', [context.input(0)])]),
  // Clips by constants or by values of the graph; ONNX wants scalars, which TensorFlow does as well.
  ClipByValue: (context) => context.add('Min', [context.add('Max', [context.input(0), context.input(1)]), context.input(2)]),
  Dropout: (context) => context.input(0),
};

/** An activation by its operator's name, alone or joined to another node. */
export function activate(context: OpContext, op: string, value: string): string {
  if (op === 'Relu6') return context.add('Clip', [value, context.float32('min', [0]), context.float32('max', [6])]);
  if (op === 'LeakyRelu') return context.add('LeakyRelu', [value], { alpha: float(context.float('leakyrelu_alpha', 0.2)) });
  if (op === 'Prelu') return context.add('PRelu', [value, context.input(context.inputCount - 1)]);
  const name = simple[op];
  return name ? context.add(name, [value]) : context.fail(`the operator '${op}' joined to it is not known`);
}
