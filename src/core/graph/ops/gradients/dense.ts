import { floatOf, intOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstOutput, range } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/** Gemm: Y = alpha A' B' + beta C, where A' and B' may be transposed. */
export function gemmGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  if (!dy) return [];
  const [a = '', b = '', c = ''] = node.inputs;
  const m = new Maths(context);
  const [transA, transB] = [intOf(node, 'transA', 0) === 1, intOf(node, 'transB', 0) === 1];
  const alpha = floatOf(node, 'alpha', 1);
  const ofA = (): string => transA ? m.gemm(b, dy, { transA: transB, transB: true, alpha }) : m.gemm(dy, b, { transB: !transB, alpha });
  const ofB = (): string => transB ? m.gemm(dy, a, { transA: true, transB: transA, alpha }) : m.gemm(a, dy, { transA: !transA, alpha });
  return [
    context.needs(0) ? ofA() : undefined,
    context.needs(1) ? ofB() : undefined,
    c && context.needs(2) ? m.scale(m.sumTo(dy, c, firstOutput(node)), floatOf(node, 'beta', 1)) : undefined,
  ];
}

/** MatMul with any number of batch axes, which may be broadcast; vectors count as a row in front and a column behind. */
export function matMulGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const [a = '', b = ''] = node.inputs;
  const left = context.sizes(a)?.length;
  const right = context.sizes(b)?.length;
  if (!dy) return [];
  if (left === undefined || right === undefined) throw new RangeError('the shapes of its inputs are not known');
  const m = new Maths(context);
  if (left === 2 && right === 2) {
    return [context.needs(0) ? m.gemm(dy, b, { transB: true }) : undefined, context.needs(1) ? m.gemm(a, dy, { transA: true }) : undefined];
  }
  const wideA = left === 1 ? m.op('Unsqueeze', [a, m.builder.int64([0])]) : a;
  const wideB = right === 1 ? m.op('Unsqueeze', [b, m.builder.int64([1])]) : b;
  let wide = right === 1 ? m.op('Unsqueeze', [dy, m.builder.int64([-1])]) : dy;
  if (left === 1) wide = m.op('Unsqueeze', [wide, m.builder.int64([-2])]);
  const product = (x: string, y: string, operand: string, rank: number): string => {
    const full = m.op('MatMul', [x, y]);
    return rank === 1 ? vectorSum(m, full, operand) : batchSum(m, full, operand, node, context);
  };
  return [
    context.needs(0) ? product(wide, swapped(m, wideB, Math.max(right, 2)), a, left) : undefined,
    context.needs(1) ? ofRight() : undefined,
  ];

  function ofRight(): string {
    // A plain weight under a batch: one large product instead of one for each sample and a sum.
    if (right === 2 && left! > 2) {
      const [depth, columns] = [context.sizes(a)!.at(-1), context.sizes(b)![1]];
      const [own, out] = [context.facts(a).shape?.at(-1), context.facts(b).shape?.[1]];
      if (depth != null && columns != null && own != null && out != null) {
        return m.gemm(m.reshape(a, [-1, own]), m.reshape(dy!, [-1, out]), { transA: true });
      }
    }
    return product(swapped(m, wideA, Math.max(left!, 2)), wide, b, right!);
  }
}

function swapped(m: Maths, x: string, rank: number): string {
  return m.transpose(x, [...range(0, rank - 2), rank - 1, rank - 2]);
}

/** Everything but the one axis of a vector operand is summed. */
function vectorSum(m: Maths, full: string, operand: string): string {
  const depth = m.vector(-1, m.shape(operand));
  const flat = m.op('Reshape', [full, depth]);
  return m.reshapeLike(m.sum(flat, [0], false), operand);
}

function batchSum(m: Maths, full: string, operand: string, node: GraphNode, context: GradientContext): string {
  const own = context.sizes(operand)!;
  const other = context.sizes(node.inputs.find((input) => input !== operand) ?? operand)!;
  const rank = Math.max(own.length, other.length);
  const lead = rank - own.length;
  const dim = (shape: readonly (number | null)[], axis: number): number | null => {
    const place = axis - (rank - shape.length);
    return place < 0 ? 1 : shape[place]!;
  };
  const batch = range(0, rank - 2);
  if (batch.some((axis) => dim(own, axis) === null || dim(other, axis) === null)) return m.sumTo(full, operand, full);
  const stretched = batch.filter((axis) => dim(own, axis) === 1 && dim(other, axis) !== 1);
  if (!lead && !stretched.length) return full;
  const sum = m.sum(full, [...new Set([...range(0, lead), ...stretched])], true);
  return lead ? m.reshapeLike(sum, operand) : sum;
}
