import { int, ints } from '../../../graph/attributes';
import type { KerasValue, LayerContext, LayerGroup, WeightRef } from '../layerRule';

/** Attention as the operators that other exporters write for it, so that its heads are recognised like theirs. */
export const attentionLayers: LayerGroup = { MultiHeadAttention: multiHead };

function multiHead(context: LayerContext): KerasValue {
  const [query, value, key = value] = context.inputs;
  const axes = context.setting('attention_axes');
  if (!query || !value || !key || query.shape?.length !== 3 || value.shape?.length !== 3 || (axes !== null && axes !== undefined && JSON.stringify(axes) !== '[1]')) {
    return context.opaque();
  }
  const width = context.number('key_dim', 0);
  const valueWidth = context.number('value_dim', width);
  const biased = context.flag('use_bias', true);
  // In the order in which archives list them.
  const part = (name: string, size: number, side: 'made' | 'read'): { kernel: WeightRef; bias?: WeightRef } => ({
    kernel: context.weight(`${name}/kernel`, { rank: 3, heads: { width: size, axis: side === 'made' ? 1 : 0 } }),
    ...(biased && { bias: context.weight(`${name}/bias`, side === 'made' ? { rank: 2, heads: { width: size, axis: 0 } } : { rank: 1 }) }),
  });
  const keys = part('key', width, 'made');
  const output = part('attention_output', valueWidth, 'read');
  const queries = part('query', width, 'made');
  const values = part('value', valueWidth, 'made');
  const heads = queries.kernel.shape[1]! / width;
  context.follows('num_heads', queries.kernel.name, 1, width);
  // Open, it means the width of the queries.
  context.says('output_shape', output.kernel.name, 1);
  const project = (input: string, { kernel, bias }: { kernel: WeightRef; bias?: WeightRef }): string => {
    const product = context.node('MatMul', [input, kernel.name]);
    return bias ? context.node('Add', [product, bias.name]) : product;
  };
  const split = (input: string, weights: { kernel: WeightRef; bias?: WeightRef }, size: number, perm: readonly number[]): string => {
    const apart = context.node('Reshape', [project(input, weights), context.int64('heads', [0, 0, heads, size])]);
    return context.node('Transpose', [apart], { perm: ints(perm) });
  };
  const q = context.node('Mul', [split(query.name, queries, width, [0, 2, 1, 3]), context.float32('scale', [1 / Math.sqrt(width)])]);
  let scores = context.node('MatMul', [q, split(key.name, keys, width, [0, 2, 3, 1])]);
  if (context.flag('use_causal_mask', false)) scores = context.node('Add', [scores, causal(context, scores)]);
  const weights = context.node('Softmax', [scores], { axis: int(3) });
  const mixed = context.node('MatMul', [weights, split(value.name, values, valueWidth, [0, 2, 1, 3])]);
  const turned = context.node('Transpose', [mixed], { perm: ints([0, 2, 1, 3]) });
  const joined = context.node('Reshape', [turned, context.int64('joined', [0, 0, heads * valueWidth])]);
  return { name: project(joined, output), shape: [...query.shape.slice(0, 2), output.kernel.shape[1]!] };
}

/** What is above the diagonal is so low that nothing is left of it. */
function causal(context: LayerContext, scores: string): string {
  const shape = context.node('Shape', [scores], { start: int(2) });
  const low = { type: 'tensor', value: { dtype: 'float32', shape: [1], data: Float32Array.of(-1e9) } } as const;
  return context.node('Trilu', [context.node('ConstantOfShape', [shape], { value: low }), context.int64('above', [1])], { upper: int(1) });
}
