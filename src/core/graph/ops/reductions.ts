import { intOf, intsOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { barrier, firstInput, firstOutput, normalAxis, plain, product, range } from './axes';
import { reductionGradient } from './gradients/reductions';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Reductions over some axes, ArgMax and ArgMin. */
export const reductions: OperatorFamily = {
  name: 'reductions',
  ops: [
    'ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp',
    'ReduceSumSquare', 'ArgMax', 'ArgMin',
  ],

  upgrade(node, context) {
    const axes = intsOf(node, 'axes');
    if (node.op.startsWith('Arg') || !axes) return [node];
    return [{ ...withAttributes(node, { drop: ['axes'] }), inputs: [firstInput(node), context.int64('axes', axes)] }];
  },

  shape(node, context) {
    const { dtype, shape, constant } = context.facts(firstInput(node));
    const result = node.op.startsWith('Arg') ? 'int64' : dtype;
    const keep = intOf(node, 'keepdims', 1) === 1;
    const axes = shape && axesOf(node, context, shape.length);
    if (!shape || !axes) return [{ dtype: result, shape: keep ? shape?.map(() => null) : undefined }];
    const out = keep
      ? shape.map((dim, axis): Dim => (axes.includes(axis) ? 1 : dim))
      : shape.filter((_, axis) => !axes.includes(axis));
    const whole = constant && shape.length === 1 && axes.length === 1 ? folds[node.op]?.(constant) : undefined;
    return [{ dtype: result, shape: out, constant: whole === undefined ? undefined : [whole] }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    if (rank === 0) return [];
    const axes = axesOf(node, context, rank);
    if (!axes) return range(0, rank).map((axis) => barrier(x, axis, 'which axes are reduced is only known when the model runs'));
    const keep = intOf(node, 'keepdims', 1) === 1;
    let target = 0;
    return range(0, rank).flatMap((axis): Relation[] => {
      const own = keep ? axis : target;
      if (!axes.includes(axis)) {
        target++;
        return [plain(x, axis, y, own)];
      }
      // In a sum, an element that is gone counts as much as one that is zero; elsewhere it does not.
      return sums.has(node.op) ? [] : [barrier(x, axis, `${node.op} takes all elements of this axis together`)];
    });
  },

  gradient: reductionGradient,
};

const sums = new Set(['ReduceSum', 'ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceSumSquare']);

const folds: Readonly<Record<string, (values: readonly Dim[]) => Dim>> = {
  ReduceProd: product,
  ReduceSum: (values) => (values.includes(null) ? null : values.reduce<number>((sum, value) => sum + value!, 0)),
  ReduceMax: (values) => (values.includes(null) ? null : Math.max(...(values as number[]))),
  ReduceMin: (values) => (values.includes(null) ? null : Math.min(...(values as number[]))),
};

function axesOf(node: GraphNode, context: ShapeContext, rank: number): readonly number[] | undefined {
  if (node.op.startsWith('Arg')) return [normalAxis(intOf(node, 'axis', 0), rank)];
  if (!node.inputs[1] || context.facts(node.inputs[1]).shape?.[0] === 0) {
    return intOf(node, 'noop_with_empty_axes', 0) === 1 ? [] : range(0, rank);
  }
  const axes = context.facts(node.inputs[1]).constant;
  if (!axes?.every((axis): axis is number => axis !== null)) return undefined;
  return axes.map((axis) => normalAxis(axis, rank));
}
