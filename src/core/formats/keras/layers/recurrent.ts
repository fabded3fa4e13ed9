import { int, string } from '../../../graph/attributes';
import { lookUp } from '../../../graph/lookUp';
import type { Attribute, Shape } from '../../../graph/modelGraph';
import { isObject, type Json } from '../../containers/json';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { transpose } from '../layout';

/** Recurrent layers; the wrapper that runs one in both directions makes two operators, each with its own weights. */
export const recurrentLayers: LayerGroup = {
  LSTM: recurrent,
  CuDNNLSTM: recurrent,
  GRU: recurrent,
  CuDNNGRU: recurrent,
  SimpleRNN: recurrent,
  Bidirectional: bidirectional,
};

interface Kind {
  readonly op: 'LSTM' | 'GRU' | 'RNN';
  /** Gate k of ONNX is gate order[k] of Keras. */
  readonly order: readonly number[];
  readonly cudnn: boolean;
}

const kinds: Readonly<Record<string, Kind>> = {
  // Keras: input, forget, cell, output; ONNX: input, output, forget, cell.
  LSTM: { op: 'LSTM', order: [0, 3, 1, 2], cudnn: false },
  CuDNNLSTM: { op: 'LSTM', order: [0, 3, 1, 2], cudnn: true },
  GRU: { op: 'GRU', order: [0, 1, 2], cudnn: false },
  CuDNNGRU: { op: 'GRU', order: [0, 1, 2], cudnn: true },
  SimpleRNN: { op: 'RNN', order: [0], cudnn: false },
};

function recurrent(context: LayerContext): KerasValue | readonly KerasValue[] {
  const backwards = context.flag('go_backwards', false);
  const run = runLayer(context, backwards);
  if (!run) return context.opaque(sequenceShape(context));
  const { sequence, state } = run;
  // Keras lists what it made in the order in which it made it.
  const output = sequence && backwards ? reversed(context, sequence) : sequence ?? state[0]!;
  return context.flag('return_state', false) ? [output, ...state] : output;
}

function bidirectional(context: LayerContext): KerasValue | readonly KerasValue[] {
  const input = context.input();
  const states = context.inputs.slice(1);
  const forward = context.wrapped('layer', [input, ...states.slice(0, states.length / 2)], 'forward');
  // A layer of its own for the way back keeps its own name; the one that is made from the other is called after it.
  const own = context.setting('backward_layer');
  const name = isObject(own) && isObject(own.config) && typeof own.config.name === 'string' ? own.config.name : 'backward';
  const backward = context.wrapped(isObject(own) ? 'backward_layer' : 'layer', [input, ...states.slice(states.length / 2)], name);
  const mode = context.setting('merge_mode') === undefined ? 'concat' : context.setting('merge_mode');
  if (!forward || !backward || !lookUp(kinds, forward.className) || !lookUp(kinds, backward.className)) return context.opaque();
  const one = runLayer(forward, false);
  const two = one && runLayer(backward, true);
  if (!one || !two) return context.opaque();
  const pair = [one.sequence ?? one.state[0]!, two.sequence ?? two.state[0]!] as const;
  const merged = mode === null ? pair : [merge(context, pair, mode)];
  return forward.flag('return_state', false) ? [...merged, ...one.state, ...two.state] : merged;
}

interface Run {
  /** [N, T, H], by the time of the input; only when the layer returns sequences. */
  readonly sequence?: KerasValue;
  /** The final states, [N, H] each. */
  readonly state: readonly KerasValue[];
}

/** Adds the operator; undefined when it does something that the operator cannot. */
function runLayer(context: LayerContext, backwards: boolean): Run | undefined {
  const kind = kinds[context.className];
  const activations = kind && activationsOf(context, kind);
  const input = context.input();
  if (!kind || !activations || context.flag('time_major', false) || (input.shape && input.shape.length !== 3)) return undefined;
  const { order, op, cudnn } = kind;
  const kernel = context.weight('kernel', { axes: [1, 0], gates: { order } });
  const states = context.weight('recurrent_kernel', { axes: [1, 0], gates: { order } });
  const units = states.shape[2]!;
  context.follows('units', states.name, 2);
  const after = op === 'GRU' && (cudnn || context.flag('reset_after', false));
  const bias = cudnn || context.flag('use_bias', true)
    ? context.weight('bias', { gates: { order, biases: cudnn || after ? 2 : 1, ...(cudnn && { flat: true }) } }) : undefined;
  const [batch = null, time = null] = input.shape ?? [];
  const initial = context.inputs.slice(1).map((state) => unsqueezed(context, state));
  const wanted = context.flag('return_sequences', false);
  const outputs = context.nodes(op, [transpose(context, input, [1, 0, 2]).name, kernel.name, states.name, bias?.name ?? '', '', ...initial], [
    wanted, !wanted || context.flag('return_state', false), ...(op === 'LSTM' ? [context.flag('return_state', false)] : []),
  ], {
    hidden_size: int(units), ...activations, ...(backwards && { direction: string('reverse') }), ...(after && { linear_before_reset: int(1) }),
  });
  const [all, ...finals] = outputs;
  const squeezed = (value: string, axis: number): string => context.node('Squeeze', [value, context.int64('axes', [axis])]);
  const state = finals.filter(Boolean).map((value): KerasValue => ({ name: squeezed(value, 0), shape: [batch, units] }));
  if (!all) return { state };
  const sequence = transpose(context, { name: squeezed(all, 1), shape: [time, batch, units] }, [1, 0, 2]);
  return { sequence, state };
}

function unsqueezed(context: LayerContext, state: KerasValue): string {
  return context.node('Unsqueeze', [state.name, context.int64('axes', [0])]);
}

function reversed(context: LayerContext, value: KerasValue): KerasValue {
  const bound = (hint: string, number: number): string => context.int64(hint, [number]);
  return { ...value, name: context.node('Slice', [value.name, bound('starts', -1), bound('ends', -(2 ** 31) + 1), bound('axes', 1), bound('steps', -1)]) };
}

function merge(context: LayerContext, [one, two]: readonly [KerasValue, KerasValue], mode: Json | undefined): KerasValue {
  const op = lookUp({ sum: 'Add', mul: 'Mul', ave: 'Add', concat: 'Concat' }, String(mode)) ?? context.fail(`its merge_mode ${JSON.stringify(mode)} is not known`);
  const rank = one.shape?.length ?? 2;
  const name = context.node(op, [one.name, two.name], op === 'Concat' ? { axis: int(rank - 1) } : {});
  if (mode === 'ave') return { ...one, name: context.node('Div', [name, context.float32('two', [2])]) };
  const shape: Shape | undefined = op === 'Concat' && one.shape && two.shape
    ? [...one.shape.slice(0, -1), (one.shape[rank - 1] ?? 0) + (two.shape[rank - 1] ?? 0)] : one.shape;
  return { ...one, name, shape };
}

function sequenceShape(context: LayerContext): Shape {
  const units = context.number('units', 0);
  const [batch = null, time = null] = context.input().shape ?? [];
  return context.flag('return_sequences', false) ? [batch, time, units] : [batch, units];
}

/** The settings as ONNX's activations, or undefined when one has no counterpart. */
function activationsOf(context: LayerContext, { op, cudnn }: Kind): Readonly<Record<string, Attribute>> | undefined {
  const name = (setting: string, otherwise: string): string => {
    const value = context.setting(setting);
    const named = isObject(value) ? value.config : value;
    return cudnn ? otherwise : typeof named === 'string' ? named : value === null ? 'linear' : otherwise;
  };
  const outer = name('activation', 'tanh');
  const names = op === 'RNN' ? [outer] : [name('recurrent_activation', 'sigmoid'), outer, ...(op === 'LSTM' ? [outer] : [])];
  const found = names.map((one) => functions(context.dialect.hardSigmoidSlope)[one]);
  if (!found.every((one) => one !== undefined)) return undefined;
  const usual = op === 'RNN' ? 'tanh' : op === 'GRU' ? 'sigmoid,tanh' : 'sigmoid,tanh,tanh';
  if (names.join() === usual) return {};
  const alphas = found.flatMap((one) => one.alpha ?? []);
  const betas = found.flatMap((one) => one.beta ?? []);
  return {
    activations: { type: 'strings', value: found.map((one) => one.name) },
    ...(alphas.length && { activation_alpha: { type: 'floats', value: alphas } }),
    ...(betas.length && { activation_beta: { type: 'floats', value: betas } }),
  };
}

function functions(slope: number): Readonly<Record<string, { readonly name: string; readonly alpha?: number; readonly beta?: number } | undefined>> {
  return {
    tanh: { name: 'Tanh' }, sigmoid: { name: 'Sigmoid' }, relu: { name: 'Relu' }, softsign: { name: 'Softsign' }, softplus: { name: 'Softplus' },
    linear: { name: 'Affine', alpha: 1, beta: 0 }, hard_sigmoid: { name: 'HardSigmoid', alpha: slope, beta: 0.5 },
    elu: { name: 'Elu', alpha: 1 }, leaky_relu: { name: 'LeakyRelu', alpha: 0.2 },
  };
}

