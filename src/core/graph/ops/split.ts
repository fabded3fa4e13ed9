import { int, intOf, intsOf, withAttributes } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { barrier, firstInput, knownInts, normalAxis, plain, range, unknownShapes } from './axes';
import { splitGradient } from './gradients/movement';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Split: the outputs lie one behind the other on the input's axis. */
export const split: OperatorFamily = {
  name: 'split',
  ops: ['Split'],

  upgrade(node, context) {
    const attribute = intsOf(node, 'split');
    const bare = withAttributes(node, { drop: ['split'] });
    if (attribute) return [{ ...bare, inputs: [firstInput(node), context.int64('split', attribute)] }];
    if (node.inputs[1]) return [bare];
    return [withAttributes(bare, { set: { num_outputs: int(node.outputs.length) } })];
  },

  shape(node, context) {
    const { dtype, shape, constant } = context.facts(firstInput(node));
    if (!shape) return node.outputs.map(() => ({ dtype }));
    const axis = normalAxis(intOf(node, 'axis', 0), shape.length);
    const sizes = sizesOf(node, context, shape, axis);
    let start: Dim = 0;
    return node.outputs.map((_, index) => {
      const size = sizes[index] ?? null;
      const from: Dim = start;
      start = from === null || size === null ? null : from + size;
      const contents = shape.length === 1 && from !== null && start !== null ? constant?.slice(from, start) : undefined;
      return { dtype, shape: shape.map((dim, own) => (own === axis ? size : dim)), constant: contents };
    });
  },

  flow(node, context) {
    const x = firstInput(node);
    const shape = context.facts(x).shape;
    if (!shape) return unknownShapes(node, context);
    const axis = normalAxis(intOf(node, 'axis', 0), shape.length);
    const sizes = sizesOf(node, context, shape, axis);
    const relations: Relation[] = [];
    let offset: Dim = 0;
    node.outputs.forEach((y, index) => {
      const size = sizes[index] ?? null;
      const from: Dim = offset;
      offset = from === null || size === null ? null : from + size;
      if (!y) return;
      relations.push(...range(0, shape.length).filter((other) => other !== axis).map((other) => plain(x, other, y, other)));
      if (from !== null && size !== null) relations.push({ a: { value: y, axis }, b: { value: x, axis }, offset: from });
      else relations.push(barrier(x, axis, unknownParts), barrier(y, axis, unknownParts));
    });
    return relations;
  },

  resize(node, context) {
    const x = firstInput(node);
    const shape = context.facts(x).shape;
    if (!shape) return node;
    const axis = normalAxis(intOf(node, 'axis', 0), shape.length);
    const before = sizesOf(node, context, shape, axis);
    const kept = context.kept({ value: x, axis });
    if (!kept) return node;
    let start = 0;
    const after = before.map((size) => {
      const end = start + (size ?? 0);
      const count = kept.filter((index) => index >= start && index < end).length;
      start = end;
      return count;
    });
    const bare = withAttributes(node, { drop: ['num_outputs'] });
    return { ...bare, inputs: [x, context.int64('split', after)] };
  },

  gradient: splitGradient,
};

const unknownParts = 'the sizes of the parts are not known before the model runs';

function sizesOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>, shape: Shape, axis: number): readonly Dim[] {
  const count = node.outputs.length;
  if (node.inputs[1]) return knownInts(node, 1, context) ?? new Array<Dim>(count).fill(null);
  const size = shape[axis] ?? null;
  if (size === null) return new Array<Dim>(count).fill(null);
  const chunk = Math.ceil(size / count);
  return Array.from({ length: count }, (_, index) => Math.max(0, Math.min(chunk, size - index * chunk)));
}
