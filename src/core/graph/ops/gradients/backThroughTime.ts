import { hasAttribute, int, intOf, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { range } from '../axes';
import type { GradientContext } from '../operator';
import { activationsOf, partsOf } from '../recurrent';
import { Maths } from './maths';

/**
 * Backpropagation through time of LSTM, GRU and RNN with their usual functions (Werbos, "Backpropagation through time", 1990).
 * As the states of all steps are known, gates and all factors that do not depend on gradients are computed for all steps at once,
 * and so are the products that give the gradients of weights and inputs; only what a step hands to the one before it is
 * written out step by step. undefined for what a layer has besides: peepholes, lengths, other functions.
 */
export function backThroughTime(node: GraphNode, context: GradientContext, steps: number): readonly (string | undefined)[] | undefined {
  const { x, w, r, b, lengths, peepholes, batchFirst } = partsOf(node);
  const hidden = context.facts(r).shape?.[2];
  const features = context.facts(w).shape?.[2];
  if (lengths || peepholes || hasAttribute(node, 'clip') || intOf(node, 'input_forget', 0) === 1) return undefined;
  if (typeof hidden !== 'number' || typeof features !== 'number') return undefined;
  const way = stringOf(node, 'direction', 'forward');
  const count = way === 'bidirectional' ? 2 : 1;
  const functions = range(0, count).map((direction) => activationsOf(node, direction).map(({ name }) => name).join());
  const cell = functions.every((names) => names === functions[0]) ? cellOf(node, functions[0]!) : undefined;
  if (!cell) return undefined;

  const m = new Maths(context);
  const split = (value: string, parts: number, axis: number): readonly string[] =>
    (parts === 1 ? [value] : m.builder.nodes('Split', [value], parts, { axis: int(axis), num_outputs: int(parts) }));
  const join = (values: readonly string[], axis: number): string => (values.length === 1 ? values[0]! : m.op('Concat', values, { axis: int(axis) }));
  /** The part of one direction, flat: [..., D, ...] -> [rows, width]. */
  const parts = (value: string, axis: number, width: number): readonly string[] => split(value, count, axis).map((own) => m.reshape(own, [-1, width]));
  const stateAxis = batchFirst ? 1 : 0;
  const timeFirst = batchFirst ? m.transpose(x, [1, 0, 2]) : x; // [T, N, C]
  const flat = m.reshape(timeFirst, [-1, features]);
  const everyStep = (value: string): readonly string[] => parts(batchFirst ? m.transpose(value, [1, 2, 0, 3]) : value, 1, hidden); // [T*N, H] each
  const shown = everyStep(context.output(0));
  const [weights, recurrent] = [parts(w, 0, features), parts(r, 0, hidden)];
  const biases = b ? split(b, count, 0).map((own) => split(m.reshape(own, [-1]), 2, 0)) : [];
  const begun = [5, 6].map((place) => (node.inputs[place] ? parts(node.inputs[place], stateAxis, hidden) : undefined));
  const [dy, dLast, dCell] = context.outputs;
  const states = (value: string | undefined): readonly string[] | undefined => (value ? parts(value, stateAxis, hidden) : undefined);
  const [incoming, last, lastCell] = [dy ? everyStep(dy) : undefined, states(dLast), states(dCell)];

  const found = range(0, count).map((direction) => {
    const zeros = (): string => m.constantOfShape(0, m.vector(m.size(timeFirst, 1), hidden), context.facts(x).dtype);
    const backwards = way === 'reverse' || direction === 1;
    const order = backwards ? range(0, steps).reverse() : range(0, steps);
    const apart = (value: string): readonly string[] => split(value, steps, 0);
    const before = (states: readonly string[], first: string): string =>
      join(backwards ? [...states.slice(1), first] : [first, ...states.slice(0, -1)], 0);
    // The states of all steps but the last stay in one piece.
    const shift = (states: string, first: string): string => {
      if (steps === 1) return first;
      const rows = m.reshape(states, [steps, -1, hidden]);
      const [from, to] = backwards ? [1, steps] : [0, steps - 1];
      const others = m.reshape(m.op('Slice', [rows, m.builder.int64([from]), m.builder.int64([to]), m.builder.int64([0])]), [-1, hidden]);
      return join(backwards ? [others, first] : [first, others], 0);
    };
    const h = shown[direction]!;
    const run: Run = {
      m, order, split, join, apart, before, flat, h, previous: shift(h, begun[0]?.[direction] ?? zeros()),
      w: weights[direction]!, r: recurrent[direction]!, bias: biases[direction], first: () => begun[1]?.[direction] ?? zeros(),
      incoming: incoming && apart(incoming[direction]!), last: last?.[direction], lastCell: lastCell?.[direction], zeros,
    };
    const made = cell(run);
    const ofRows = (rows: string): string => m.sum(rows, [0], false);
    return {
      x: context.needs(0) ? m.gemm(made.ofInputs, run.w) : undefined,
      w: context.needs(1) ? m.gemm(made.ofInputs, flat, { transA: true }) : undefined,
      r: context.needs(2) ? made.ofRecurrent() : undefined,
      b: b && context.needs(3) ? join([made.ofInputs, made.ofStates].map(ofRows), 0) : undefined,
      h: made.h, c: made.c,
    };
  });
  const stacked = (values: readonly (string | undefined)[], like: string, axis = 0): string | undefined => {
    if (!like || values.some((value) => value === undefined)) return undefined;
    if (values.length === 1) return m.reshapeLike(values[0]!, like);
    return join(values.map((value) => m.op('Unsqueeze', [value!, m.builder.int64([axis])])), axis);
  };
  const [ofX, other] = found.map((own) => own.x);
  const dx = ofX && m.reshape(other ? m.add(ofX, other) : ofX, [steps, -1, features]);
  return [
    dx && (batchFirst ? m.transpose(dx, [1, 0, 2]) : dx),
    stacked(found.map((own) => own.w), w), stacked(found.map((own) => own.r), r), stacked(found.map((own) => own.b), b), undefined,
    stacked(found.map((own) => own.h), context.needs(5) ? node.inputs[5] ?? '' : '', stateAxis),
    stacked(found.map((own) => own.c), context.needs(6) ? node.inputs[6] ?? '' : '', stateAxis),
  ];
}

/** One direction; [T*N, ...] unless said. */
interface Run {
  readonly m: Maths;
  /** Steps in the order in which the layer takes them. */
  readonly order: readonly number[];
  readonly flat: string;
  readonly h: string;
  /** The state that each step begins with. */
  readonly previous: string;
  /** [gates*H, C], [gates*H, H] */
  readonly w: string;
  readonly r: string;
  readonly bias?: readonly string[];
  /** The cell state to begin with [N, H]. */
  first(): string;
  /** What flows into the states from outside: of each step, and into the last one. */
  readonly incoming?: readonly string[];
  readonly last?: string;
  readonly lastCell?: string;
  zeros(): string;
  split(value: string, parts: number, axis: number): readonly string[];
  join(values: readonly string[], axis: number): string;
  /** [T*N, ...] -> T times [N, ...] */
  apart(value: string): readonly string[];
  /** What each step begins with, of values after each step [N, ...]. */
  before(states: readonly string[], first: string): string;
}

interface Found {
  /** What flows into the products with the input's and with the state's weights. */
  readonly ofInputs: string;
  readonly ofStates: string;
  ofRecurrent(): string;
  /** Into the states to begin with. */
  readonly h: string;
  readonly c?: string;
}

type Cell = (run: Run) => Found;

function cellOf(node: GraphNode, functions: string): Cell | undefined {
  if (node.op === 'LSTM') return functions === 'sigmoid,tanh,tanh' ? lstm : undefined;
  if (node.op === 'GRU') return functions === 'sigmoid,tanh' ? (intOf(node, 'linear_before_reset', 0) ? gruResetAfter : gruResetBefore) : undefined;
  const slope = slopes[functions];
  return slope && ((run) => simple(run, slope(run.m, run.h)));
}

/** Slopes of an RNN's function by its results. */
const slopes: Readonly<Record<string, (m: Maths, h: string) => string>> = {
  tanh: tanhSlope,
  sigmoid: sigmoidSlope,
  relu: (m, h) => m.mask(m.greater(h, 0), h),
};

function simple(run: Run, slope: string): Found {
  const { m, order, r, previous } = run;
  const factors = run.apart(slope);
  const found: string[] = [];
  const h = backwardsOver(run, (at, dh) => {
    found[at] = m.mul(dh, factors[at]!);
    return (plus) => product(m, found[at]!, r, plus);
  });
  const all = run.join(order.map((_, at) => found[at]!), 0);
  return { ofInputs: all, ofStates: all, ofRecurrent: () => m.gemm(all, previous, { transA: true }), h };
}

/** c = f c' + i n, h = o tanh(c) */
function lstm(run: Run): Found {
  const { m, order, r, previous, bias, flat, w } = run;
  const ofInput = product(m, flat, w, bias && m.add(bias[0]!, bias[1]!), true);
  const [i, o, f, n] = run.split(product(m, previous, r, ofInput, true), 4, 1).map((gate, at) => m.op(at === 3 ? 'Tanh' : 'Sigmoid', [gate])) as [string, string, string, string];
  const [kept, added] = [run.apart(f), run.apart(m.mul(i, n))];
  const cells: string[] = [];
  const begun = run.first();
  let c = begun;
  for (const at of order) cells[at] = c = m.add(m.mul(kept[at]!, c), added[at]!);
  const squashed = m.op('Tanh', [run.join(cells, 0)]);
  const intoCell = run.apart(m.mul(o, tanhSlope(m, squashed)));
  const factors = run.apart(run.join([
    m.mul(n, sigmoidSlope(m, i)), m.mul(squashed, sigmoidSlope(m, o)), m.mul(run.before(cells, begun), sigmoidSlope(m, f)), m.mul(i, tanhSlope(m, n)),
  ], 1));
  const found: string[] = [];
  let later = run.lastCell;
  const h = backwardsOver(run, (at, dh) => {
    const own = m.mul(dh, intoCell[at]!);
    const dc = later === undefined ? own : m.add(own, later);
    found[at] = m.mul(run.join([dc, dh, dc, dc], 1), factors[at]!);
    later = m.mul(dc, kept[at]!);
    return (plus) => product(m, found[at]!, r, plus);
  });
  const all = run.join(found, 0);
  return { ofInputs: all, ofStates: all, ofRecurrent: () => m.gemm(all, previous, { transA: true }), h, c: later };
}

/** h = (1 - z) n + z h', n = tanh(nx + r nh): the state's product before it is reset. */
function gruResetAfter(run: Run): Found {
  const { m, r, previous, bias, flat, w } = run;
  const [zx, rx, nx] = run.split(product(m, flat, w, bias?.[0], true), 3, 1) as [string, string, string];
  const [zh, rh, nh] = run.split(product(m, previous, r, bias?.[1], true), 3, 1) as [string, string, string];
  const [z, reset] = [m.op('Sigmoid', [m.add(zx, zh)]), m.op('Sigmoid', [m.add(rx, rh)])];
  const n = m.op('Tanh', [m.add(nx, m.mul(reset, nh))]);
  const intoCandidate = m.mul(m.minusFrom(1, z), tanhSlope(m, n));
  const factors = run.apart(run.join([
    m.mul(m.sub(previous, n), sigmoidSlope(m, z)), m.mul(intoCandidate, m.mul(nh, sigmoidSlope(m, reset))), m.mul(intoCandidate, reset),
  ], 1));
  const kept = run.apart(z);
  const [found, states]: [string[], string[]] = [[], []];
  const h = backwardsOver(run, (at, dh) => {
    states[at] = dh;
    found[at] = m.mul(run.join([dh, dh, dh], 1), factors[at]!);
    const through = m.mul(dh, kept[at]!);
    return (plus) => product(m, found[at]!, r, plus ? m.add(through, plus) : through);
  });
  const ofStates = run.join(found, 0);
  const [dz, dr] = run.split(ofStates, 3, 1) as [string, string, string];
  return {
    ofInputs: run.join([dz, dr, m.mul(run.join(states, 0), intoCandidate)], 1), ofStates,
    ofRecurrent: () => m.gemm(ofStates, previous, { transA: true }), h,
  };
}

/** h = (1 - z) n + z h', n = tanh(nx + (r h') Rn): the state is reset before its product. */
function gruResetBefore(run: Run): Found {
  const { m, previous, bias, flat, w } = run;
  // Rows of the gates z and r, and of n.
  const [rz, rr, ofCandidate] = run.split(run.r, 3, 0) as [string, string, string];
  const ofGates = run.join([rz, rr], 0);
  const [zx, rx, nx] = run.split(product(m, flat, w, bias && m.add(bias[0]!, bias[1]!), true), 3, 1) as [string, string, string];
  const [z, reset] = run.split(m.op('Sigmoid', [product(m, previous, ofGates, run.join([zx, rx], 1), true)]), 2, 1) as [string, string];
  const left = m.mul(reset, previous);
  const n = m.op('Tanh', [product(m, left, ofCandidate, nx, true)]);
  const [kept, resets] = [run.apart(z), run.apart(reset)];
  const intoCandidate = run.apart(m.mul(m.minusFrom(1, z), tanhSlope(m, n)));
  const factors = run.apart(run.join([m.mul(m.sub(previous, n), sigmoidSlope(m, z)), m.mul(previous, sigmoidSlope(m, reset))], 1));
  const [gates, candidates]: [string[], string[]] = [[], []];
  const h = backwardsOver(run, (at, dh) => {
    candidates[at] = m.mul(dh, intoCandidate[at]!);
    const ofLeft = m.gemm(candidates[at]!, ofCandidate);
    gates[at] = m.mul(run.join([dh, ofLeft], 1), factors[at]!);
    const through = m.add(m.mul(dh, kept[at]!), m.mul(ofLeft, resets[at]!));
    return (plus) => product(m, gates[at]!, ofGates, plus ? m.add(through, plus) : through);
  });
  const [dGates, dCandidates] = [run.join(gates, 0), run.join(candidates, 0)];
  const all = run.join([dGates, dCandidates], 1);
  const ofRecurrent = (): string => run.join([m.gemm(dGates, previous, { transA: true }), m.gemm(dCandidates, left, { transA: true })], 0);
  return { ofInputs: all, ofStates: all, ofRecurrent, h };
}

/**
 * From the last step to the first. `step` takes what flows into the state after a step, and gives what makes of it, and of what
 * flows in from outside, the same for the step before.
 */
function backwardsOver(run: Run, step: (at: number, dh: string) => (plus: string | undefined) => string): string {
  const { m, order, incoming, last } = run;
  const final = order[order.length - 1]!;
  let dh = incoming && last ? m.add(incoming[final]!, last) : incoming?.[final] ?? last ?? run.zeros();
  for (let place = order.length - 1; place >= 0; place--) {
    const before = order[place - 1];
    dh = step(order[place]!, dh)(before === undefined ? undefined : incoming?.[before]);
  }
  return dh;
}

function product(m: Maths, a: string, weights: string, plus: string | undefined, turned = false): string {
  return m.op('Gemm', [a, weights, ...(plus ? [plus] : [])], { transB: int(turned ? 1 : 0) });
}

function sigmoidSlope(m: Maths, y: string): string {
  return m.mul(y, m.minusFrom(1, y));
}

function tanhSlope(m: Maths, y: string): string {
  return m.minusFrom(1, m.square(y));
}
