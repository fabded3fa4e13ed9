import { int, intOf, withAttributes } from '../attributes';
import type { GraphNode } from '../modelGraph';
import { barriers, firstInput, firstOutput, plain, range, sameAxes } from './axes';
import { normalisationGradient } from './gradients/normalisation';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Normalisations that mix elements: what they average over must stay as it is. */
export const normalisation: OperatorFamily = {
  name: 'normalisation',
  ops: ['InstanceNormalization', 'LayerNormalization', 'GroupNormalization', 'LRN', 'LpNormalization', 'MeanVarianceNormalization'],

  upgrade(node) {
    return [withAttributes(node, { drop: ['consumed_inputs'] })];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (node.op !== 'LayerNormalization') return [{ dtype, shape }];
    const axis = intOf(node, 'axis', -1);
    const first = shape && (axis < 0 ? axis + shape.length : axis);
    const statistics = { shape: shape?.map((dim, index) => (index >= first! ? 1 : dim)) };
    return [{ dtype, shape }, statistics, statistics];
  },

  flow(node, context) {
    const [x = '', ...parameters] = node.inputs;
    const y = firstOutput(node);
    const shape = context.facts(x).shape;
    const rank = shape?.length ?? 0;
    const groups = intOf(node, 'num_groups', 0);
    const channels = shape?.[1];
    if (node.op === 'GroupNormalization' && typeof channels === 'number' && groups > 0 && channels % groups === 0) {
      return groupRelations(node, context, { groups, channels, rank });
    }
    const mixed = mixedAxes(node.op, intOf(node, 'axis', -1), rank);
    const reason = `${node.op} mixes the elements of this axis`;
    return [
      ...sameAxes(x, y, rank, mixed),
      ...[x, y].flatMap((value) => barriers(value, mixed, reason)),
      ...parameters.filter(Boolean).flatMap((parameter) => node.op === 'InstanceNormalization'
        ? [plain(parameter, 0, y, 1)]
        : barriers(parameter, range(0, context.facts(parameter).shape?.length ?? 0), reason)),
    ];
  },

  resize(node, context) {
    if (node.op !== 'GroupNormalization') return node;
    const x = firstInput(node);
    const [before, after] = [context.facts(x).shape?.[1], context.after(x).shape?.[1]];
    if (typeof before !== 'number' || typeof after !== 'number' || before === after) return node;
    return withAttributes(node, { set: { num_groups: int((after * intOf(node, 'num_groups', 1)) / before) } });
  },

  gradient: normalisationGradient,
};

/** Only whole groups go: what a group is normalised by depends on each of its channels. */
function groupRelations(node: GraphNode, context: ShapeContext, { groups, channels, rank }: { groups: number; channels: number; rank: number }): Relation[] {
  const [x = '', ...parameters] = node.inputs;
  const y = firstOutput(node);
  const group = { a: { value: `${node.name}\0groups`, axis: 0 }, size: groups };
  const each = channels / groups;
  return [
    ...sameAxes(x, y, 2),
    ...[x, y].flatMap((value) => barriers(value, range(2, rank), 'GroupNormalization mixes the elements of this axis')),
    { ...group, b: { value: x, axis: 1 }, inner: each },
    // Until set 20 there was one factor a group.
    ...parameters.filter(Boolean).map((parameter) => (context.facts(parameter).shape?.[0] === channels && (each === 1 || context.opset >= 21)
      ? plain(parameter, 0, y, 1) : { ...group, b: { value: parameter, axis: 0 } })),
  ];
}

function mixedAxes(op: string, axis: number, rank: number): number[] {
  if (op === 'InstanceNormalization') return range(2, rank);
  if (op === 'LRN') return [1];
  if (op === 'LpNormalization') return [axis < 0 ? axis + rank : axis];
  if (op === 'LayerNormalization') return range(axis < 0 ? axis + rank : axis, rank);
  if (op === 'GroupNormalization') return range(1, rank);
  return range(0, rank);
}
