import { int, ints } from '../../../graph/attributes';
import type { KerasValue, LayerContext, LayerGroup, WeightRef } from '../layerRule';

/** Attention as the operators that other exporters write for it, so that its heads are recognised like theirs. */
export const attentionLayers: LayerGroup = {
  MultiHeadAttention: multiHead,
  // Saved under one name, imported under the other.
  GroupedQueryAttention: groupedQuery,
  GroupQueryAttention: groupedQuery,
};

function multiHead(context: LayerContext): KerasValue {
  const [query, value, key = value] = context.inputs;
  const axes = context.setting('attention_axes');
  if (!areSequences(query, value, key) || (axes !== null && axes !== undefined && JSON.stringify(axes) !== '[1]')) return context.opaque();
  const width = context.number('key_dim', 0);
  const valueWidth = context.number('value_dim', width);
  // In the order in which archives list them.
  const keys = made(context, 'key', width);
  const output = read(context, valueWidth);
  const queries = made(context, 'query', width);
  const values = made(context, 'value', valueWidth);
  context.follows('num_heads', queries.kernel.name, 1, width);
  // Open, it means the width of the queries.
  context.says('output_shape', output.kernel.name, 1);
  return attend(context, { query: query!, key: key!, value: value!, queries, keys, values, output, width, valueWidth });
}

function groupedQuery(context: LayerContext): KerasValue {
  const [query, value, key = value] = context.inputs;
  if (!areSequences(query, value, key) || typeof context.setting('sliding_window') === 'number') return context.opaque();
  const width = context.number('head_dim', 0);
  const gate = context.flag('use_gate', false) ? made(context, 'gate', width) : undefined;
  const keys = made(context, 'key', width);
  const output = read(context, width);
  const queries = made(context, 'query', width);
  const values = made(context, 'value', width);
  context.follows('num_query_heads', queries.kernel.name, 1, width);
  context.follows('num_key_value_heads', keys.kernel.name, 1, width);
  return attend(context, { query: query!, key: key!, value: value!, queries, keys, values, output, ...(gate && { gate }), width, valueWidth: width });
}

interface Projection {
  readonly kernel: WeightRef;
  readonly bias?: WeightRef;
}

interface Parts {
  readonly query: KerasValue;
  readonly key: KerasValue;
  readonly value: KerasValue;
  readonly queries: Projection;
  readonly keys: Projection;
  readonly values: Projection;
  readonly output: Projection;
  /** How much of each number of each head goes on, by the query. */
  readonly gate?: Projection;
  readonly width: number;
  readonly valueWidth: number;
}

function areSequences(...inputs: readonly (KerasValue | undefined)[]): boolean {
  return inputs.every((input) => input?.shape?.length === 3);
}

/** [channels, heads, width] */
function made(context: LayerContext, name: string, width: number): Projection {
  return {
    kernel: context.weight(`${name}/kernel`, { rank: 3, heads: { width, axis: 1 } }),
    ...(context.flag('use_bias', true) && { bias: context.weight(`${name}/bias`, { rank: 2, heads: { width, axis: 0 } }) }),
  };
}

/** [heads, width, channels] */
function read(context: LayerContext, width: number): Projection {
  return {
    kernel: context.weight('attention_output/kernel', { rank: 3, heads: { width, axis: 0 } }),
    ...(context.flag('use_bias', true) && { bias: context.weight('attention_output/bias', { rank: 1 }) }),
  };
}

function attend(context: LayerContext, { query, key, value, queries, keys, values, output, gate, width, valueWidth }: Parts): KerasValue {
  const heads = queries.kernel.shape[1]! / width;
  const groups = keys.kernel.shape[1]! / width;
  const project = (input: string, { kernel, bias }: Projection): string => {
    const product = context.node('MatMul', [input, kernel.name]);
    return bias ? context.node('Add', [product, bias.name]) : product;
  };
  const split = (input: KerasValue, weights: Projection, count: number, size: number, perm: readonly number[]): string => {
    const apart = context.node('Reshape', [project(input.name, weights), context.int64('heads', [0, 0, count, size])]);
    return context.node('Transpose', [apart], { perm: ints(perm) });
  };
  // Each group's keys and values, once for each head that reads them: [N, groups, T, d] -> [N, heads, T, d].
  const shared = (input: KerasValue, weights: Projection, size: number): string => {
    const own = split(input, weights, groups, size, [0, 2, 1, 3]);
    if (groups === heads) return own;
    const wide = context.node('Unsqueeze', [own, context.int64('member', [2])]);
    const repeated = context.node('Tile', [wide, context.int64('times', [1, 1, heads / groups, 1, 1])]);
    return context.node('Reshape', [repeated, context.int64('shared', [0, heads, -1, size])]);
  };
  const q = context.node('Mul', [split(query, queries, heads, width, [0, 2, 1, 3]), context.float32('scale', [1 / Math.sqrt(width)])]);
  const k = groups === heads
    ? split(key, keys, heads, width, [0, 2, 3, 1])
    : context.node('Transpose', [shared(key, keys, width)], { perm: ints([0, 1, 3, 2]) });
  let scores = context.node('MatMul', [q, k]);
  if (context.flag('use_causal_mask', false)) scores = context.node('Add', [scores, causal(context, scores)]);
  const weights = context.node('Softmax', [scores], { axis: int(3) });
  const mixed = context.node('MatMul', [weights, shared(value, values, valueWidth)]);
  const turned = context.node('Transpose', [mixed], { perm: ints([0, 2, 1, 3]) });
  const joined = context.node('Reshape', [turned, context.int64('joined', [0, 0, heads * valueWidth])]);
  const gated = gate ? context.node('Mul', [joined, context.node('Sigmoid', [project(query.name, gate)])]) : joined;
  return { name: project(gated, output), shape: [...query.shape!.slice(0, 2), output.kernel.shape[1]!] };
}

/** What is above the diagonal is so low that nothing is left of it. */
function causal(context: LayerContext, scores: string): string {
  const shape = context.node('Shape', [scores], { start: int(2) });
  const low = { type: 'tensor', value: { dtype: 'float32', shape: [1], data: Float32Array.of(-1e9) } } as const;
  return context.node('Trilu', [context.node('ConstantOfShape', [shape], { value: low }), context.int64('above', [1])], { upper: int(1) });
}
