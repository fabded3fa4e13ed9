import { floatOf, hasAttribute, intsOf, stringOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { barrier, firstInput, firstOutput, knownInts, normalAxis, plain, range } from './axes';
import { padGradient } from './gradients/movement';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Pad: constant (or reflected, copied) elements around the input; negative sizes cut. */
export const pad: OperatorFamily = {
  name: 'pad',
  ops: ['Pad'],

  upgrade(node, context) {
    if (context.fromOpset >= 11) return [node];
    const sizes = intsOf(node, 'pads') ?? intsOf(node, 'paddings') ?? [];
    const value = hasAttribute(node, 'value') ? context.float32('value', [floatOf(node, 'value', 0)], []) : '';
    const inputs = [firstInput(node), context.int64('pads', sizes), ...(value ? [value] : [])];
    return [{ ...withAttributes(node, { drop: ['pads', 'paddings', 'value'] }), inputs }];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (!shape) return [{ dtype }];
    const pads = padsOf(node, context, shape.length);
    return [{ dtype, shape: shape.map((dim, axis): Dim => (dim === null || !pads ? null : dim + pads[axis]![0] + pads[axis]![1])) }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    const pads = padsOf(node, context, rank);
    const constant = stringOf(node, 'mode', 'constant') === 'constant';
    return range(0, rank).flatMap((axis): Relation[] => {
      const [begin, end] = pads?.[axis] ?? [-1, -1];
      if (begin === 0 && end === 0) return [plain(x, axis, y, axis)];
      if (constant && begin >= 0 && end >= 0) return [{ ...plain(x, axis, y, axis), offset: begin }];
      const reason = 'padding repeats or cuts elements of this axis';
      return [barrier(x, axis, reason), barrier(y, axis, reason)];
    });
  },

  resize(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const shape = context.facts(x).shape;
    const pads = shape && padsOf(node, context, shape.length);
    if (!shape || !pads) return node;
    const next = pads.map(([begin, end], axis): readonly [number, number] => {
      const kept = context.kept({ value: y, axis });
      if (!kept || (begin === 0 && end === 0)) return [begin, end];
      const last = begin + (shape[axis] ?? 0);
      return [kept.filter((index) => index < begin).length, kept.filter((index) => index >= last).length];
    });
    if (next.every(([begin, end], axis) => begin === pads[axis]![0] && end === pads[axis]![1])) return node;
    const sizes = context.int64('pads', [...next.map(([begin]) => begin), ...next.map(([, end]) => end)]);
    return { ...node, inputs: [x, sizes, ...(node.inputs[2] ? [node.inputs[2]] : [])] };
  },

  gradient: padGradient,
};

/** Sizes before and behind each axis; undefined when only known at run time. */
function padsOf(node: GraphNode, context: ShapeContext, rank: number): readonly (readonly [number, number])[] | undefined {
  const sizes = knownInts(node, 1, context);
  if (!sizes) return undefined;
  const axes = node.inputs[3] ? knownInts(node, 3, context) : range(0, rank);
  if (!axes) return undefined;
  const places = axes.map((axis) => normalAxis(axis, rank));
  return range(0, rank).map((axis): readonly [number, number] => {
    const place = places.indexOf(axis);
    return place < 0 ? [0, 0] : [sizes[place] ?? 0, sizes[place + places.length] ?? 0];
  });
}
