import { floatOf, int, intOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import type { GradientContext, GraphBuilder } from '../operator';
import { Maths } from './maths';

type Gradients = readonly (string | undefined)[];

/** The standard's Attention, by way of its products, softmax and masks. */
export function attentionGradient(node: GraphNode, context: GradientContext): Gradients {
  const [q = '', k = '', v = '', mask = '', pastKeys = '', pastValues = ''] = node.inputs;
  if (context.outputs[3]) throw new RangeError('its scores are used as a result');
  const flat = rankOf(q, context) === 3;
  return context.through((builder) => {
    const m = mathsOf(builder, context);
    const heads = flat ? intOf(node, 'q_num_heads', 0) : sizeOf(q, 1, context);
    const groups = flat ? intOf(node, 'kv_num_heads', 0) : sizeOf(k, 1, context);
    const apart = (value: string, count: number): string => (flat ? headsApart(m, value, count) : value);
    const joined = (past: string, own: string): string => (past ? m.op('Concat', [past, own], { axis: int(2) }) : own);
    const [keys, values] = [joined(pastKeys, apart(k, groups)), joined(pastValues, apart(v, groups))];
    const scale = floatOf(node, 'scale', 0);
    const queries = apart(q, heads);
    const width = flat ? sizeOf(q, 2, context) / heads : sizeOf(q, 3, context);
    let scores = m.op('MatMul', [m.scale(queries, scale || 1 / Math.sqrt(width)), m.transpose(shared(m, keys, heads / groups, context, k), [0, 1, 3, 2])]);
    // Before the masks, or it would bring back what they hide.
    const cap = floatOf(node, 'softcap', 0);
    if (cap > 0) scores = m.scale(m.op('Tanh', [m.scale(scores, 1 / cap)]), cap);
    if (intOf(node, 'is_causal', 0) === 1) scores = causal(m, scores);
    if (mask) {
      const hides = context.facts(mask).dtype === 'bool';
      scores = hides ? m.where(mask, scores, m.scalar(-1e30, q)) : m.add(scores, mask);
    }
    const weights = m.op('Softmax', [scores], { axis: int(-1) });
    const result = m.op('MatMul', [weights, shared(m, values, heads / groups, context, v)]);
    return [flat ? headsTogether(m, result) : result, keys, values];
  });
}

/** A rotation is undone by the opposite one. */
export function rotaryGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const [, cosines = '', sines = '', positions = ''] = node.inputs;
  if (!dy) return [];
  if (context.needs(1) || context.needs(2)) throw new RangeError('its angles are learned');
  const m = new Maths(context);
  return [m.op('RotaryEmbedding', [dy, cosines, m.neg(sines), ...(positions ? [positions] : [])], node.attributes)];
}

/** The blocks that ONNX Runtime's optimiser fuses, taken apart again. */
export function fusedBlockGradient(node: GraphNode, context: GradientContext): Gradients {
  if (context.outputs.slice(1, 3).some(Boolean)) throw new RangeError('its statistics are used as results');
  return context.through((builder) => {
    const m = mathsOf(builder, context);
    if (node.op === 'Attention') return [fusedAttention(node, context, m)];
    const normal = (sum: string, scale: string, bias: string, epsilon: number): string =>
      m.op('LayerNormalization', [sum, scale, ...(bias ? [bias] : [])], { axis: int(-1), epsilon: { type: 'float', value: epsilon } });
    const epsilon = floatOf(node, 'epsilon', 1e-12);
    if (node.op === 'SkipLayerNormalization') {
      const [x = '', skip = '', scale = '', offset = '', bias = ''] = node.inputs;
      const sum = m.add(bias ? m.add(x, bias) : x, skip);
      return [normal(sum, scale, offset, epsilon), undefined, undefined, sum];
    }
    const [words = '', segments = '', wordTable = '', placeTable = '', segmentTable = '', scale = '', offset = '', , places = ''] = node.inputs;
    const row = places ? m.op('Gather', [placeTable, places])
      : m.op('Slice', [placeTable, m.builder.int64([0]), m.size(words, 1), m.builder.int64([0])]);
    const sum = m.add(m.op('Gather', [wordTable, words]), row);
    const whole = segments && segmentTable ? m.add(sum, m.op('Gather', [segmentTable, segments])) : sum;
    return [normal(whole, scale, offset, epsilon), undefined, whole];
  });
}

/** One product for queries, keys and values: x [N, T, C], weights [C, 3*H]. */
function fusedAttention(node: GraphNode, context: GradientContext, m: Maths): string {
  const [x = '', weights = '', bias = '', mask = '', past = '', added = ''] = node.inputs;
  if (past) throw new RangeError('it continues a past');
  const total = sizeOf(weights, 1, context);
  const own = node.attributes['qkv_hidden_sizes'];
  const widths = own?.type === 'ints' ? own.value : [total / 3, total / 3, total / 3];
  const heads = intOf(node, 'num_heads', 1);
  const all = m.op('MatMul', [x, weights]);
  const parts = m.builder.nodes('Split', [bias ? m.add(all, bias) : all, m.builder.int64(widths)], 3, { axis: int(-1) });
  const [q, k, v] = parts.map((part) => headsApart(m, part, heads)) as [string, string, string];
  const scale = floatOf(node, 'scale', 0) || 1 / Math.sqrt(widths[0]! / heads);
  let scores = m.op('MatMul', [m.scale(q, scale), m.transpose(k, [0, 1, 3, 2])]);
  if (added) scores = m.add(scores, added);
  if (intOf(node, 'unidirectional', 0) === 1) scores = causal(m, scores);
  if (mask) {
    if (rankOf(mask, context) !== 2) throw new RangeError('its mask is not one of samples and keys');
    const seen = m.op('Unsqueeze', [m.castLike(mask, x), m.builder.int64([1, 2])]);
    scores = m.add(scores, m.scale(m.minusFrom(1, seen), floatOf(node, 'mask_filter_value', -10000)));
  }
  return headsTogether(m, m.op('MatMul', [m.op('Softmax', [scores], { axis: int(-1) }), v]));
}

/**
 * MultiHeadAttention and GroupQueryAttention of ONNX Runtime, whose queries, keys and values [N, T, heads*d] are projected outside.
 * Grouped queries look back only; how long the samples are does not matter then to queries within them.
 */
export function projectedAttentionGradient(node: GraphNode, context: GradientContext): Gradients {
  const grouped = node.op === 'GroupQueryAttention';
  const [x = '', second = '', third = '', fourth = '', fifth = '', sixth = '', seventh = ''] = node.inputs;
  const [cosines = '', sines = '', positions = '', groupedMask = '', sink = ''] = node.inputs.slice(7);
  const mask = grouped ? groupedMask : sixth;
  if (grouped ? fourth || fifth : seventh || cosines) throw new RangeError('it continues a past');
  if (!grouped && fifth) throw new RangeError('it hides keys by a mask of its own, which is only followed as an attention bias');
  if (grouped && (sink || positions || intOf(node, 'local_window_size', -1) > 0 || intOf(node, 'rotary_interleaved', 0))) {
    throw new RangeError('it has a window, sinks or positions of its own');
  }
  if (context.outputs[3]) throw new RangeError('its scores are used as a result');
  if ([x, ...(second ? [second, third] : [])].some((value) => rankOf(value, context) !== 3) || (!grouped && !second)) throw new RangeError('its queries, keys and values are packed');
  const heads = intOf(node, 'num_heads', 0);
  const groups = grouped ? intOf(node, 'kv_num_heads', 0) : heads;
  const width = sizeOf(x, 2, context) / (second ? heads : heads + 2 * groups);
  return context.through((builder) => {
    const m = mathsOf(builder, context);
    const bias = grouped ? '' : fourth;
    const widths = [heads * width, groups * width, second ? sizeOf(third, 2, context) : groups * width];
    const cut = (value: string): readonly string[] => builder.nodes('Split', [value, builder.int64(widths)], 3, { axis: int(-1) });
    const biases = bias ? cut(bias) : [];
    const [q, k, v] = (second ? [x, second, third] : cut(x)).map((part, index) =>
      headsApart(m, biases[index] ? m.add(part, biases[index]) : part, index === 0 ? heads : groups)) as [string, string, string];
    const turns = grouped && intOf(node, 'do_rotary', 0) === 1;
    const [queries, keys] = turns ? [q, k].map((part) => rotated(m, part, cosines, sines, width, context)) as [string, string] : [q, k];
    const scale = floatOf(node, 'scale', 0) || 1 / Math.sqrt(width);
    let scores = m.op('MatMul', [m.scale(queries, scale), m.transpose(shared(m, keys, heads / groups, context, x), [0, 1, 3, 2])]);
    const cap = floatOf(node, 'softcap', 0);
    if (cap > 0) scores = m.scale(m.op('Tanh', [m.scale(scores, 1 / cap)]), cap);
    if (mask) scores = m.add(scores, mask);
    if (grouped || intOf(node, 'unidirectional', 0) === 1) scores = causal(m, scores);
    const result = m.op('MatMul', [m.op('Softmax', [scores], { axis: int(-1) }), shared(m, v, heads / groups, context, x)]);
    return [headsTogether(m, result), keys, v];
  });
}

/** x [N, heads, T, d] turned by the angles of the first T places: cosines and sines [places, d/2] of its halves. */
function rotated(m: Maths, x: string, cosines: string, sines: string, width: number, context: GradientContext): string {
  if (sizeOf(cosines, 1, context) * 2 !== width) throw new RangeError('it turns only part of its heads');
  const [real, imaginary] = m.builder.nodes('Split', [x], 2, { axis: int(-1), num_outputs: int(2) }) as [string, string];
  const steps = m.op('Shape', [x], { start: int(2), end: int(3) });
  const [cosine, sine] = [cosines, sines].map((table) => m.op('Slice', [table, m.builder.int64([0]), steps, m.builder.int64([0])])) as [string, string];
  const one = m.sub(m.mul(real, cosine), m.mul(imaginary, sine));
  const other = m.add(m.mul(real, sine), m.mul(imaginary, cosine));
  return m.op('Concat', [one, other], { axis: int(-1) });
}

/** [N, T, heads*d] -> [N, heads, T, d] */
function headsApart(m: Maths, value: string, heads: number): string {
  return m.transpose(m.reshape(value, [0, 0, heads, -1]), [0, 2, 1, 3]);
}

function headsTogether(m: Maths, value: string): string {
  return m.reshape(m.transpose(value, [0, 2, 1, 3]), [0, 0, -1]);
}

/** Keys and values that several heads share, once for each of them. */
function shared(m: Maths, value: string, times: number, context: GradientContext, like: string): string {
  if (times === 1) return value;
  if (!Number.isInteger(times)) throw new RangeError(`its heads do not share ${like} evenly`);
  const wide = m.op('Expand', [m.op('Unsqueeze', [value, m.builder.int64([2])]), m.builder.int64([1, 1, times, 1, 1])]); // [N, G, times, T, d]
  return m.op('Reshape', [wide, m.vector(0, -1, m.shape(value, 2))]);
}

/** Scores of keys behind the query's place become so small that they weigh nothing. */
function causal(m: Maths, scores: string): string {
  const shape = m.op('Shape', [scores], { start: int(-2) });
  const [queries, keys] = m.builder.nodes('Split', [shape], 2, { axis: int(0), num_outputs: int(2) }) as [string, string];
  const [rows, columns] = [m.reshape(m.numbersTo(queries), [-1, 1]), m.numbersTo(keys)];
  return m.where(m.op('GreaterOrEqual', [rows, columns]), scores, m.scalar(-1e30, scores));
}

function mathsOf(builder: GraphBuilder, context: GradientContext): Maths {
  return new Maths({ builder, sizes: (value) => context.sizes(value) });
}

function rankOf(value: string, context: GradientContext): number {
  const rank = context.sizes(value)?.length;
  if (rank === undefined) throw new RangeError('the shapes of its inputs are not known');
  return rank;
}

function sizeOf(value: string, axis: number, context: GradientContext): number {
  const size = context.facts(value).shape?.[axis];
  if (typeof size !== 'number') throw new RangeError('the number of its heads or their width is not known');
  return size;
}

