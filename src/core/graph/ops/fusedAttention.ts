import { floatOf, hasAttribute, int, intOf, ints, intsOf, withAttributes } from '../attributes';
import type { Attribute, Dim, GraphNode } from '../modelGraph';
import { cacheRelations, headAxis, headRelations, inside, maskRelations, type AttentionHeads, type HeadPart, type HeadSizes } from './attention';
import { barrier, barriers, firstInput, firstOutput, plain, product, range } from './axes';
import { fusedBlockGradient, projectedAttentionGradient } from './gradients/attention';
import type { AxisRef, OperatorFamily, Relation, ResizeContext, ShapeContext } from './operator';

/**
 * Attention as ONNX Runtime's optimiser and model builder write it: Attention (x [N, T, C] with one weight [C, q+k+v] for all
 * three), MultiHeadAttention (q, k, v [N, T, heads*d], projected outside) and GroupQueryAttention (the same with keys and
 * values for groups of heads, or all three one behind the other in one input). Other layouts of theirs stay as they are.
 */
const rules: Pick<OperatorFamily, 'shape' | 'flow' | 'resize' | 'macs'> = {
  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const layout = layoutOf(node, context);
    const batch = shape?.[0] ?? null;
    const width = layout ? product([layout.sizes.heads, layout.sizes.valueWidth]) : null;
    const y = shape?.length === 3 || layout ? [batch, shape?.[1] ?? null, width] : undefined;
    const cache = layout && [batch, layout.sizes.groups, null, layout.sizes.width];
    // Attention lists keys and values in one: [2, N, heads, T, d].
    const present = node.op === 'Attention' ? cache && [2, ...cache] : cache;
    return [{ dtype, shape: y }, { dtype, shape: present }, { dtype, shape: cache }, { dtype }];
  },

  flow(node, context): Relation[] {
    const layout = layoutOf(node, context);
    const all = (value: string, reason: string): Relation[] => barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason);
    if (!layout) {
      const reason = `${node.op} is a fused operator, inside which Particlize cannot follow channels in this layout`;
      return [...node.inputs, ...node.outputs].flatMap((value) => all(value, reason));
    }
    const y = firstOutput(node);
    const { parts, sizes, mask, perHead } = layout;
    const steps = [...new Set(parts.flatMap((part) => part.at.filter(({ axis }) => axis === 2).map(({ value }) => value)))];
    const x = firstInput(node);
    const first = steps.length ? steps : [x];
    const caches = node.op === 'Attention' ? [node.inputs[4], node.outputs[1]] : [...pastOf(node, 0), ...pastOf(node, 1), node.outputs[3]];
    const followed = new Set([...caches, ...first, mask, ...perHead, ...parts.flatMap((part) => part.at.map(({ value }) => value)), x]);
    return [
      ...first.map((value) => plain(value, 0, y, 0)),
      ...first.map((value) => barrier(value, 1, 'every query looks at all keys')),
      ...(node.op === 'Attention' ? [plain(x, 2, node.inputs[1]!, 0)] : []),
      ...headRelations(y, sizes, parts),
      ...maskRelations(mask, y, sizes, context),
      ...(node.op === 'Attention'
        ? cacheRelations(y, sizes, [node.inputs[4], node.outputs[1]], [], undefined, 1)
        : cacheRelations(y, sizes, pastOf(node, 0), pastOf(node, 1), node.outputs[3])),
      ...perHead.map((value): Relation => ({ a: inside(y, headAxis), b: { value, axis: 0 }, size: sizes.heads as number })),
      ...(intOf(node, 'do_rotary', 0) ? [barrier(inside(y, widthAxisOf).value, widthAxisOf, 'numbers of a head are turned in pairs')] : []),
      ...[...node.inputs.slice(1), ...node.outputs.slice(1)].filter((value) => value && !followed.has(value)).flatMap((value) => all(value, `${node.op} reads or makes it for all heads together`)),
    ];
  },

  resize(node, context) {
    const layout = layoutOf(node, context);
    if (!layout) return node;
    const { sizes, parts } = layout;
    const left = parts.map((part) => remaining(part, sizes, context));
    const [q, k, v] = left;
    const set: Record<string, Attribute> = {};
    if (q && q.count !== sizes.heads) set['num_heads'] = int(q.count);
    if (k && hasAttribute(node, 'kv_num_heads') && k.count !== sizes.groups) set['kv_num_heads'] = int(k.count);
    if (q && q.width !== sizes.width && !floatOf(node, 'scale', 0)) set['scale'] = { type: 'float', value: 1 / Math.sqrt(sizes.width as number) };
    if (node.op === 'Attention' && q && k && v && (hasAttribute(node, 'qkv_hidden_sizes') || q.width !== v.width)) {
      set['qkv_hidden_sizes'] = ints([q, k, v].map(({ count, width }) => count * width));
    }
    return Object.keys(set).length ? withAttributes(node, { set }) : node;
  },

  macs(node, context) {
    const layout = layoutOf(node, context);
    const x = context.facts(firstInput(node)).shape;
    const { heads, width, valueWidth } = layout?.sizes ?? { heads: null, width: null, valueWidth: null };
    if (!x || width === null || valueWidth === null) return undefined;
    const steps = x[1] ?? null;
    const keys = node.op === 'Attention' ? steps : context.facts(node.inputs[1] ?? '').shape?.[1] ?? steps;
    const made = node.op === 'Attention' ? product([steps, ...context.facts(node.inputs[1] ?? '').shape ?? [null]]) : 0;
    const read = product([heads, steps, keys, width + valueWidth]);
    return made === null || read === null ? undefined : made + read;
  },
};

export const fusedAttention: OperatorFamily = { ...rules, name: 'fusedAttention', ops: ['com.microsoft:Attention'], gradient: fusedBlockGradient };

/** Queries, keys and values are projected outside. */
export const projectedAttention: OperatorFamily = {
  ...rules, name: 'projectedAttention', ops: ['com.microsoft:MultiHeadAttention', 'com.microsoft:GroupQueryAttention'],
  gradient: projectedAttentionGradient,
};

/** Heads of a fused operator, as `attentionHeads` gives them for the standard's. */
export function fusedHeads(node: GraphNode, context: Pick<ShapeContext, 'facts'>): AttentionHeads | undefined {
  const layout = [fusedAttention, projectedAttention].some(({ ops }) => ops.includes(`${node.domain}:${node.op}`)) ? layoutOf(node, context) : undefined;
  const { heads, valueWidth } = layout?.sizes ?? {};
  if (!layout || typeof heads !== 'number' || typeof valueWidth !== 'number') return undefined;
  const [x = '', second = '', third = ''] = node.inputs;
  if (node.op === 'Attention') return { count: heads, width: valueWidth, sources: [], weight: second, bias: third };
  const bias = node.op === 'MultiHeadAttention' ? node.inputs[3] : undefined;
  return { count: heads, width: valueWidth, sources: second ? [x, second, third] : [x, x, x], ...(bias && { bias }) };
}

interface Layout {
  readonly sizes: HeadSizes;
  readonly parts: readonly HeadPart[];
  readonly mask: string;
  /** Vectors with one number a head. */
  readonly perHead: readonly string[];
}

const widthAxisOf = 3;

function layoutOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): Layout | undefined {
  const heads = intOf(node, 'num_heads', 0);
  const shapes = node.inputs.map((input) => context.facts(input).shape);
  const [x = '', second = '', third = ''] = node.inputs;
  if (heads < 1 || shapes[0]?.length !== 3) return undefined;
  const whole = (size: Dim | undefined, count: number): number | undefined => (typeof size === 'number' && size > 0 && size % count === 0 ? size / count : undefined);
  const build = (groups: number, width: number | undefined, valueWidth: number | undefined, places: readonly (readonly (AxisRef & { offset: number })[])[], more: Pick<Layout, 'mask' | 'perHead'>): Layout | undefined =>
    width === undefined || valueWidth === undefined ? undefined : {
      ...more, sizes: { flat: true, heads, groups, width, valueWidth },
      parts: places.map((at, index) => ({ at, among: index ? 'groups' : 'heads', numbers: index === 2 ? 'valueWidth' : 'width' })),
    };
  const places = (value: string, axis: number, sizes: readonly number[]): (AxisRef & { offset: number })[] =>
    sizes.map((_, index) => ({ value, axis, offset: sizes.slice(0, index).reduce((sum, size) => sum + size, 0) }));
  if (node.op === 'Attention') {
    const columns = shapes[1]?.[1];
    const sizes = intsOf(node, 'qkv_hidden_sizes') ?? (whole(columns, 3) === undefined ? undefined : [0, 1, 2].map(() => whole(columns, 3)!));
    if (!sizes || sizes.length !== 3 || sizes[0] !== sizes[1] || sizes.reduce((sum, size) => sum + size, 0) !== columns) return undefined;
    const [weights, biases] = [places(second, 1, sizes), third ? places(third, 0, sizes) : []];
    return build(heads, whole(sizes[0], heads), whole(sizes[2], heads), weights.map((place, index) => [place, ...biases.slice(index, index + 1)]), { mask: node.inputs[5] ?? '', perHead: [] });
  }
  if (node.op === 'MultiHeadAttention') {
    if (shapes[1]?.length !== 3 || shapes[2]?.length !== 3) return undefined;
    const sizes = [0, 1, 2].map((index) => shapes[index]![2] ?? null);
    if (!sizes.every((size): size is number => size !== null) || sizes[0] !== sizes[1]) return undefined;
    const biases = node.inputs[3] ? places(node.inputs[3], 0, sizes) : [];
    const outside = [x, second, third].map((value, index) => [{ value, axis: 2, offset: 0 }, ...biases.slice(index, index + 1)]);
    return build(heads, whole(sizes[0], heads), whole(sizes[2], heads), outside, { mask: node.inputs[5] ?? '', perHead: [] });
  }
  const groups = intOf(node, 'kv_num_heads', 0);
  if (groups < 1 || heads % groups !== 0) return undefined;
  const width = whole(shapes[0][2], second ? heads : heads + 2 * groups);
  if (width === undefined || (second && (shapes[1]?.[2] !== groups * width || shapes[2]?.[2] !== groups * width))) return undefined;
  const inputs = second ? [x, second, third].map((value) => [{ value, axis: 2, offset: 0 }])
    : places(x, 2, [heads * width, groups * width, groups * width]).map((place) => [place]);
  return build(groups, width, width, inputs, { mask: node.inputs[10] ?? '', perHead: node.inputs[11] ? [node.inputs[11]] : [] });
}

/** Keys (0) or values (1) that are continued, and as they are handed on. */
function pastOf(node: GraphNode, which: 0 | 1): readonly (string | undefined)[] {
  return [node.inputs[(node.op === 'MultiHeadAttention' ? 6 : 3) + which], node.outputs[1 + which]];
}

/** How many heads and numbers of each are left of a part. */
function remaining({ at, among, numbers }: HeadPart, sizes: HeadSizes, context: ResizeContext): { readonly count: number; readonly width: number } | undefined {
  const [place] = at;
  const [count, width] = [sizes[among] as number, sizes[numbers] as number];
  const kept = place && context.kept(place)?.map((index) => index - place.offset).filter((index) => index >= 0 && index < count * width);
  if (!kept) return { count, width };
  const heads = new Set(kept.map((index) => Math.floor(index / width))).size;
  return { count: heads, width: kept.length / heads };
}
