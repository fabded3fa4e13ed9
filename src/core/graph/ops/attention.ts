import { floatOf, int, intOf, withAttributes } from '../attributes';
import type { Attribute, Dim, GraphNode, Shape } from '../modelGraph';
import { barrier, barriers, firstInput, firstOutput, plain, product, range, unknownShapes } from './axes';
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
      ...node.inputs.slice(6).flatMap((value) => all(value, 'it counts keys')),
      ...headRelations(y, parts, [q, k, v].map((value, index) => ({
        among: index ? 'groups' : 'heads', numbers: index === 2 ? 'valueWidth' : 'width', at: [{ value, axis: flat ? 2 : 3, offset: 0 }],
      }))),
      ...cacheRelations(y, parts, [node.inputs[4], node.outputs[1]], [node.inputs[5], node.outputs[2]], node.outputs[3]),
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
    const shape = context.facts(x).shape;
    const rank = shape?.length ?? 0;
    const reason = 'numbers of this axis are turned in pairs';
    const angles = node.inputs.slice(1).flatMap((value) => barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason));
    const heads = intOf(node, 'num_heads', 0);
    const size = shape?.[rank - 1];
    // Heads one behind the other on the last axis stay apart; the numbers of each do not.
    const flat = rank === 3 && heads > 0 && typeof size === 'number' && size % heads === 0;
    return [
      ...range(0, rank - 1).map((axis) => plain(x, axis, y, axis)), ...angles,
      ...[x, y].flatMap((value): Relation[] => (flat
        ? [
          { a: inside(y, headAxis), b: { value, axis: 2 }, size: heads, inner: size / heads },
          { a: inside(y, widthAxis), b: { value, axis: 2 }, size: size / heads, outer: heads },
        ] : barriers(value, [rank - 1], reason))),
      ...(flat ? [barrier(inside(y, widthAxis).value, widthAxis, reason)] : []),
    ];
  },

  resize(node, context) {
    const x = firstInput(node);
    const heads = intOf(node, 'num_heads', 0);
    const [before, after] = [context.facts(x).shape?.at(-1), context.after(x).shape?.at(-1)];
    if (!heads || context.facts(x).shape?.length !== 3 || typeof before !== 'number' || typeof after !== 'number' || before === after) return node;
    return withAttributes(node, { set: { num_heads: int(after / (before / heads)) } });
  },

  gradient: rotaryGradient,
};

/** What every attention operator says of its heads: their number, the width of a head's result, and what they are made of. */
export interface AttentionHeads {
  readonly count: number;
  readonly width: number;
  /** Queries, keys and values; '' where the operator projects them itself. */
  readonly sources: readonly string[];
  /** Weight and bias that the operator itself has for all three, one behind the other. */
  readonly weight?: string;
  readonly bias?: string;
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

/** Axes inside the operator. */
const [groupAxis, memberAxis, widthAxis, valueWidthAxis] = [0, 1, 3, 4];
export const headAxis = 2;

export function inside(output: string, axis: number): AxisRef {
  return { value: `${output}\0inside`, axis };
}

/** Where queries, keys or values lie, heads (or groups of them) one behind the other from `offset` on. */
export interface HeadPart {
  readonly among: 'heads' | 'groups';
  readonly numbers: 'width' | 'valueWidth';
  readonly at: readonly (AxisRef & { readonly offset: number })[];
}

/**
 * Heads are groups of members that share keys and values. Where heads and their numbers lie on one axis, these are axes
 * inside the operator, tied to those of its values; with four axes they are the values' own.
 */
export function headRelations(y: string, sizes: HeadSizes, parts: readonly HeadPart[]): Relation[] {
  const { flat, heads, groups, width, valueWidth } = sizes;
  const last = flat ? 2 : 3;
  const result: HeadPart = { among: 'heads', numbers: 'valueWidth', at: [{ value: y, axis: last, offset: 0 }] };
  if (typeof heads !== 'number' || typeof groups !== 'number' || typeof width !== 'number' || typeof valueWidth !== 'number' || heads % groups !== 0) {
    const reason = 'how heads lie on this axis is not known';
    return [...parts, result].flatMap(({ at }) => at.flatMap(({ value, axis }) => [...barriers(value, flat ? [axis] : [1, axis], reason)]));
  }
  const tie = (axis: number, size: number, to: AxisRef, outer: number, inner: number, offset = 0): Relation => ({ a: inside(y, axis), b: to, size, outer, inner, offset });
  const own = [
    tie(groupAxis, groups, inside(y, headAxis), 1, heads / groups), tie(memberAxis, heads / groups, inside(y, headAxis), groups, 1),
  ];
  return [...own, ...[...parts, result].flatMap(({ among, numbers, at }) => {
    const count = among === 'heads' ? heads : groups;
    const size = numbers === 'width' ? width : valueWidth;
    const [headsFrom, numbersFrom] = [among === 'heads' ? headAxis : groupAxis, numbers === 'width' ? widthAxis : valueWidthAxis];
    return at.flatMap(({ offset, ...ref }) => (flat
      ? [tie(headsFrom, count, ref, 1, size, offset), tie(numbersFrom, size, ref, count, 1, offset)]
      : [tie(headsFrom, count, { ...ref, axis: 1 }, 1, 1), tie(numbersFrom, size, ref, 1, 1)]));
  })];
}

/**
 * Keys and values that are continued, or handed on to be, have an axis for their groups and one for their numbers ([N, groups,
 * T, d], or with more axes in front); scores have one for heads.
 */
export function cacheRelations(
  y: string, { groups, heads, width, valueWidth }: HeadSizes, keys: readonly (string | undefined)[], values: readonly (string | undefined)[], scores: string | undefined, front = 0,
): Relation[] {
  const tie = (value: string | undefined, axis: number, to: number, size: Dim): Relation[] =>
    (value && typeof size === 'number' ? [{ a: inside(y, axis), b: { value, axis: front + to }, size }] : []);
  return [
    ...[...keys, ...values].flatMap((value) => tie(value, groupAxis, 1, groups)),
    ...keys.flatMap((value) => tie(value, widthAxis, 3, width)), ...values.flatMap((value) => tie(value, valueWidthAxis, 3, valueWidth)),
    ...tie(scores, headAxis, 1, heads),
  ];
}

/** A mask of [..., heads, queries, keys] may have a part for each head. */
export function maskRelations(mask: string, y: string, { heads }: HeadSizes, context: ShapeContext): Relation[] {
  const shape = context.facts(mask).shape;
  if (!mask || !shape) return [];
  const own = shape.length - 3;
  return [
    ...barriers(mask, range(0, shape.length).filter((axis) => axis !== own && shape[axis] !== 1), 'a mask counts queries and keys'),
    ...(own >= 0 && shape[own] === heads && heads !== 1 && typeof heads === 'number'
      ? [{ a: inside(y, headAxis), b: { value: mask, axis: own }, size: heads }] : []),
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
