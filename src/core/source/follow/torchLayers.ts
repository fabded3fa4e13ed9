import { float, int } from '../../graph/attributes';
import type { Span } from '../definition';
import type { Arguments } from './interpreter';
import { callFunction } from './torchFunctions';
import { Unfollowed, windowAttributes, type TorchTrace } from './torchTrace';
import type { ModuleValue, TensorValue, Value } from './values';

/** The operators of one layer of PyTorch; undefined for a type that is not followed. */
export function callLayer(trace: TorchTrace, module: ModuleValue, given: Arguments, at: Span): Value | undefined {
  const { type } = module;
  const input = trace.tensor(given.positional[0] ?? given.keywords.get('input') ?? given.keywords.get('x'), at);
  const convolution = /^Conv(Transpose)?([123])d$/.exec(type);
  if (convolution) return convolve(trace, module, input, Number(convolution[2]), convolution[1] !== undefined);
  if (/^BatchNorm[123]d$|^SyncBatchNorm$/.test(type)) return batchNorm(trace, module, input);
  if (type === 'Identity' || /Dropout/.test(type)) return input;
  switch (type) {
    case 'Linear': return linear(trace, module, input);
    case 'LayerNorm': return layerNorm(trace, module, input);
    case 'Embedding': {
      const weight = required(trace, module, 'weight');
      trace.describeInput(input, [null, null], 'int64');
      return trace.emit('Gather', [weight, input.name], { axis: int(0) });
    }
    case 'PReLU': {
      const weight = required(trace, module, 'weight');
      return trace.emit('PRelu', [input.name, weight]);
    }
    default: {
      // The functional form with the layer's own arguments.
      const keywords = new Map([...module.keywords].filter(([name]) => name !== 'inplace'));
      return callFunction(trace, `module.${type}`, { positional: [input, ...module.positional], keywords }, module.call);
    }
  }
}

function convolve(trace: TorchTrace, module: ModuleValue, input: TensorValue, rank: number, turned: boolean): Value {
  const at = module.call;
  const weight = required(trace, module, 'weight');
  const bias = trace.weight(module, 'bias');
  const get = argumentsOf(module);
  const ones = new Array<number>(rank).fill(1);
  const zeros = new Array<number>(rank).fill(0);
  const strides = trace.numbers(get('stride', 3), rank, ones, at);
  const text = get('padding', 4);
  const dilations = trace.numbers(get('dilation', turned ? 8 : 5), rank, ones, at);
  const group = trace.number(get('groups', turned ? 6 : 6), 1, at);
  const shape = trace.tensors.get(weight)!.shape;
  const kernel = trace.numbers(get('kernel_size', 2), rank, shape.slice(2), at);
  const [inputs, outputs] = [get('in_channels', 0), get('out_channels', 1)];
  const expected = (turned
    ? [numberOr(inputs, shape[0]!), numberOr(outputs, shape[1]! * group) / group, ...kernel]
    : [numberOr(outputs, shape[0]!), numberOr(inputs, shape[1]! * group) / group, ...kernel]);
  same(trace, module, weight, expected);
  trace.describeInput(input, [null, turned ? shape[0]! : shape[1]! * group, ...new Array<number | null>(rank).fill(trace.pictureSize)]);
  const mode = get('padding_mode', turned ? 9 : 8);
  if (mode && (mode.kind !== 'string' || mode.value !== 'zeros')) throw new Unfollowed('padding other than with zeros is not followed', at);
  const attributes = { dilations: { type: 'ints', value: dilations }, group: int(group) } as const;
  const all = bias ? [input.name, weight, bias] : [input.name, weight];
  if (text?.kind === 'string' && text.value === 'same') {
    return trace.emit('Conv', all, { ...attributes, strides: { type: 'ints', value: strides }, auto_pad: { type: 'string', value: 'SAME_UPPER' } });
  }
  const padding = text?.kind === 'string' ? zeros : trace.numbers(text, rank, zeros, at);
  if (!turned) return trace.emit('Conv', all, { ...attributes, ...windowAttributes(kernel, strides, padding) });
  const extra = trace.numbers(get('output_padding', 5), rank, zeros, at);
  return trace.emit('ConvTranspose', all, { ...attributes, ...windowAttributes(kernel, strides, padding), output_padding: { type: 'ints', value: extra } });
}

function linear(trace: TorchTrace, module: ModuleValue, input: TensorValue): Value {
  const weight = required(trace, module, 'weight');
  const bias = trace.weight(module, 'bias');
  const get = argumentsOf(module);
  const { shape } = trace.tensors.get(weight)!;
  same(trace, module, weight, [numberOr(get('out_features', 1), shape[0]!), numberOr(get('in_features', 0), shape[1]!)]);
  trace.describeInput(input, [null, shape[1]!]);
  const before = trace.shape(input);
  const last = before?.at(-1);
  if (last === null || last === undefined) trace.needsSize = true;
  else if (last !== shape[1]) throw new Unfollowed(`${nameOf(module)} takes ${shape[1]} values and is given ${last}`, module.call);
  if (before === undefined || before.length === 2) return trace.emit('Gemm', bias ? [input.name, weight, bias] : [input.name, weight], { transB: int(1) });
  const turned = trace.emit('Transpose', [weight], { perm: { type: 'ints', value: [1, 0] } });
  const product = trace.emit('MatMul', [input.name, turned.name]);
  return bias ? trace.emit('Add', [product.name, bias]) : product;
}

function batchNorm(trace: TorchTrace, module: ModuleValue, input: TensorValue): Value {
  const names = ['weight', 'bias', 'running_mean', 'running_var'].map((role) => trace.weight(module, role));
  if (names.includes(undefined)) throw new Unfollowed(`${nameOf(module)}: a normalisation without scale or statistics is not followed`, module.call);
  const get = argumentsOf(module);
  const features = get('num_features', 0);
  if (features?.kind === 'number') same(trace, module, names[0]!, [features.value]);
  return trace.emit('BatchNormalization', [input.name, ...(names as string[])], { epsilon: float(trace.number(get('eps', 1), 1e-5, module.call)) });
}

function layerNorm(trace: TorchTrace, module: ModuleValue, input: TensorValue): Value {
  const weight = required(trace, module, 'weight');
  const bias = trace.weight(module, 'bias');
  const get = argumentsOf(module);
  const rank = trace.tensors.get(weight)!.shape.length;
  return trace.emit('LayerNormalization', bias ? [input.name, weight, bias] : [input.name, weight], {
    axis: int(-rank), epsilon: float(trace.number(get('eps', 1), 1e-5, module.call)),
  });
}

export function argumentsOf(module: ModuleValue): (name: string, position?: number) => Value | undefined {
  return (name, position) => module.keywords.get(name) ?? (position === undefined ? undefined : module.positional[position]);
}

function required(trace: TorchTrace, module: ModuleValue, role: string): string {
  const name = trace.weight(module, role);
  if (name === undefined) throw new Unfollowed(`the file has no ${role} for ${nameOf(module)}`, module.call);
  return name;
}

/** The shape of a weight as the code says it. */
function same(trace: TorchTrace, module: ModuleValue, weight: string, expected: readonly number[]): void {
  const { shape } = trace.tensors.get(weight)!;
  if (shape.length === expected.length && shape.every((size, axis) => size === expected[axis])) return;
  throw new Unfollowed(`${nameOf(module)}: by the code ${weight} is ${expected.join(' × ')}, in the file it is ${shape.join(' × ')}`, module.call);
}

function numberOr(value: Value | undefined, otherwise: number): number {
  return value?.kind === 'number' ? value.value : otherwise;
}

function nameOf(module: ModuleValue): string {
  return `nn.${module.type}`;
}
