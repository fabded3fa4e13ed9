import { floatsOf, int, intOf, intsOf, stringOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { barrier, barriers, plain, unknownShapes } from './axes';
import { recurrentGradient } from './gradients/recurrent';
import type { AxisRef, GraphBuilder, LinearRule, OperatorFamily, ParticleRule, Relation, WeightSlice } from './operator';

/**
 * LSTM (gates i, o, f, c), GRU (z, r, h) and RNN. X: [T, N, C], W: [D, gates*H, C], R: [D, gates*H, H], B: [D, 2*gates*H]
 * (the input's biases, then the state's), Y: [T, D, N, H], Y_h and Y_c: [D, N, H]; with layout 1 the batch comes first.
 * A particle is one hidden unit, in both directions when there are two: they share the axis.
 */
export const recurrent: OperatorFamily = {
  name: 'recurrent',
  ops: ['LSTM', 'GRU', 'RNN'],

  upgrade(node) {
    return [withAttributes(node, { drop: ['output_sequence'] })];
  },

  shape(node, context) {
    const parts = partsOf(node);
    const { dtype, shape } = context.facts(parts.x);
    const weights = context.facts(parts.w).shape;
    const directions = weights?.[0] ?? (stringOf(node, 'direction', 'forward') === 'bidirectional' ? 2 : 1);
    const rows = weights?.[1] ?? null;
    const hidden: Dim = intOf(node, 'hidden_size', 0) || (rows === null ? null : rows / parts.gates);
    const [time, batch] = [shape?.[parts.time] ?? null, shape?.[1 - parts.time] ?? null];
    const last = { dtype, shape: parts.batchFirst ? [batch, directions, hidden] : [directions, batch, hidden] };
    return [{ dtype, shape: parts.batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden] }, last, last];
  },

  flow(node, context): Relation[] {
    const parts = partsOf(node);
    const { x, w, r, b, lengths, states, peepholes, y, finals, gates, time } = parts;
    if ([x, w, r].some((value) => context.facts(value).shape?.length !== 3)) return unknownShapes(node, context);
    const unit = (value: string, axis: number, outer = 1): Relation => ({ a: { value: r, axis: 2 }, b: { value, axis }, ...(outer > 1 && { outer }) });
    const batch = 1 - time;
    const relations = [unit(w, 1, gates), unit(r, 1, gates), plain(x, 2, w, 2)];
    if (b) relations.push(unit(b, 1, 2 * gates));
    if (lengths) relations.push(plain(x, batch, lengths, 0));
    // Zeros to start with are as long as the units want; see resize.
    for (const state of states) if (context.facts(state).fill !== 0) relations.push(unit(state, 2), plain(x, batch, state, parts.batchFirst ? 0 : 1));
    if (y) relations.push(unit(y, 3), plain(x, batch, y, parts.batchFirst ? 0 : 2));
    for (const final of finals) relations.push(unit(final, 2), plain(x, batch, final, parts.batchFirst ? 0 : 1));
    const steps = 'every step needs the one before it';
    relations.push(barrier(x, time, steps));
    if (y) relations.push(barrier(y, time, steps), ...barriers(y, [parts.batchFirst ? 2 : 1], directionsStay));
    for (const value of [w, r, b]) if (value) relations.push(barrier(value, 0, directionsStay));
    if (peepholes) relations.push(barrier(r, 2, `${node.op} has peephole weights, whose units Particlize does not remove`));
    return relations;
  },

  resize(node, context) {
    const { r, states } = partsOf(node);
    const kept = context.kept({ value: r, axis: 2 });
    if (!kept) return node;
    // A state of zeros is what a missing one means.
    const inputs = node.inputs.map((input) => (states.includes(input) && context.facts(input).fill === 0 ? '' : input));
    return withAttributes({ ...node, inputs }, { set: { hidden_size: int(kept.length) } });
  },

  particles(node, context): ParticleRule | undefined {
    const { w, r, b, y, finals, peepholes } = partsOf(node);
    const count = context.facts(r).shape?.[2];
    if (typeof count !== 'number' || !context.isConstant(w) || !context.isConstant(r)) return undefined;
    const places: AxisRef[] = [...(y ? [{ value: y, axis: 3 }] : []), ...finals.slice(0, 1).map((value) => ({ value, axis: 2 }))];
    const [first, ...others] = places;
    if (!first) return undefined;
    const slices: WeightSlice[] = [
      { tensor: w, axis: 1, role: 'weight', every: count }, { tensor: r, axis: 1, role: 'recurrent', every: count },
      { tensor: r, axis: 2, role: 'recurrent' },
    ];
    if (b && context.isConstant(b)) slices.push({ tensor: b, axis: 1, role: 'bias', every: count });
    if (peepholes && context.isConstant(peepholes)) slices.push({ tensor: peepholes, axis: 1, role: 'bias', every: count });
    return { kind: 'unit', count, output: first.value, axis: first.axis, others, slices };
  },

  linear(node, context): LinearRule | undefined {
    const { x, w, y, finals, batchFirst } = partsOf(node);
    const output = y || finals[0];
    if (!output || context.facts(x).shape?.length !== 3 || !context.isConstant(w)) return undefined;
    return {
      input: x, axis: 2, output, outputAxis: y ? 3 : 2, inside: true, weight: { value: w, axis: 2 },
      contributions: (builder, part, weights, particles, block) => gateTerms(batchFirst, builder, part, weights, particles, block),
    };
  },

  macs(node, context) {
    const { x, w, r, time } = partsOf(node);
    const steps = context.facts(x).shape?.[time];
    const [first, second] = [w, r].map((value) => context.facts(value).shape);
    if (typeof steps !== 'number' || !first || !second || [...first, ...second].includes(null)) return undefined;
    // One product with the input's and one with the state's weights at every step.
    return steps * [first, second].reduce((sum, dims) => sum + dims.reduce<number>((product, dim) => product * dim!, 1), 0);
  },

  gradient: recurrentGradient,
};

const directionsStay = 'its two directions belong to one operator';

/** The operands of a recurrent node by what they are. */
export interface RecurrentParts {
  readonly x: string;
  readonly w: string;
  readonly r: string;
  readonly b: string;
  readonly lengths: string;
  /** Initial states that are given: h, and c of an LSTM. */
  readonly states: readonly string[];
  readonly peepholes: string;
  readonly y: string;
  /** Final states that somebody may read: h, and c of an LSTM. */
  readonly finals: readonly string[];
  readonly gates: number;
  readonly batchFirst: boolean;
  /** The axis of x along which time runs; the batch is the other one. */
  readonly time: 0 | 1;
}

export function partsOf(node: GraphNode): RecurrentParts {
  const [x = '', w = '', r = '', b = '', lengths = '', h = '', c = '', peepholes = ''] = node.inputs;
  const [y = '', ...finals] = node.outputs;
  const batchFirst = intOf(node, 'layout', 0) === 1;
  return {
    x, w, r, b, lengths, states: [h, c].filter(Boolean), peepholes, y, finals: finals.filter(Boolean),
    gates: { LSTM: 4, GRU: 3 }[node.op] ?? 1, batchFirst, time: batchFirst ? 1 : 0,
  };
}

/** The activation functions of one direction, as ONNX names them, with their constants. */
export function activationsOf(node: GraphNode, direction: number): readonly { readonly name: string; readonly alpha?: number; readonly beta?: number }[] {
  const usual = { LSTM: ['Sigmoid', 'Tanh', 'Tanh'], GRU: ['Sigmoid', 'Tanh'] }[node.op] ?? ['Tanh'];
  const attribute = node.attributes['activations'];
  const names = attribute?.type === 'strings' && attribute.value.length ? attribute.value : [...usual, ...usual];
  const alphas = [...floatsOf(node, 'activation_alpha') ?? intsOf(node, 'activation_alpha') ?? []];
  const betas = [...floatsOf(node, 'activation_beta') ?? intsOf(node, 'activation_beta') ?? []];
  // The constants are listed one behind the other for those functions that have some.
  const all = names.map((name) => {
    const key = name.toLowerCase();
    return { name: key, ...(withAlpha.has(key) && { alpha: alphas.shift() }), ...(withBeta.has(key) && { beta: betas.shift() }) };
  });
  return all.slice(direction * usual.length, (direction + 1) * usual.length);
}

const withAlpha = new Set(['affine', 'leakyrelu', 'thresholdedrelu', 'scaledtanh', 'hardsigmoid', 'elu']);
const withBeta = new Set(['affine', 'scaledtanh', 'hardsigmoid']);

/**
 * The inputs' terms in the gates' pre-activations: x [T, N, J*block], W [D, rows, J*block] -> [J, D, T, N, rows]. The sum over
 * all of them, the states' terms (R h) and the biases are what the gates see.
 */
function gateTerms(batchFirst: boolean, builder: GraphBuilder, x: string, weights: string, particles: number, block: number): string {
  const apart = builder.node('Reshape', [x, builder.int64([0, 0, particles, block])]);
  const perm = { perm: { type: 'ints', value: batchFirst ? [2, 1, 0, 3] : [2, 0, 1, 3] } } as const;
  const inputs = builder.node('Unsqueeze', [builder.node('Transpose', [apart], perm), builder.int64([1])]); // [J, 1, T, N, block]
  const split = builder.node('Reshape', [weights, builder.int64([0, 0, particles, block])]);
  const turned = builder.node('Transpose', [split], { perm: { type: 'ints', value: [2, 0, 3, 1] } }); // [J, D, block, rows]
  return builder.node('MatMul', [inputs, builder.node('Unsqueeze', [turned, builder.int64([2])])]);
}
