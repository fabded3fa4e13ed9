import { float, int } from '../../../graph/attributes';
import { same, type AtenCall, type AtenRule, type AtenRules } from '../atenCall';

/** Activations and arithmetic, element by element. */
export const elementwise: AtenRules = {
  relu: same('Relu'), relu_: same('Relu'), sigmoid: same('Sigmoid'), tanh: same('Tanh'), exp: same('Exp'), log: same('Log'), sqrt: same('Sqrt'),
  abs: same('Abs'), neg: same('Neg'), erf: same('Erf'), floor: same('Floor'), ceil: same('Ceil'), sin: same('Sin'), cos: same('Cos'),
  reciprocal: same('Reciprocal'), sign: same('Sign'), mish: same('Mish'), hardswish: same('HardSwish'), hardswish_: same('HardSwish'),
  hardsigmoid: same('HardSigmoid', 'self', { alpha: float(1 / 6), beta: float(0.5) }),
  selu: same('Selu'),
  rsqrt: (call) => call.emit('Reciprocal', [call.emit('Sqrt', [call.tensor('self')])], {}, call.outputs),
  silu: silu, silu_: silu,
  gelu: (call) => call.emit('Gelu', [call.tensor('self')], { approximate: { type: 'string', value: call.text('approximate', 'none') } }, call.outputs),
  leaky_relu: (call) => call.emit('LeakyRelu', [call.tensor('self')], { alpha: float(call.float('negative_slope', 0.01)) }, call.outputs),
  elu: (call) => {
    if (call.float('scale', 1) !== 1 || call.float('input_scale', 1) !== 1) throw new RangeError('scales other than 1');
    call.emit('Elu', [call.tensor('self')], { alpha: float(call.float('alpha', 1)) }, call.outputs);
  },
  prelu: (call) => {
    const [x, slope] = [call.tensor('self'), call.tensor('weight')];
    const ones = new Array<number>(Math.max(call.rank(x) - 2, 0)).fill(1);
    const shaped = ones.length ? call.emit('Reshape', [slope, call.int64([-1, ...ones])]) : slope;
    call.emit('PRelu', [x, shaped], {}, call.outputs);
  },
  softplus: (call) => {
    if (call.float('beta', 1) !== 1) throw new RangeError('a beta other than 1');
    call.emit('Softplus', [call.tensor('self')], {}, call.outputs);
  },
  hardtanh: (call) => clip(call, 'min_val', 'max_val', -1, 1), hardtanh_: (call) => clip(call, 'min_val', 'max_val', -1, 1),
  relu6: (call) => clip(call, '', '', 0, 6),
  'clamp.default': (call) => clip(call, 'min', 'max'),
  'softmax.int': softmax('Softmax'), '_softmax.default': softmax('Softmax'), 'log_softmax.int': softmax('LogSoftmax'), '_log_softmax.default': softmax('LogSoftmax'),
  add: scaled('Add'), add_: scaled('Add'), sub: scaled('Sub'), sub_: scaled('Sub'),
  mul: binary('Mul'), mul_: binary('Mul'), 'div.Tensor': binary('Div'), 'div.Scalar': binary('Div'), 'div_.Tensor': binary('Div'),
  maximum: binary('Max'), minimum: binary('Min'),
  'pow.Tensor_Scalar': (call) => call.emit('Pow', [call.tensor('self'), call.operand('exponent', call.tensor('self'))], {}, call.outputs),
  'pow.Tensor_Tensor': (call) => call.emit('Pow', [call.tensor('self'), call.tensor('exponent')], {}, call.outputs),
  'where.self': (call) => call.emit('Where', [call.tensor('condition'), call.tensor('self'), call.tensor('other')], {}, call.outputs),
  dropout: identity('input'), dropout_: identity('self'), feature_dropout: identity('input'), alpha_dropout: identity('input'),
  clone: identity('self'), contiguous: identity('self'), detach: identity('self'), detach_: identity('self'), alias: identity('self'), lift_fresh_copy: identity('self'),
};

function identity(input: string): AtenRule {
  return (call) => {
    if (call.bool('train', false)) throw new RangeError('it was exported in training mode');
    call.emit('Identity', [call.tensor(input)], {}, call.outputs);
  };
}

function silu(call: AtenCall): void {
  const x = call.tensor('self');
  call.emit('Mul', [x, call.emit('Sigmoid', [x])], {}, call.outputs);
}

function softmax(op: string): AtenRule {
  return (call) => call.emit(op, [call.tensor('self')], { axis: int(call.int('dim', -1)) }, call.outputs);
}

function binary(op: string): AtenRule {
  return (call) => {
    const self = call.tensor('self');
    call.emit(op, [self, call.operand('other', self)], {}, call.outputs);
  };
}

/** self + alpha * other */
function scaled(op: string): AtenRule {
  return (call) => {
    const self = call.tensor('self');
    const other = call.operand('other', self);
    const alpha = call.float('alpha', 1);
    call.emit(op, [self, alpha === 1 ? other : call.emit('Mul', [other, call.scalar(alpha, call.dtype(self))])], {}, call.outputs);
  };
}

function clip(call: AtenCall, low: string, high: string, least?: number, most?: number): void {
  const x = call.tensor('self');
  const bound = (name: string, otherwise: number | undefined): string => {
    const value = call.has(name) ? call.float(name, NaN) : otherwise;
    return value === undefined ? '' : call.scalar(value, call.dtype(x));
  };
  call.emit('Clip', [x, bound(low, least), bound(high, most)], {}, call.outputs);
}
