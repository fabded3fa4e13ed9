import { floatOf, int, intOf, withAttributes } from '../attributes';
import type { Attribute, Dim, GraphNode, Shape } from '../modelGraph';
import { barriers, firstInput, firstOutput, plain, product, range, unknownShapes } from './axes';
import { attentionGradient, rotaryGradient } from './gradients/attention';
import type { AxisRef, OperatorFamily, Relation, ShapeContext } from './operator';

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
    const { flat } = parts;
    const all = (value: string, reason: string): Relation[] => barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason);
    const steps = flat ? 1 : 2;
    return [
      ...[q, k, v].map((value) => plain(value, 0, y, 0)),
      plain(q, steps, y, steps),
      ...[k, v].flatMap((value) => barriers(value, [steps], 'every query looks at all keys')),
      ...maskRelations(mask, y, parts, context),
      ...node.inputs.slice(4).flatMap((value) => all(value, 'keys and values continue these')),
      ...node.outputs.slice(1).flatMap((value) => all(value, 'others continue these keys and values')),
      ...headRelations({ q, k, v, y }, parts),
    ];
  },

  resize(node, context) {
    const parts = sizesOf(node, context);
    if (!parts || typeof parts.width !== 'number') return node;
    const [q = '', k = ''] = node.inputs;
    // Heads and their numbers may both go: heads are those of which something is left.
    const left = (value: string, count: Dim): number | undefined => {
      const kept = context.kept({ value, axis: 2 });
      return kept && typeof count === 'number' ? new Set(kept.map((index) => Math.floor(index / (parts.width as number)))).size : undefined;
    };
    const counts = parts.flat ? { q_num_heads: left(q, parts.heads), kv_num_heads: left(k, parts.groups) } : {};
    const set: Record<string, Attribute> = {};
    for (const [name, count] of Object.entries(counts)) if (count !== undefined) set[name] = int(count);
    const width = parts.flat ? (context.after(q).shape?.[2] ?? NaN) / (counts.q_num_heads ?? (parts.heads as number)) : context.after(q).shape?.[3];
    // Left out, the scale follows from the width, which must not change it.
    if (width !== parts.width && !floatOf(node, 'scale', 0)) set['scale'] = { type: 'float', value: 1 / Math.sqrt(parts.width) };
    return Object.keys(set).length ? withAttributes(node, { set }) : node;
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

/** What every attention operator says of its heads: their number, the width of a head's result, and what they are made of. */
export interface AttentionHeads {
  readonly count: number;
  readonly width: number;
  /** Queries, keys and values; '' where the operator projects them itself. */
  readonly sources: readonly string[];
}

/** undefined for other operators, and where sizes are not known. */
export function attentionHeads(node: GraphNode, context: Pick<ShapeContext, 'facts'>): AttentionHeads | undefined {
  if (node.op === 'Attention' && node.domain === '') {
    const parts = sizesOf(node, context);
    if (typeof parts?.heads !== 'number' || typeof parts.valueWidth !== 'number') return undefined;
    return { count: parts.heads, width: parts.valueWidth, sources: node.inputs.slice(0, 3) };
  }
  return undefined;
}

/** Places of the parts on the axes inside. */
const [groupAxis, memberAxis, headAxis, widthAxis, valueWidthAxis] = [0, 1, 2, 3, 4];

/**
 * Heads are groups of members that share keys and values. With three axes, heads and their numbers lie on one: these are
 * axes inside the operator, tied to those of its values.
 */
export function headRelations({ q, k, v, y }: Readonly<Record<'q' | 'k' | 'v' | 'y', string>>, parts: HeadSizes): Relation[] {
  const { flat, heads, groups, width, valueWidth } = parts;
  const known = [heads, groups, width, valueWidth].every((size): size is number => typeof size === 'number') && (heads as number) % (groups as number) === 0;
  if (!known) {
    return [q, k, v, y].flatMap((value) => (value ? barriers(value, flat ? [2] : [1, 3], 'how heads lie on this axis is not known') : []));
  }
  const [count, shared] = [groups as number, (heads as number) / (groups as number)];
  const own = (axis: number): AxisRef => ({ value: `${y}\0inside`, axis });
  const tie = (axis: number, size: number, to: AxisRef, outer: number, inner: number): Relation => ({ a: own(axis), b: to, size, outer, inner });
  const headsOf = (value: string, among: 'heads' | 'groups', size: number): Relation => (flat
    ? tie(among === 'heads' ? headAxis : groupAxis, among === 'heads' ? count * shared : count, { value, axis: 2 }, 1, size)
    : tie(among === 'heads' ? headAxis : groupAxis, among === 'heads' ? count * shared : count, { value, axis: 1 }, 1, 1));
  const numbersOf = (value: string, axis: number, size: number, among: number): Relation =>
    tie(axis, size, { value, axis: flat ? 2 : 3 }, flat ? among : 1, 1);
  const [d, dv] = [width as number, valueWidth as number];
  return [
    tie(groupAxis, count, own(headAxis), 1, shared), tie(memberAxis, shared, own(headAxis), count, 1),
    headsOf(q, 'heads', d), headsOf(y, 'heads', dv), headsOf(k, 'groups', d), headsOf(v, 'groups', dv),
    numbersOf(q, widthAxis, d, count * shared), numbersOf(k, widthAxis, d, count),
    numbersOf(v, valueWidthAxis, dv, count), numbersOf(y, valueWidthAxis, dv, count * shared),
  ];
}

/** A mask of [..., heads, queries, keys] may have a part for each head. */
function maskRelations(mask: string, y: string, { heads }: Sizes, context: ShapeContext): Relation[] {
  const shape = context.facts(mask).shape;
  if (!mask || !shape) return [];
  const own = shape.length - 3;
  return [
    ...barriers(mask, range(0, shape.length).filter((axis) => axis !== own && shape[axis] !== 1), 'a mask counts queries and keys'),
    ...(own >= 0 && shape[own] === heads && heads !== 1 && typeof heads === 'number'
      ? [{ a: { value: `${y}\0inside`, axis: headAxis }, b: { value: mask, axis: own }, size: heads }] : []),
  ];
}

export interface HeadSizes {
  /** Three axes, heads one behind the other on the last. */
  readonly flat: boolean;
  readonly heads: Dim;
  /** Of heads that share keys and values. */
  readonly groups: Dim;
  readonly width: Dim;
  readonly valueWidth: Dim;
}

interface Sizes extends HeadSizes {
  readonly batch: Dim;
  readonly queries: Dim;
  /** With those of the past. */
  readonly keys: Dim;
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
