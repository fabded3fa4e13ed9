import { float, int } from '../../graph/attributes';
import type { Attributes } from '../../graph/modelGraph';
import type { Expression } from '../program';
import type { Span } from '../definition';
import type { Arguments } from './interpreter';
import { axisAttribute, Unfollowed, windowAttributes, type TorchTrace } from './torchTrace';
import { listValue, numbersOf, numberValue, truth, type TensorValue, type Value } from './values';

/** A size that is known only when the model runs: of the axis that the name ends with. */
const sizePrefix = 'size:';

/**
 * Functions, operators and methods of tensors as operators of the graph. A name is its last part: 'relu' of
 * torch.nn.functional.relu, of `x.relu()` and of nn.ReLU alike. undefined for what is not followed.
 */
export function callFunction(trace: TorchTrace, name: string, given: Arguments, at: Span): Value | undefined {
  const word = name.split('.').at(-1)!.toLowerCase().replace(/_$/, '');
  if (!/^(torch|module|Tensor|operator|F|math)\b/.test(name)) return undefined;
  const rule = Object.hasOwn(functions, word) ? functions[word] : undefined;
  if (!rule) return undefined;
  const { positional, keywords } = given;
  return rule({
    trace, at,
    get: (key, position) => keywords.get(key) ?? positional[position],
    all: positional,
    input: () => trace.tensor(positional[0] ?? keywords.get('input') ?? keywords.get('x'), at),
  });
}

/** `x[:, :, ::2]`, `x[:, -1]` */
export function tensorItem(trace: TorchTrace, tensor: TensorValue, index: Expression, evaluated: Value, at: Span): Value {
  const parts = index.kind === 'list' ? index.items : [index];
  const values = index.kind === 'list' && evaluated.kind === 'list' ? evaluated.items : [evaluated];
  let result = tensor;
  let axis = 0;
  parts.forEach((part, place) => {
    if (part.kind === 'other' && part.form?.kind === 'slice') {
      const bounds = part.form.bounds.map((one) => (one === undefined ? undefined : literalNumber(one, at)));
      if (bounds.some((one) => one !== undefined)) {
        const [from = 0, to = Number.MAX_SAFE_INTEGER, by = 1] = bounds;
        result = trace.emit('Slice', [result.name, ...[from, to, axis, by].map((one) => trace.ints([one]))]);
      }
      axis++;
      return;
    }
    const value = values[place];
    if (value?.kind !== 'number') throw new Unfollowed('this part of a tensor is not followed', at);
    result = trace.emit('Gather', [result.name, trace.ints([value.value])], axisAttribute(axis));
    result = trace.emit('Squeeze', [result.name, trace.ints([axis])]);
  });
  return result;
}

function literalNumber(expression: Expression, at: Span): number {
  if (expression.kind === 'number') return expression.value;
  if (expression.kind === 'unary' && expression.operator === '-' && expression.operand.kind === 'number') return -expression.operand.value;
  throw new Unfollowed('this part of a tensor is not followed', at);
}

interface Given {
  readonly trace: TorchTrace;
  readonly at: Span;
  readonly all: readonly Value[];
  get(name: string, position: number): Value | undefined;
  input(): TensorValue;
}

type Rule = (given: Given) => Value | undefined;

const unary = (op: string, attributes: Attributes = {}): Rule => ({ trace, input }) => trace.emit(op, [input().name], attributes);
const same: Rule = ({ input }) => input();

const binary = (op: string): Rule => ({ trace, all, at }) => trace.emit(op, [trace.tensor(all[0], at).name, trace.tensor(all[1], at).name]);

const alongAxis = (op: string): Rule => ({ trace, input, get, at }) => trace.emit(op, [input().name], axisAttribute(trace.number(get('dim', 1), -1, at)));

const pool = (op: 'MaxPool' | 'AveragePool', rank: number): Rule => ({ trace, input, get, at }) => {
  const x = input();
  const size = get('kernel_size', 1);
  // `avg_pool2d(x, x.size(3))`: the whole picture.
  const whole = size?.kind === 'native' && size.name.startsWith(sizePrefix);
  const shape = trace.shape(x)?.slice(2) ?? [];
  const kernel = whole ? undefined : trace.numbers(size, rank, [], at);
  if (whole || (kernel && shape.length === rank && kernel.every((one, axis) => one === shape[axis]) && get('padding', 3) === undefined)) {
    return trace.emit(op === 'MaxPool' ? 'GlobalMaxPool' : 'GlobalAveragePool', [x.name], {}, op.toLowerCase());
  }
  if (!kernel?.length) throw new Unfollowed('the size of the window is not known', at);
  const strides = trace.numbers(get('stride', 2), rank, kernel, at);
  const padding = trace.numbers(get('padding', 3), rank, new Array<number>(rank).fill(0), at);
  const ceil = get('ceil_mode', op === 'MaxPool' ? 5 : 4);
  const mode: Attributes = ceil && truth(ceil) ? { ceil_mode: int(1) } : {};
  const counted = get('count_include_pad', 5);
  return trace.emit(op, [x.name], {
    ...windowAttributes(kernel, strides, padding), ...mode,
    ...(op === 'AveragePool' ? { count_include_pad: int(counted && truth(counted) === false ? 0 : 1) } : undefined),
  });
};

const adaptive = (op: 'GlobalAveragePool' | 'GlobalMaxPool', rank: number): Rule => ({ trace, input, get, at }) => {
  const x = input();
  const wanted = trace.numbers(get('output_size', 1), rank, [], at);
  if (wanted.length === rank && wanted.every((one) => one === 1)) return trace.emit(op, [x.name], {}, op.toLowerCase());
  const sizes = trace.shape(x)?.slice(2);
  const known = sizes?.every((size): size is number => typeof size === 'number') ? sizes : undefined;
  if (!known) {
    trace.needsSize = true;
    throw new Unfollowed('pooling to a fixed size needs the size of the picture', at);
  }
  if (known.some((size, axis) => size % wanted[axis]! !== 0)) throw new Unfollowed('pooling to a size that does not divide the picture is not followed', at);
  const kernel = known.map((size, axis) => size / wanted[axis]!);
  return trace.emit(op === 'GlobalMaxPool' ? 'MaxPool' : 'AveragePool', [x.name], windowAttributes(kernel, kernel, new Array<number>(rank).fill(0)));
};

const flatten: Rule = ({ trace, input, get, at }) => {
  const x = input();
  const isLayer = get('start_dim', 1) === undefined;
  const start = trace.number(get('start_dim', 1), isLayer ? 1 : 0, at);
  const end = trace.number(get('end_dim', 2), -1, at);
  const shape = trace.shape(x);
  if (end === -1 && start === 1) return trace.emit('Flatten', [x.name], { axis: int(1) });
  if (!shape) throw new Unfollowed('the shape is not known here', at);
  const last = end < 0 ? end + shape.length : end;
  const sizes = [...shape.slice(0, start).map(() => 0), -1, ...shape.slice(last + 1).map((size) => size ?? Number.NaN)];
  if (sizes.some(Number.isNaN)) throw new Unfollowed('the shape is not known here', at);
  return trace.emit('Reshape', [x.name, trace.ints(sizes)]);
};

const reshape: Rule = ({ trace, input, all, at }) => {
  const x = input();
  const given = all[1]?.kind === 'list' ? all[1].items : all.slice(1);
  const sizes = given.map((one, place) => {
    if (one.kind === 'number') return one.value;
    if (one.kind === 'native' && one.name === `${sizePrefix}${place}`) return 0;
    throw new Unfollowed(one.kind === 'unknown' ? one.reason : 'the new shape is not known', at);
  });
  if (sizes.length === 2 && sizes[1] === -1 && sizes[0] === 0) return trace.emit('Flatten', [x.name], { axis: int(1) });
  const last = sizes.at(-1)!;
  const shape = trace.shape(x);
  if (sizes.length === 2 && sizes[0] === -1 && shape && shape.length > 2) {
    // `view(-1, 512)` after convolutions keeps the samples apart.
    const inside = shape.slice(1);
    const known = inside.every((size): size is number => typeof size === 'number');
    if (known && inside.reduce((product, size) => product * size, 1) !== last) throw new Unfollowed(`the reshape to ${last} values does not fit what comes in`, at);
    if (!known) trace.needsSize = true;
    return trace.emit('Flatten', [x.name], { axis: int(1) });
  }
  if (sizes[0] === -1 && !shape) trace.describeInput(x, [null, last]);
  return trace.emit('Reshape', [x.name, trace.ints(sizes)]);
};

const mean: Rule = ({ trace, input, get, at }) => {
  const axes = numbersOf(get('dim', 1));
  const keep = get('keepdim', 2);
  if (!axes) throw new Unfollowed('a mean over everything is not followed', at);
  return trace.emit('ReduceMean', [input().name, trace.ints(axes)], { keepdims: int(keep && truth(keep) ? 1 : 0) });
};

const cat: Rule = ({ trace, all, get, at }) => {
  const list = all[0];
  if (list?.kind !== 'list') throw new Unfollowed('what is joined is not known', at);
  return trace.emit('Concat', list.items.map((one) => trace.tensor(one, at).name), axisAttribute(trace.number(get('dim', 1), 0, at)));
};

const pad: Rule = ({ trace, input, get, all, at }) => {
  const x = input();
  const amounts = numbersOf(get('pad', 1));
  const mode = get('mode', 2);
  const rank = trace.shape(x)?.length;
  if (!amounts || amounts.length % 2 || !rank || (mode && (mode.kind !== 'string' || mode.value !== 'constant'))) throw new Unfollowed('this padding is not followed', at);
  void all;
  const before = new Array<number>(rank).fill(0);
  const after = new Array<number>(rank).fill(0);
  for (let index = 0; index < amounts.length / 2; index++) {
    before[rank - 1 - index] = amounts[2 * index]!;
    after[rank - 1 - index] = amounts[2 * index + 1]!;
  }
  return trace.emit('Pad', [x.name, trace.ints([...before, ...after]), trace.scalar(trace.number(get('value', 3), 0, at))]);
};

const permute: Rule = ({ trace, input, all, at }) => {
  const axes = numbersOf(all[1]?.kind === 'list' ? all[1] : listValue([...all.slice(1)]));
  if (!axes) throw new Unfollowed('the order of the axes is not known', at);
  return trace.emit('Transpose', [input().name], { perm: { type: 'ints', value: axes.map((axis) => (axis < 0 ? axis + axes.length : axis)) } });
};

const transpose: Rule = ({ trace, input, get, at }) => {
  const x = input();
  const rank = trace.shape(x)?.length;
  if (!rank) throw new Unfollowed('the shape is not known here', at);
  const [a, b] = [get('dim0', 1), get('dim1', 2)].map((one) => (trace.number(one, 0, at) + rank) % rank) as [number, number];
  const perm = Array.from({ length: rank }, (_, axis) => (axis === a ? b : axis === b ? a : axis));
  return trace.emit('Transpose', [x.name], { perm: { type: 'ints', value: perm } });
};

const size: Rule = ({ trace, input, get }) => {
  const shape = trace.shape(input());
  const one = (axis: number): Value => {
    const known = shape?.at(axis);
    return typeof known === 'number' ? numberValue(known) : { kind: 'native', name: `${sizePrefix}${axis}` };
  };
  const axis = get('dim', 1);
  if (axis?.kind === 'number') return one(axis.value);
  return listValue((shape ?? [null, null, null, null]).map((_, index) => one(index)));
};

const onAxes = (op: 'Unsqueeze' | 'Squeeze'): Rule => ({ trace, input, get, at }) => {
  const axes = numbersOf(get('dim', 1));
  if (!axes) throw new Unfollowed('the axis is not known', at);
  return trace.emit(op, [input().name, trace.ints(axes)]);
};

const functions: Readonly<Record<string, Rule | undefined>> = {
  relu: unary('Relu'), sigmoid: unary('Sigmoid'), tanh: unary('Tanh'), silu: swish, swish, softplus: unary('Softplus'), softsign: unary('Softsign'),
  hardswish: unary('HardSwish'), hardsigmoid: unary('HardSigmoid', { alpha: float(1 / 6) }), exp: unary('Exp'), log: unary('Log'), sqrt: unary('Sqrt'), abs: unary('Abs'),
  'unary-': unary('Neg'), neg: unary('Neg'), mish: unary('Mish'),
  relu6: ({ trace, input }) => trace.emit('Clip', [input().name, trace.scalar(0), trace.scalar(6)], {}, 'relu6'),
  leakyrelu: leaky, leaky_relu: leaky,
  elu: ({ trace, input, get, at }) => trace.emit('Elu', [input().name], { alpha: float(trace.number(get('alpha', 1), 1, at)) }),
  gelu: ({ trace, input, get }) => gelu(trace, input(), get('approximate', 1)),
  softmax: alongAxis('Softmax'), logsoftmax: alongAxis('LogSoftmax'), log_softmax: alongAxis('LogSoftmax'),
  dropout: same, dropout1d: same, dropout2d: same, dropout3d: same, alphadropout: same, identity: same, contiguous: same, clone: same, detach: same, to: same, float: same,
  maxpool1d: pool('MaxPool', 1), maxpool2d: pool('MaxPool', 2), maxpool3d: pool('MaxPool', 3),
  max_pool1d: pool('MaxPool', 1), max_pool2d: pool('MaxPool', 2), max_pool3d: pool('MaxPool', 3),
  avgpool1d: pool('AveragePool', 1), avgpool2d: pool('AveragePool', 2), avg_pool1d: pool('AveragePool', 1), avg_pool2d: pool('AveragePool', 2),
  adaptiveavgpool1d: adaptive('GlobalAveragePool', 1), adaptiveavgpool2d: adaptive('GlobalAveragePool', 2),
  adaptive_avg_pool1d: adaptive('GlobalAveragePool', 1), adaptive_avg_pool2d: adaptive('GlobalAveragePool', 2),
  adaptivemaxpool1d: adaptive('GlobalMaxPool', 1), adaptivemaxpool2d: adaptive('GlobalMaxPool', 2),
  adaptive_max_pool2d: adaptive('GlobalMaxPool', 2),
  flatten, view: reshape, reshape, mean, cat, concat: cat, pad, permute, transpose, size,
  shape: size, unsqueeze: onAxes('Unsqueeze'), squeeze: onAxes('Squeeze'),
  '+': binary('Add'), '-': binary('Sub'), '*': binary('Mul'), '/': binary('Div'), '@': binary('MatMul'),
  add: binary('Add'), sub: binary('Sub'), mul: binary('Mul'), div: binary('Div'), matmul: binary('MatMul'), bmm: binary('MatMul'),
};

function swish({ trace, input }: Given): Value {
  const x = input();
  return trace.emit('Mul', [x.name, trace.emit('Sigmoid', [x.name], {}, 'silu').name], {}, 'silu');
}

function leaky({ trace, input, get, at }: Given): Value {
  return trace.emit('LeakyRelu', [input().name], { alpha: float(trace.number(get('negative_slope', 1), 0.01, at)) });
}

/** x · Φ(x) (Hendrycks & Gimpel 2016), in the operators of operator set 18. */
function gelu(trace: TorchTrace, x: TensorValue, approximate: Value | undefined): Value {
  const scalar = (value: number): string => trace.scalar(value);
  const node = (op: string, ...inputs: string[]): string => trace.emit(op, inputs, {}, 'gelu').name;
  if (approximate?.kind === 'string' && approximate.value === 'tanh') {
    const cube = node('Mul', node('Mul', x.name, x.name), x.name);
    const inner = node('Mul', node('Add', x.name, node('Mul', cube, scalar(0.044715))), scalar(Math.sqrt(2 / Math.PI)));
    return { kind: 'tensor', name: node('Mul', node('Mul', x.name, scalar(0.5)), node('Add', node('Tanh', inner), scalar(1))) };
  }
  const erf = node('Erf', node('Mul', x.name, scalar(Math.SQRT1_2)));
  return { kind: 'tensor', name: node('Mul', node('Mul', x.name, scalar(0.5)), node('Add', erf, scalar(1))) };
}
