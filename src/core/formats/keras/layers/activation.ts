import { float, int } from '../../../graph/attributes';
import { lookUp } from '../../../graph/lookUp';
import { isObject, type Json } from '../../containers/json';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { normalAxis } from '../layout';

export const activationLayers: LayerGroup = {
  Activation: (context) => activate(context, context.input()),
  ReLU: (context) => relu(context, context.input(), {
    slope: context.number('negative_slope', 0), threshold: context.number('threshold', 0),
    limit: context.setting('max_value') == null ? undefined : context.number('max_value', 0),
  }),
  LeakyReLU: (context) => unary(context, 'LeakyRelu', {
    alpha: float(context.number('negative_slope', context.number('alpha', 0.3))),
  }),
  ELU: (context) => unary(context, 'Elu', { alpha: float(context.number('alpha', 1)) }),
  ThresholdedReLU: (context) => unary(context, 'ThresholdedRelu', { alpha: float(context.number('theta', 1)) }),
  Softmax(context) {
    const axis = context.setting('axis') ?? -1;
    const only = Array.isArray(axis) && axis.length === 1 ? axis[0] : axis;
    const input = context.input();
    if (typeof only !== 'number') return context.opaque(input.shape);
    return { ...input, name: context.node('Softmax', [input.name], { axis: int(normalAxis(only, input.shape)) }) };
  },
  PReLU(context) {
    const input = context.input();
    return { ...input, name: context.node('PRelu', [input.name, context.weight('alpha').name]) };
  },
};

/** Applies the layer's `activation` setting. */
export function activate(context: LayerContext, value: KerasValue): KerasValue {
  const name = activationName(context.setting('activation'));
  const emit = lookUp(activations, name);
  if (emit) return emit(context, value);
  context.report(`the activation '${name}' is not known to Particlize`);
  return { ...value, name: context.node(name, [value.name], {}, 'keras') };
}

/** Whether the activation treats every element alone, so that it may as well run in another layout. */
export function isElementwise(context: LayerContext): boolean {
  const name = activationName(context.setting('activation'));
  return lookUp(activations, name) !== undefined && !/softmax/.test(name);
}

/** 'relu', {"class_name": "function", "config": "relu"} (Keras 3), {"class_name": "ReLU", ...} or null. */
function activationName(setting: Json | undefined): string {
  if (typeof setting === 'string') return setting;
  if (!isObject(setting)) return 'linear';
  if (typeof setting.config === 'string') return setting.config;
  return typeof setting.class_name === 'string' ? setting.class_name.toLowerCase() : 'linear';
}

type Emit = (context: LayerContext, value: KerasValue) => KerasValue;

const activations: Readonly<Record<string, Emit>> = {
  linear: (_, value) => value,
  relu: simple('Relu'),
  relu6: (context, value) => relu(context, value, { slope: 0, threshold: 0, limit: 6 }),
  sigmoid: simple('Sigmoid'),
  tanh: simple('Tanh'),
  softplus: simple('Softplus'),
  softsign: simple('Softsign'),
  elu: simple('Elu'),
  selu: simple('Selu'),
  exponential: simple('Exp'),
  hard_sigmoid: (context, value) => ({
    ...value,
    name: context.node('HardSigmoid', [value.name], { alpha: float(context.dialect.hardSigmoidSlope), beta: float(0.5) }),
  }),
  hard_silu: simple('HardSwish'),
  hard_swish: simple('HardSwish'),
  leaky_relu: (context, value) => ({ ...value, name: context.node('LeakyRelu', [value.name], { alpha: float(0.2) }) }),
  log_sigmoid(context, value) {
    const negated = context.node('Neg', [value.name]);
    return { ...value, name: context.node('Neg', [context.node('Softplus', [negated])]) };
  },
  softmax: (context, value) => ({ ...value, name: context.node('Softmax', [value.name], lastAxis(value)) }),
  log_softmax: (context, value) => ({ ...value, name: context.node('LogSoftmax', [value.name], lastAxis(value)) }),
  silu: swish,
  swish,
  mish(context, value) {
    const soft = context.node('Softplus', [value.name]);
    return { ...value, name: context.node('Mul', [value.name, context.node('Tanh', [soft])]) };
  },
  gelu(context, value) {
    const scaled = context.node('Div', [value.name, context.float32('sqrt2', [Math.SQRT2])]);
    const shifted = context.node('Add', [context.node('Erf', [scaled]), context.float32('one', [1])]);
    const product = context.node('Mul', [value.name, shifted]);
    return { ...value, name: context.node('Mul', [product, context.float32('half', [0.5])]) };
  },
  gelu_new(context, value) {
    const { name } = value;
    const cube = context.node('Mul', [context.node('Mul', [name, name]), name]);
    const bent = context.node('Add', [name, context.node('Mul', [cube, context.float32('cubic', [0.044715])])]);
    const scaled = context.node('Mul', [bent, context.float32('scale', [Math.sqrt(2 / Math.PI)])]);
    const shifted = context.node('Add', [context.node('Tanh', [scaled]), context.float32('one', [1])]);
    const product = context.node('Mul', [name, shifted]);
    return { ...value, name: context.node('Mul', [product, context.float32('half', [0.5])]) };
  },
};

function simple(op: string): Emit {
  return (context, value) => ({ ...value, name: context.node(op, [value.name]) });
}

function swish(context: LayerContext, value: KerasValue): KerasValue {
  return { ...value, name: context.node('Mul', [value.name, context.node('Sigmoid', [value.name])]) };
}

function lastAxis(value: KerasValue) {
  return { axis: int(normalAxis(-1, value.shape)) };
}

function unary(context: LayerContext, op: string, attributes: Parameters<LayerContext['node']>[2]): KerasValue {
  const input = context.input();
  return { ...input, name: context.node(op, [input.name], attributes) };
}

/** Keras's general ReLU: `limit` above, slope * (x - threshold) below the threshold, x between. */
function relu(
  context: LayerContext, value: KerasValue, { slope, threshold, limit }: { slope: number; threshold: number; limit?: number },
): KerasValue {
  let { name } = value;
  if (threshold !== 0) {
    const above = context.node('ThresholdedRelu', [name], { alpha: float(threshold) });
    const shifted = context.node('Sub', [name, context.float32('threshold', [threshold])]);
    const below = context.node('Min', [shifted, context.float32('zero', [0])]);
    const sloped = context.node('Mul', [below, context.float32('slope', [slope])]);
    name = slope === 0 ? above : context.node('Add', [above, sloped]);
  } else if (slope !== 0) {
    name = context.node('LeakyRelu', [name], { alpha: float(slope) });
  } else if (limit !== undefined) {
    return { ...value, name: context.node('Clip', [name, context.float32('min', [0]), context.float32('max', [limit])]) };
  } else {
    name = context.node('Relu', [name]);
  }
  if (limit !== undefined) name = context.node('Min', [name, context.float32('max', [limit])]);
  return { ...value, name };
}
