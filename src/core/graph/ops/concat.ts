import { hasAttribute, int, intOf, withAttributes } from '../attributes';
import type { Dim } from '../modelGraph';
import { barrier, firstOutput, normalAxis, plain, range, unknownShapes } from './axes';
import { concatGradient } from './gradients/movement';
import type { OperatorFamily, Relation } from './operator';

/** Concat: each input lies on the output's axis behind those before it. */
export const concat: OperatorFamily = {
  name: 'concat',
  ops: ['Concat'],

  upgrade(node) {
    return [hasAttribute(node, 'axis') ? node : withAttributes(node, { set: { axis: int(1) } })];
  },

  shape(node, context) {
    const facts = node.inputs.map((input) => context.facts(input));
    const dtype = facts.find((fact) => fact.dtype)?.dtype;
    const known = facts.find((fact) => fact.shape)?.shape;
    if (!known) return [{ dtype }];
    const axis = normalAxis(intOf(node, 'axis', 0), known.length);
    const shape = known.map((_, index): Dim => {
      const sizes = facts.map((fact) => fact.shape?.[index] ?? null);
      if (index === axis) return sizes.reduce((sum: Dim, size) => (sum === null || size === null ? null : sum + size), 0);
      return sizes.find((size) => size !== null) ?? null;
    });
    for (const fact of facts) if (fact.shape && fact.shape.length !== known.length) throw new RangeError('its inputs have different ranks');
    const contents = facts.map((fact) => fact.constant);
    const constant = known.length === 1 && contents.every((content): content is readonly Dim[] => content !== undefined)
      ? contents.flat()
      : undefined;
    return [{ dtype, shape, constant }];
  },

  flow(node, context) {
    const y = firstOutput(node);
    const rank = context.facts(y).shape?.length;
    if (rank === undefined) return unknownShapes(node, context);
    const axis = normalAxis(intOf(node, 'axis', 0), rank);
    const relations: Relation[] = [];
    let offset: number | undefined = 0;
    for (const input of node.inputs) {
      relations.push(...range(0, rank).filter((other) => other !== axis).map((other) => plain(input, other, y, other)));
      const size: Dim = context.facts(input).shape?.[axis] ?? null;
      if (offset === undefined || size === null) {
        const reason = 'what lies before it in the concatenation has no known size';
        relations.push(barrier(input, axis, reason), barrier(y, axis, reason));
        offset = undefined;
      } else {
        relations.push({ ...plain(input, axis, y, axis), offset });
        offset += size;
      }
    }
    return relations;
  },

  gradient: concatGradient,
};
