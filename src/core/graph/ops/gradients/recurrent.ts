import { hasAttribute, int, intOf, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { range } from '../axes';
import type { GradientContext, GraphBuilder, ShapeContext } from '../operator';
import { activationsOf, partsOf } from '../recurrent';
import { backThroughTime } from './backThroughTime';
import { Maths } from './maths';

/** Steps beyond which the operators of an unrolled layer become too many to compile. */
const maxSteps = 2048;

/**
 * LSTM, GRU and RNN. Layers with peepholes, lengths or unusual functions are unrolled: every step is written out with plain
 * operators, which are then differentiated, and the forward steps run once more. The length of the sequences must be known.
 */
export function recurrentGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const steps = stepsOf(node, context);
  const direct = backThroughTime(node, context, steps);
  if (direct) return direct;
  return context.through((builder) => unrolled(node, context, new Maths({ builder, sizes: (value) => context.sizes(value) }), { steps }));
}

/**
 * The outputs Y, Y_h and Y_c of a recurrent operator, made by plain ones. `shown` [N, H] is multiplied with what a unit
 * shows to others at every step: the layers behind and the gates of all units; 0 silences the unit, recurrence and all.
 * Throws a RangeError when it cannot be written out.
 */
export function unrollRecurrent(node: GraphNode, builder: GraphBuilder, shown: string): readonly (string | undefined)[] {
  const maths = new Maths({ builder, sizes: (value) => builder.facts(value).shape });
  return unrolled(node, builder, maths, { steps: stepsOf(node, builder), shown });
}

function stepsOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): number {
  const { x, time } = partsOf(node);
  const steps = context.facts(x).shape?.[time];
  if (typeof steps !== 'number') {
    throw new RangeError('its steps are written out one by one, for which the length of its sequences must be known, and the model leaves it open');
  }
  if (steps > maxSteps) throw new RangeError(`its ${steps} steps are more than the ${maxSteps} that can be written out one by one`);
  if (hasAttribute(node, 'clip')) throw new RangeError('it clips what goes into its gates');
  return steps;
}

function unrolled(
  node: GraphNode, context: Pick<ShapeContext, 'facts'>, m: Maths, { steps, shown }: { readonly steps: number; readonly shown?: string },
): readonly (string | undefined)[] {
  const show = (h: string): string => (shown === undefined ? h : m.mul(h, shown));
  const { x, w, r, lengths, batchFirst, gates } = partsOf(node);
  const hidden = context.facts(r).shape?.[2];
  const features = context.facts(w).shape?.[2];
  if (typeof hidden !== 'number' || typeof features !== 'number') throw new RangeError('the shapes of its weights are not known');
  const way = stringOf(node, 'direction', 'forward');
  const count = way === 'bidirectional' ? 2 : 1;
  if (lengths && way !== 'forward') throw new RangeError('it runs backwards over sequences of different lengths');
  const timeFirst = batchFirst ? m.transpose(x, [1, 0, 2]) : x; // [T, N, C]
  const flat = m.reshape(timeFirst, [-1, features]);
  const samples = m.size(timeFirst, 1);
  const part = (value: string, direction: number, axis = 0): string =>
    m.op('Squeeze', [count === 1 ? value : m.builder.nodes('Split', [value], 2, { axis: int(axis), num_outputs: int(2) })[direction]!, m.builder.int64([axis])]);
  const directions = range(0, count).map((direction) => {
    const [, , , b = '', , h = '', c = '', p = ''] = node.inputs;
    const own = (value: string, axis = 0): string | undefined => (value ? part(value, direction, axis) : undefined);
    const zeros = (): string => m.constantOfShape(0, m.vector(samples, hidden), context.facts(x).dtype);
    const stateAxis = batchFirst ? 1 : 0;
    const reversed = way === 'reverse' || direction === 1;
    const cell: Cell = {
      m, node, hidden, show, w: own(w)!, r: own(r)!, bias: own(b), peepholes: own(p),
      activate: activationsOf(node, direction).map((function_) => (value) => activated(m, function_, value)),
    };
    const { inputs, step } = cells[node.op]!(cell);
    const rows = m.builder.nodes('Split', [m.reshape(inputs(flat), [steps, -1, gates * hidden])], steps, { axis: int(0), num_outputs: int(steps) });
    let state: State = { h: own(h, stateAxis) ?? zeros(), c: node.op === 'LSTM' ? own(c, stateAxis) ?? zeros() : '' };
    const made: string[] = [];
    for (const at of reversed ? range(0, steps).reverse() : range(0, steps)) {
      const next = step(m.op('Squeeze', [rows[at]!, m.builder.int64([0])]), state);
      const alive = lengths && m.op('Unsqueeze', [m.op('Less', [m.builder.int64([at]), m.cast(lengths, 'int64')]), m.builder.int64([1])]);
      made[at] = m.op('Unsqueeze', [show(alive ? m.only(alive, next.h) : next.h), m.builder.int64([0])]);
      state = alive ? { h: m.where(alive, next.h, state.h), c: next.c && m.where(alive, next.c, state.c) } : next;
    }
    return { all: made.length === 1 ? made[0]! : m.op('Concat', made, { axis: int(0) }), h: show(state.h), c: state.c };
  });
  const joined = (values: readonly string[], axis: number): string => {
    const wide = values.map((value) => m.op('Unsqueeze', [value, m.builder.int64([axis])]));
    return wide.length === 1 ? wide[0]! : m.op('Concat', wide, { axis: int(axis) });
  };
  const y = joined(directions.map(({ all }) => all), 1); // [T, D, N, H]
  const finals = [directions.map(({ h }) => h), directions.map(({ c }) => c)].map((values) => (values[0] ? joined(values, batchFirst ? 1 : 0) : undefined));
  return [batchFirst ? m.transpose(y, [2, 0, 1, 3]) : y, ...finals];
}

interface Cell {
  readonly m: Maths;
  readonly node: GraphNode;
  readonly hidden: number;
  /** [gates*H, C], [gates*H, H], [2*gates*H], [3*H] of one direction. */
  readonly w: string;
  readonly r: string;
  readonly bias?: string;
  readonly peepholes?: string;
  /** What others see of the state. */
  readonly show: (h: string) => string;
  readonly activate: readonly ((value: string) => string)[];
}

interface State {
  readonly h: string;
  /** Of an LSTM, else ''. */
  readonly c: string;
}

interface Steps {
  /** The inputs' part of all gates at all steps: [T*N, C] -> [T*N, gates*H]. */
  inputs(flat: string): string;
  step(row: string, state: State): State;
}

const cells: Readonly<Record<string, (cell: Cell) => Steps>> = {
  RNN({ m, w, r, bias, show, activate }) {
    const both = bias && biases(m, bias).reduce((sum, own) => m.add(sum, own));
    return {
      inputs: (flat) => linear(m, flat, w, both),
      step: (row, { h }) => ({ h: activate[0]!(linear(m, show(h), r, row)), c: '' }),
    };
  },

  LSTM({ m, node, w, r, bias, peepholes, show, activate }) {
    const both = bias && biases(m, bias).reduce((sum, own) => m.add(sum, own));
    const [ofInput, ofOutput, ofForget] = peepholes ? split(m, peepholes, 3, 0) : [];
    const [gate, candidate, squash] = activate as [(value: string) => string, (value: string) => string, (value: string) => string];
    const seen = (value: string, weights: string | undefined, c: string): string => (weights ? m.add(value, m.mul(c, weights)) : value);
    return {
      inputs: (flat) => linear(m, flat, w, both),
      step(row, { h, c }) {
        const [i, o, f, n] = split(m, linear(m, show(h), r, row), 4, 1) as [string, string, string, string];
        const input = gate(seen(i, ofInput, c));
        const forget = intOf(node, 'input_forget', 0) === 1 ? m.minusFrom(1, input) : gate(seen(f, ofForget, c));
        const next = m.add(m.mul(forget, c), m.mul(input, candidate(n)));
        return { h: m.mul(gate(seen(o, ofOutput, next)), squash(next)), c: next };
      },
    };
  },

  GRU({ m, node, w, r, bias, hidden, show, activate }) {
    const [ofInput, ofState] = bias ? biases(m, bias) : [];
    const [gate, candidate] = activate as [(value: string) => string, (value: string) => string];
    const blend = (z: string, n: string, h: string): State => ({ h: m.add(n, m.mul(z, m.sub(h, n))), c: '' });
    if (intOf(node, 'linear_before_reset', 0) !== 0) {
      return {
        inputs: (flat) => linear(m, flat, w, ofInput),
        step(row, { h }) {
          const [zx, rx, nx] = split(m, row, 3, 1) as [string, string, string];
          const [zh, rh, nh] = split(m, linear(m, show(h), r, ofState), 3, 1) as [string, string, string];
          const n = candidate(m.add(nx, m.mul(gate(m.add(rx, rh)), nh)));
          return blend(gate(m.add(zx, zh)), n, h);
        },
      };
    }
    const both = ofInput && ofState && m.add(ofInput, ofState);
    const cut = { axis: int(0) };
    const [ofGates, ofCandidate] = m.builder.nodes('Split', [r, m.builder.int64([2 * hidden, hidden])], 2, cut) as [string, string];
    return {
      inputs: (flat) => linear(m, flat, w, both),
      step(row, { h }) {
        const [zr, nx] = m.builder.nodes('Split', [row, m.builder.int64([2 * hidden, hidden])], 2, { axis: int(1) }) as [string, string];
        const [z, reset] = split(m, gate(linear(m, show(h), ofGates, zr)), 2, 1) as [string, string];
        return blend(z, candidate(linear(m, m.mul(reset, show(h)), ofCandidate, nx)), h);
      },
    };
  },
};

function linear(m: Maths, x: string, weights: string, plus: string | undefined): string {
  return m.op('Gemm', [x, weights, ...(plus ? [plus] : [])], { transB: int(1) });
}

/** The biases of the inputs' and of the states' products. */
function biases(m: Maths, both: string): readonly string[] {
  return split(m, both, 2, 0);
}

function split(m: Maths, value: string, parts: number, axis: number): readonly string[] {
  return m.builder.nodes('Split', [value], parts, { axis: int(axis), num_outputs: int(parts) });
}

type Activation = ReturnType<typeof activationsOf>[number];

function activated(m: Maths, { name, alpha, beta }: Activation, value: string): string {
  const plain = plainActivations[name];
  if (plain) {
    const settings = { ...(alpha !== undefined && { alpha: { type: 'float', value: alpha } as const }), ...(beta !== undefined && { beta: { type: 'float', value: beta } as const }) };
    return m.op(plain, [value], settings);
  }
  if (name === 'affine') return m.plus(m.scale(value, alpha ?? 1), beta ?? 0);
  if (name === 'scaledtanh') return m.scale(m.op('Tanh', [m.scale(value, beta ?? 1)]), alpha ?? 1);
  throw new RangeError(`its activation ${name} is not known`);
}

const plainActivations: Readonly<Record<string, string>> = {
  sigmoid: 'Sigmoid', tanh: 'Tanh', relu: 'Relu', leakyrelu: 'LeakyRelu', thresholdedrelu: 'ThresholdedRelu', hardsigmoid: 'HardSigmoid', elu: 'Elu',
  softsign: 'Softsign', softplus: 'Softplus',
};
