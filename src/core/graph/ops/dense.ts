import { floatOf, intOf, withAttributes } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { broadcast, broadcastRelations, firstOutput, plain, product, range, unknownShapes } from './axes';
import { gemmGradient, matMulGradient } from './gradients/dense';
import type { GraphBuilder, LinearRule, OperatorFamily, ParticleRule, Relation, ShapeContext, WeightSlice } from './operator';

/** Gemm (alpha·A'·B' + beta·C) and MatMul, the latter with any number of batch axes. */
export const dense: OperatorFamily = {
  name: 'dense',
  ops: ['Gemm', 'MatMul'],

  upgrade(node) {
    // Before set 7 the bias was only broadcast when asked; it fits either way.
    return [withAttributes(node, { drop: ['broadcast'] })];
  },

  shape(node, context) {
    const { a, b, rows, columns, inner } = partsOf(node, context);
    const dtype = context.facts(a).dtype ?? context.facts(b).dtype;
    const left = context.facts(a).shape;
    const right = context.facts(b).shape;
    if (!left || !right) return [{ dtype }];
    const depths = [left[inner.a]!, right[inner.b]!];
    if (depths[0] !== null && depths[1] !== null && depths[0] !== depths[1]) {
      throw new RangeError(`the input has ${depths[0]} features, the weights are for ${depths[1]}`);
    }
    const shape: Dim[] = [...(broadcast([left.slice(0, -2), right.slice(0, -2)]) ?? [])];
    if (rows !== undefined) shape.push(left[rows]!);
    if (columns !== undefined) shape.push(right[columns]!);
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const { a, b, bias, rows, columns, inner } = partsOf(node, context);
    const y = firstOutput(node);
    const left = context.facts(a).shape;
    const right = context.facts(b).shape;
    const out = context.facts(y).shape;
    if (!left || !right || !out) return unknownShapes(node, context);
    const relations: Relation[] = [plain(a, inner.a, b, inner.b)];
    if (rows !== undefined) relations.push(plain(a, rows, y, out.length - (columns === undefined ? 1 : 2)));
    if (columns !== undefined) relations.push(plain(b, columns, y, out.length - 1));
    if (bias) relations.push(...broadcastRelations(bias, y, context));
    const batch = out.length - Number(rows !== undefined) - Number(columns !== undefined);
    for (const [value, shape] of [[a, left], [b, right]] as const) {
      range(0, shape.length - 2).forEach((axis) => {
        const target = axis + batch - (shape.length - 2);
        if (shape[axis] === out[target]) relations.push(plain(value, axis, y, target));
      });
    }
    return relations;
  },

  particles(node, context): ParticleRule | undefined {
    const { b, bias, columns } = partsOf(node, context);
    const right = context.facts(b).shape;
    const out = context.facts(firstOutput(node)).shape;
    if (!right || !context.isConstant(b) || right.length !== 2 || columns === undefined) return undefined;
    const count = right[columns]!;
    if (count === null) return undefined;
    const slices: WeightSlice[] = [{ tensor: b, axis: columns, role: 'weight' }];
    const added = bias ? context.facts(bias).shape : undefined;
    if (bias && added && context.isConstant(bias) && added[added.length - 1] === count) {
      slices.push({ tensor: bias, axis: added.length - 1, role: 'bias' });
    }
    // Behind an operator of unknown shape the axis of a product's neurons is unknown too.
    const rank = node.op === 'Gemm' ? 2 : out?.length;
    if (rank === undefined) return undefined;
    return { kind: 'neuron', count, output: firstOutput(node), axis: rank - 1, slices };
  },

  linear(node, context): LinearRule | undefined {
    const { a, b, bias, columns, inner } = partsOf(node, context);
    const left = context.facts(a).shape;
    const right = context.facts(b).shape;
    if (!left || !right || right.length !== 2 || columns === undefined || !context.isConstant(b)) return undefined;
    const rule: LinearRule = {
      input: a, axis: inner.a, output: firstOutput(node), outputAxis: Math.max(left.length - 1, 0), ...(bias && { bias }),
    };
    if (inner.a !== left.length - 1 || left.length < 2) return rule;
    return {
      ...rule,
      weight: { value: b, axis: inner.b },
      contributions: (builder, x, weights, particles, block) =>
        contributions(node, left.length, inner.b === 1, builder, x, weights, particles, block),
    };
  },

  macs(node, context) {
    const { a, b, columns, inner } = partsOf(node, context);
    const left = context.facts(a).shape;
    const right = context.facts(b).shape;
    const out = context.facts(firstOutput(node)).shape;
    if (!left || !right || !out) return undefined;
    const depth = left[inner.a] ?? right[inner.b] ?? null;
    // The first axis is the batch, unless the output is a mere vector.
    const elements = out.length > 1 || columns === undefined ? out.slice(1) : out;
    return product([...elements, depth]) ?? undefined;
  },

  gradient: (node, context) => (node.op === 'Gemm' ? gemmGradient : matMulGradient)(node, context),
};

interface Parts {
  readonly a: string;
  readonly b: string;
  readonly bias?: string;
  /** Axes that are summed over. */
  readonly inner: { readonly a: number; readonly b: number };
  /** Axis of a (of b) that becomes the output's last but one (last); undefined where it is a vector. */
  readonly rows?: number;
  readonly columns?: number;
}

function partsOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): Parts {
  const [a = '', b = '', bias] = node.inputs;
  if (node.op === 'Gemm') {
    const transA = intOf(node, 'transA', 0) ? 1 : 0;
    const transB = intOf(node, 'transB', 0) ? 1 : 0;
    return { a, b, ...(bias && { bias }), inner: { a: 1 - transA, b: transB }, rows: transA, columns: 1 - transB };
  }
  const rank = (shape: Shape | undefined): number => shape?.length ?? 2;
  const left = rank(context.facts(a).shape);
  const right = rank(context.facts(b).shape);
  return {
    a, b, inner: { a: left - 1, b: Math.max(right - 2, 0) },
    ...(left > 1 && { rows: left - 2 }), ...(right > 1 && { columns: right - 1 }),
  };
}

/** x [..., J*block], weights [J*block, O] (transposed: [O, J*block]) -> [J, ..., O] by one batched product. */
function contributions(
  node: GraphNode, rank: number, transposed: boolean, builder: GraphBuilder, x: string, weights: string, particles: number, block: number,
): string {
  const keep = new Array<number>(rank - 1).fill(0);
  const apart = builder.node('Reshape', [x, builder.int64([...keep, particles, block])]);
  const perm = [rank - 1, ...range(0, rank - 1), rank];
  const particleFirst = builder.node('Transpose', [apart], { perm: { type: 'ints', value: perm } }); // [J, ..., block]
  const inputFirst = transposed
    ? builder.node('Transpose', [weights], { perm: { type: 'ints', value: [1, 0] } })
    : weights;
  const outputs = builder.facts(inputFirst).shape?.[1] ?? -1;
  const ones = new Array<number>(rank - 2).fill(1);
  const perParticle = builder.node('Reshape', [inputFirst, builder.int64([particles, ...ones, block, outputs])]);
  const terms = builder.node('MatMul', [particleFirst, perParticle]);
  const alpha = node.op === 'Gemm' ? floatOf(node, 'alpha', 1) : 1;
  return alpha === 1 ? terms : builder.node('Mul', [terms, builder.float32([alpha], [])]);
}
