import { floatOf, hasAttribute, intOf, stringOf } from '../graph/attributes';
import type { GraphNode } from '../graph/modelGraph';
import { activationsOf } from '../graph/ops/recurrent';

/** One direction of a recurrent operator, row-major; time comes first whatever the operator's layout. */
export interface RecurrentOperands {
  readonly steps: number;
  readonly batch: number;
  readonly features: number;
  readonly hidden: number;
  /** [steps, batch, features] */
  readonly x: Float32Array;
  /** [gates*hidden, features], [gates*hidden, hidden], [2*gates*hidden], [3*hidden] */
  readonly w: Float32Array;
  readonly r: Float32Array;
  readonly b?: Float32Array;
  readonly peepholes?: Float32Array;
  /** [batch, hidden] */
  readonly h?: Float32Array;
  readonly c?: Float32Array;
  readonly lengths?: readonly number[];
}

export interface Unfolded {
  /** Hidden states, and each gate by name: [steps, batch, hidden]. Behind a sequence's end they are NaN. */
  readonly states: Float32Array;
  readonly gates: ReadonlyMap<string, Float32Array>;
}

/** Gates of an operator that open and close (0..1), by their place among its weights. */
export const gateNames: Readonly<Record<string, readonly string[]>> = { LSTM: ['input', 'output', 'forget'], GRU: ['update', 'reset'], RNN: [] };

/**
 * Runs one direction step by step, in double precision, and keeps what the operator does not give away: its gates. Formulas are
 * those of the ONNX standard for LSTM, GRU and RNN. Throws a RangeError for an activation that is not known.
 */
export function unfold(node: GraphNode, direction: number, operands: RecurrentOperands): Unfolded {
  const { steps, batch, hidden, features, x, w, r, b, peepholes, lengths } = operands;
  const kinds = activationsOf(node, direction).map(({ name, alpha, beta }) => {
    const found = functions[name];
    if (!found) throw new RangeError(`its activation ${name} is not known`);
    return (z: number) => found(z, alpha, beta);
  });
  const [f, g = f!, out = g] = kinds as [Activation, Activation?, Activation?];
  const names = gateNames[node.op] ?? [];
  const parts = { LSTM: 4, GRU: 3 }[node.op] ?? 1;
  const size = parts * hidden;
  const limit = hasAttribute(node, 'clip') ? floatOf(node, 'clip', Infinity) || Infinity : Infinity;
  const clip = (z: number): number => Math.max(-limit, Math.min(limit, z));
  const apart = intOf(node, 'linear_before_reset', 0) !== 0;
  const coupled = intOf(node, 'input_forget', 0) === 1;
  const states = new Float32Array(steps * batch * hidden).fill(NaN);
  const gates = new Map(names.map((name) => [name, new Float32Array(steps * batch * hidden).fill(NaN)]));
  const keep = (name: string, at: number, value: number): number => (gates.get(name)![at] = value);
  const backwards = stringOf(node, 'direction', 'forward') === 'reverse' || direction === 1;
  const fromInput = new Float64Array(size);
  const fromState = new Float64Array(size);
  for (let sample = 0; sample < batch; sample++) {
    const own = (state: Float32Array | undefined): Float64Array => Float64Array.from({ length: hidden }, (_, unit) => state?.[sample * hidden + unit] ?? 0);
    let h = own(operands.h);
    const c = own(operands.c);
    const length = Math.min(lengths?.[sample] ?? steps, steps);
    for (let turn = 0; turn < length; turn++) {
      const time = backwards ? length - 1 - turn : turn;
      const at = (time * batch + sample) * hidden;
      const row = (time * batch + sample) * features;
      for (let z = 0; z < size; z++) {
        let sum = b?.[z] ?? 0;
        for (let k = 0; k < features; k++) sum += w[z * features + k]! * x[row + k]!;
        fromInput[z] = sum;
        sum = b?.[size + z] ?? 0;
        for (let k = 0; k < hidden; k++) sum += r[z * hidden + k]! * h[k]!;
        fromState[z] = sum;
      }
      const whole = (part: number, unit: number): number => fromInput[part * hidden + unit]! + fromState[part * hidden + unit]!;
      const next = new Float64Array(hidden);
      if (node.op === 'LSTM') {
        for (let unit = 0; unit < hidden; unit++) {
          const peep = (part: number, cell: number): number => (peepholes ? peepholes[part * hidden + unit]! * cell : 0);
          const i = keep('input', at + unit, f(clip(whole(0, unit) + peep(0, c[unit]!))));
          const forget = keep('forget', at + unit, coupled ? 1 - i : f(clip(whole(2, unit) + peep(2, c[unit]!))));
          c[unit] = forget * c[unit]! + i * g(clip(whole(3, unit)));
          next[unit] = keep('output', at + unit, f(clip(whole(1, unit) + peep(1, c[unit]!)))) * out(c[unit]!);
        }
      } else if (node.op === 'GRU') {
        const reset = Float64Array.from({ length: hidden }, (_, unit) => keep('reset', at + unit, f(clip(whole(1, unit)))));
        for (let unit = 0; unit < hidden; unit++) {
          const z = keep('update', at + unit, f(clip(whole(0, unit))));
          const row2 = 2 * hidden + unit;
          let inner = fromState[row2]!;
          if (apart) inner *= reset[unit]!;
          else {
            // The state is reset before its product, not behind it.
            inner = b?.[size + row2] ?? 0;
            for (let k = 0; k < hidden; k++) inner += r[row2 * hidden + k]! * reset[k]! * h[k]!;
          }
          next[unit] = (1 - z) * g(clip(fromInput[row2]! + inner)) + z * h[unit]!;
        }
      } else {
        for (let unit = 0; unit < hidden; unit++) next[unit] = f(clip(whole(0, unit)));
      }
      h = next;
      states.set(next, at);
    }
  }
  return { states, gates };
}

type Activation = (z: number) => number;

const functions: Readonly<Record<string, (z: number, alpha?: number, beta?: number) => number>> = {
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  tanh: (z) => Math.tanh(z),
  relu: (z) => Math.max(0, z),
  softsign: (z) => z / (1 + Math.abs(z)),
  softplus: (z) => Math.log1p(Math.exp(-Math.abs(z))) + Math.max(0, z),
  affine: (z, alpha = 1, beta = 0) => alpha * z + beta,
  leakyrelu: (z, alpha = 0.01) => (z < 0 ? alpha * z : z),
  thresholdedrelu: (z, alpha = 1) => (z > alpha ? z : 0),
  scaledtanh: (z, alpha = 1, beta = 1) => alpha * Math.tanh(beta * z),
  hardsigmoid: (z, alpha = 0.2, beta = 0.5) => Math.max(0, Math.min(1, alpha * z + beta)),
  elu: (z, alpha = 1) => (z < 0 ? alpha * Math.expm1(z) : z),
};
