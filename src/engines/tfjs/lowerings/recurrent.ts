import type * as Tf from '@tensorflow/tfjs-core';
import { floatOf, hasAttribute, intOf, stringOf } from '../../../core/graph/attributes';
import { activationsOf } from '../../../core/graph/ops/recurrent';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import type { TfModule, Value } from '../value';

/** LSTM, GRU and RNN: the inputs' products for all steps at once, then step by step what depends on the state. */
export const recurrent: LoweringFamily = {
  lowerings: { LSTM: run, GRU: run, RNN: run },
  refuses(node) {
    const unknown = activationsOf(node, 0).concat(activationsOf(node, 1)).find(({ name }) => !functions[name]);
    return unknown && `its activation ${unknown.name} is not known`;
  },
};

interface Direction {
  readonly backwards: boolean;
  /** [C, rows] and [H, rows]. */
  readonly input: Tf.Tensor2D;
  readonly state: Tf.Tensor2D;
  readonly inputBias?: Tf.Tensor1D;
  readonly stateBias?: Tf.Tensor1D;
  readonly peepholes?: Tf.Tensor1D;
  readonly functions: readonly Activation[];
  readonly h: Tf.Tensor2D;
  readonly c?: Tf.Tensor2D;
}

interface State {
  readonly h: Tf.Tensor2D;
  readonly c?: Tf.Tensor2D;
}

type Step = (projected: Tf.Tensor2D, state: State, direction: Direction) => State;

function run(context: LoweringContext): readonly Value[] {
  const { tf, node } = context;
  const batchFirst = intOf(node, 'layout', 0) === 1;
  const x = context.laidOut(context.input(0), batchFirst ? [1, 0, 2] : [0, 1, 2]) as Tf.Tensor3D; // [T, N, C]
  const [steps, batch] = x.shape;
  const directions = context.input(1).tensor.shape[0]!;
  const backward = stringOf(node, 'direction', 'forward') === 'reverse';
  const lengths = context.numbers(4);
  const step = stepOf(context);
  const all: Tf.Tensor3D[] = [];
  const finals: State[] = [];
  for (let index = 0; index < directions; index++) {
    const direction = directionOf(context, index, backward || index === 1, batch, batchFirst);
    const rows = direction.input.shape[1];
    const products = tf.matMul(tf.reshape(x, [steps * batch, x.shape[2]]), direction.input);
    const biased = direction.inputBias ? tf.add(products, direction.inputBias) : products;
    const projected = tf.reshape(biased, [steps, batch, rows]) as Tf.Tensor3D;
    const outputs = new Array<Tf.Tensor2D>(steps);
    let state: State = { h: direction.h, ...(direction.c && { c: direction.c }) };
    for (let turn = 0; turn < steps; turn++) {
      const time = direction.backwards ? steps - 1 - turn : turn;
      const next = advance(tf, step, tf.squeeze(tf.slice(projected, [time, 0, 0], [1, batch, rows]), [0]), state, direction);
      // Behind its end a sequence keeps its state and gives zeros.
      const live = lengths?.some((length) => time >= length)
        ? tf.tensor2d(Float32Array.from(lengths, (length) => Number(time < length)), [batch, 1]) : undefined;
      state = live ? { h: blend(tf, live, next.h, state.h), ...(next.c && { c: blend(tf, live, next.c, state.c!) }) } : next;
      outputs[time] = live ? tf.mul(next.h, live) : next.h;
    }
    all.push(tf.stack(outputs) as Tf.Tensor3D);
    finals.push(state);
  }
  const sequence = tf.stack(all, 1); // [T, D, N, H]
  const last = (pick: (state: State) => Tf.Tensor2D): Value => {
    const stacked = tf.stack(finals.map(pick)); // [D, N, H]
    return context.value(stacked, undefined, batchFirst ? [1, 0, 2] : [0, 1, 2]);
  };
  const results = [context.value(sequence, undefined, batchFirst ? [1, 2, 0, 3] : [0, 1, 2, 3]), last((state) => state.h)];
  return node.op === 'LSTM' ? [...results, last((state) => state.c!)] : results;
}

function advance(tf: TfModule, step: Step, projected: Tf.Tensor2D, state: State, direction: Direction): State {
  const kept: { next?: State } = {};
  tf.tidy(() => {
    kept.next = step(projected, state, direction);
    return [kept.next.h, ...(kept.next.c ? [kept.next.c] : [])];
  });
  return kept.next!;
}

function blend(tf: TfModule, live: Tf.Tensor2D, next: Tf.Tensor2D, before: Tf.Tensor2D): Tf.Tensor2D {
  return tf.add(tf.mul(next, live), tf.mul(before, tf.sub(1, live)));
}

function directionOf(context: LoweringContext, index: number, backwards: boolean, batch: number, batchFirst: boolean): Direction {
  const { tf, node } = context;
  const part = (input: number): Value | undefined => context.optional(input);
  const matrix = (value: Value): Tf.Tensor2D => context.form(value, `direction ${index}, transposed`, () => {
    const plain = context.plain(value);
    return tf.transpose(tf.squeeze(tf.slice(plain, [index, 0, 0], [1, ...plain.shape.slice(1)]), [0]));
  }) as Tf.Tensor2D;
  const row = (value: Value, start: number, count: number): Tf.Tensor1D => context.form(value, `direction ${index}, ${start}`, () =>
    tf.reshape(tf.slice(context.plain(value), [index, start], [1, count]), [count])) as Tf.Tensor1D;
  const state = matrix(context.input(2));
  const [hidden, rows] = state.shape;
  const initial = (value: Value | undefined): Tf.Tensor2D => {
    if (!value) return tf.zeros([batch, hidden]);
    const laid = context.laidOut(value, batchFirst ? [1, 0, 2] : [0, 1, 2]);
    return tf.squeeze(tf.slice(laid, [index, 0, 0], [1, batch, hidden]), [0]);
  };
  const bias = part(3);
  const peepholes = node.op === 'LSTM' ? part(7) : undefined;
  const [x, h] = bias ? [row(bias, 0, rows), row(bias, rows, rows)] : [];
  // Where the state's biases are only added, they are added once for all steps.
  const apart = node.op === 'GRU' && intOf(node, 'linear_before_reset', 0) === 1;
  return {
    backwards, input: matrix(context.input(1)), state,
    ...(x && h && (apart ? { inputBias: x, stateBias: h } : { inputBias: context.form(bias!, `direction ${index}, sum`, () => tf.add(x, h)) as Tf.Tensor1D })),
    ...(peepholes && { peepholes: row(peepholes, 0, 3 * hidden) }),
    functions: activationsOf(node, index).map(({ name, alpha, beta }) => (z) => functions[name]!(tf, z, alpha, beta)),
    h: initial(part(5)), ...(node.op === 'LSTM' && { c: initial(part(6)) }),
  };
}

function stepOf(context: LoweringContext): Step {
  const { tf, node } = context;
  const limit = floatOf(node, 'clip', 0);
  const clip = (z: Tf.Tensor2D): Tf.Tensor2D => hasAttribute(node, 'clip') && limit > 0 ? tf.clipByValue(z, -limit, limit) : z;
  const columns = (z: Tf.Tensor2D, first: number, count: number, hidden: number): Tf.Tensor2D =>
    tf.slice(z, [0, first * hidden], [z.shape[0], count * hidden]);
  if (node.op === 'RNN') {
    return (projected, { h }, { state, functions: [f] }) => ({ h: f!(clip(tf.add(projected, tf.matMul(h, state)))) as Tf.Tensor2D });
  }
  if (node.op === 'GRU') {
    const apart = intOf(node, 'linear_before_reset', 0) === 1;
    return (projected, { h }, { state, stateBias, functions: [f, g] }) => {
      const hidden = h.shape[1];
      const product: Tf.Tensor2D = tf.matMul(h, apart ? state : columns(state, 0, 2, hidden));
      const whole: Tf.Tensor2D = apart && stateBias ? tf.add(product, stateBias) : product;
      const gates = f!(clip(tf.add(columns(projected, 0, 2, hidden), columns(whole, 0, 2, hidden)))) as Tf.Tensor2D;
      const [z, r] = [columns(gates, 0, 1, hidden), columns(gates, 1, 1, hidden)];
      const inner = apart ? tf.mul(r, columns(whole, 2, 1, hidden)) : tf.matMul(tf.mul(r, h) as Tf.Tensor2D, columns(state, 2, 1, hidden));
      const fresh = g!(clip(tf.add(columns(projected, 2, 1, hidden), inner))) as Tf.Tensor2D;
      return { h: tf.add(tf.mul(tf.sub(1, z), fresh), tf.mul(z, h)) };
    };
  }
  const coupled = intOf(node, 'input_forget', 0) === 1;
  return (projected, { h, c }, { state, peepholes, functions: [f, g, out] }) => {
    const hidden = h.shape[1];
    const gates: Tf.Tensor2D = tf.add(projected, tf.matMul(h, state));
    const peep = (z: Tf.Tensor2D, number: number, cell: Tf.Tensor2D): Tf.Tensor2D =>
      peepholes ? tf.add(z, tf.mul(tf.slice(peepholes, number * hidden, hidden), cell)) : z;
    const i = f!(clip(peep(columns(gates, 0, 1, hidden), 0, c!))) as Tf.Tensor2D;
    const forget = coupled ? tf.sub(1, i) : f!(clip(peep(columns(gates, 2, 1, hidden), 2, c!)));
    const cell: Tf.Tensor2D = tf.add(tf.mul(forget, c!), tf.mul(i, g!(clip(columns(gates, 3, 1, hidden)))));
    const o = f!(clip(peep(columns(gates, 1, 1, hidden), 1, cell)));
    return { h: tf.mul(o, out!(cell)), c: cell };
  };
}

type Activation = (z: Tf.Tensor) => Tf.Tensor;

const functions: Readonly<Record<string, (tf: TfModule, z: Tf.Tensor, alpha: number | undefined, beta: number | undefined) => Tf.Tensor>> = {
  sigmoid: (tf, z) => tf.sigmoid(z),
  tanh: (tf, z) => tf.tanh(z),
  relu: (tf, z) => tf.relu(z),
  softsign: (tf, z) => tf.div(z, tf.add(1, tf.abs(z))),
  softplus: (tf, z) => tf.add(tf.log(tf.add(1, tf.exp(tf.neg(tf.abs(z))))), tf.relu(z)),
  affine: (tf, z, alpha = 1, beta = 0) => tf.add(tf.mul(z, alpha), beta),
  leakyrelu: (tf, z, alpha = 0.01) => tf.leakyRelu(z, alpha),
  thresholdedrelu: (tf, z, alpha = 1) => tf.mul(z, tf.cast(tf.greater(z, alpha), 'float32')),
  scaledtanh: (tf, z, alpha = 1, beta = 1) => tf.mul(tf.tanh(tf.mul(z, beta)), alpha),
  hardsigmoid: (tf, z, alpha = 0.2, beta = 0.5) => tf.clipByValue(tf.add(tf.mul(z, alpha), beta), 0, 1),
  elu: (tf, z, alpha = 1) => tf.where(tf.greater(z, 0), z, tf.mul(tf.sub(tf.exp(tf.minimum(z, 0)), 1), alpha)),
};
