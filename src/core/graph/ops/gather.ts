import { intOf } from '../attributes';
import { isFloat } from '../numeric';
import { barrier, firstInput, firstOutput, normalAxis, plain, range, unknownShapes } from './axes';
import { gatherGradient } from './gradients/movement';
import type { OperatorFamily, ParticleRule } from './operator';

/** Gather: embeddings (rows of a table by number) and the picking of one size out of a shape. */
export const gather: OperatorFamily = {
  name: 'gather',
  ops: ['Gather'],

  shape(node, context) {
    const data = context.facts(firstInput(node));
    const indices = context.facts(node.inputs[1] ?? '');
    if (!data.shape || !indices.shape) return [{ dtype: data.dtype }];
    const rank = data.shape.length;
    const axis = normalAxis(intOf(node, 'axis', 0), rank);
    const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
    const { constant } = data;
    const picked = constant && rank === 1
      ? indices.constant?.map((index) => (index === null ? null : constant[index < 0 ? index + constant.length : index] ?? null))
      : undefined;
    return [{ dtype: data.dtype, shape, constant: picked }];
  },

  flow(node, context) {
    const [data = '', indices = ''] = node.inputs;
    const y = firstOutput(node);
    const rank = context.facts(data).shape?.length;
    const picks = context.facts(indices).shape?.length;
    if (rank === undefined || picks === undefined) return unknownShapes(node, context);
    const axis = normalAxis(intOf(node, 'axis', 0), rank);
    return [
      ...range(0, axis).map((own) => plain(data, own, y, own)),
      barrier(data, axis, 'Gather picks its elements by number'),
      ...range(axis + 1, rank).map((own) => plain(data, own, y, own - 1 + picks)),
      ...range(0, picks).map((own) => plain(indices, own, y, axis + own)),
    ];
  },

  /** A table of weights that is looked up by row is an embedding: its columns are factors, its rows the items. */
  particles(node, context): ParticleRule | undefined {
    const [data = '', indices = ''] = node.inputs;
    const { shape, dtype } = context.facts(data);
    const picks = context.facts(indices).shape?.length;
    const table = shape?.length === 2 && intOf(node, 'axis', 0) === 0 && context.isConstant(data) && !context.isConstant(indices);
    const count = shape?.[1];
    if (!table || typeof count !== 'number' || count < 2 || picks === undefined || !isFloat(dtype)) return undefined;
    return { kind: 'factor', count, output: firstOutput(node), axis: picks, slices: [{ tensor: data, axis: 1, role: 'weight' }] };
  },

  macs: () => 0,

  gradient: gatherGradient,
};
