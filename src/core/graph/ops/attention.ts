import { intOf } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { barriers, firstInput, firstOutput, plain, product, range, unknownShapes } from './axes';
import { attentionGradient, rotaryGradient } from './gradients/attention';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/**
 * Attention in one operator: Q [N, heads, Tq, d], K [N, groups, Tk, d], V [N, groups, Tk, dv] -> Y [N, heads, Tq, dv]; with three
 * axes heads lie one behind the other on the last. Keys and values may be shared by groups of heads, and may continue a past.
 */
export const attention: OperatorFamily = {
  name: 'attention',
  ops: ['Attention'],

  shape(node, context) {
    const { dtype } = context.facts(firstInput(node));
    const parts = sizesOf(node, context);
    if (!parts) return [{ dtype }, { dtype }, { dtype }, { dtype }];
    const { batch, heads, groups, queries, keys, width, valueWidth, flat } = parts;
    const y: Shape = flat ? [batch, queries, product([heads, valueWidth])] : [batch, heads, queries, valueWidth];
    return [
      { dtype, shape: y }, { dtype, shape: [batch, groups, keys, width] }, { dtype, shape: [batch, groups, keys, valueWidth] },
      { dtype, shape: [batch, heads, queries, keys] },
    ];
  },

  flow(node, context): Relation[] {
    const parts = sizesOf(node, context);
    const [q = '', k = '', v = '', mask = ''] = node.inputs;
    const y = firstOutput(node);
    if (!parts) return unknownShapes(node, context);
    const { flat, heads, groups } = parts;
    const batch = [q, k, v].map((value) => plain(value, 0, y, 0));
    const steps = flat ? 1 : 2;
    const fixed = [
      plain(q, steps, y, steps),
      ...[k, v].flatMap((value) => barriers(value, [steps], 'every query looks at all keys')),
      ...barriers(mask, range(0, context.facts(mask).shape?.length ?? 0), 'a mask counts queries and keys'),
      ...node.inputs.slice(4).flatMap((value) => barriers(value, range(0, context.facts(value).shape?.length ?? 0), 'keys and values continue these')),
      ...node.outputs.slice(1).flatMap((value) => barriers(value, range(0, context.facts(value).shape?.length ?? 0), 'others continue these keys and values')),
    ];
    if (flat) {
      return [...batch, ...fixed, ...[q, k, v, y].flatMap((value) => barriers(value, [2], 'heads lie one behind the other on this axis'))];
    }
    const shared = typeof heads === 'number' && typeof groups === 'number' && heads % groups === 0 ? heads / groups : undefined;
    if (shared === undefined) return [...batch, ...fixed, ...[q, k, v, y].flatMap((value) => barriers(value, [1], 'how heads share keys is not known'))];
    const group = (value: string): Relation => ({ a: { value, axis: 1 }, b: { value: y, axis: 1 }, ...(shared > 1 && { inner: shared }) });
    return [...batch, ...fixed, plain(q, 1, y, 1), group(k), group(v), plain(q, 3, k, 3), plain(v, 3, y, 3)];
  },

  macs(node, context) {
    const parts = sizesOf(node, context);
    if (!parts) return undefined;
    const once = product([parts.heads, parts.queries, parts.keys]);
    const widths = parts.width === null || parts.valueWidth === null ? null : parts.width + parts.valueWidth;
    return product([once, widths]) ?? undefined;
  },

  gradient: attentionGradient,
};

/** RotaryEmbedding: pairs of a head's numbers, turned by an angle that goes by the position. */
export const rotary: OperatorFamily = {
  name: 'rotary',
  ops: ['RotaryEmbedding'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    const reason = 'numbers of this axis are turned in pairs';
    return [
      ...range(0, rank - 1).map((axis) => plain(x, axis, y, axis)),
      ...[x, y].flatMap((value) => barriers(value, [rank - 1], reason)),
      ...node.inputs.slice(1).flatMap((value) => barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason)),
    ];
  },

  gradient: rotaryGradient,
};

interface Sizes {
  readonly flat: boolean;
  readonly batch: Dim;
  readonly heads: Dim;
  readonly groups: Dim;
  readonly queries: Dim;
  /** With those of the past. */
  readonly keys: Dim;
  readonly width: Dim;
  readonly valueWidth: Dim;
}

function sizesOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): Sizes | undefined {
  const [q, k, v] = node.inputs.map((name) => context.facts(name).shape);
  if (!q || !k || !v || q.length !== k.length || (q.length !== 3 && q.length !== 4)) return undefined;
  const flat = q.length === 3;
  const heads = flat ? intOf(node, 'q_num_heads', 0) || null : q[1]!;
  const groups = flat ? intOf(node, 'kv_num_heads', 0) || null : k[1]!;
  const part = (dim: Dim, count: Dim): Dim => (dim === null || count === null ? null : dim / count);
  const past = node.inputs[4] ? context.facts(node.inputs[4]).shape?.[2] ?? null : 0;
  const own = k[flat ? 1 : 2]!;
  return {
    flat, batch: q[0]!, heads, groups, queries: q[flat ? 1 : 2]!, keys: own === null || past === null ? null : own + past,
    width: flat ? part(q[2]!, heads) : q[3]!, valueWidth: flat ? part(v[2]!, groups) : v[3]!,
  };
}
