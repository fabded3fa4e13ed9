import { int, intOf, withAttributes } from '../attributes';
import { barrier, firstInput, firstOutput, normalAxis, sameAxes } from './axes';
import { softmaxGradient } from './gradients/normalisation';
import type { OperatorFamily } from './operator';

/** Softmax and its kin: one axis is normalised, the others stay apart. */
export const softmax: OperatorFamily = {
  name: 'softmax',
  ops: ['Softmax', 'LogSoftmax', 'Hardmax'],

  upgrade(node, context) {
    if (context.fromOpset >= 13) return [node];
    // Until set 12, everything from `axis` on was normalised as one.
    const x = firstInput(node);
    const { shape } = context.facts(x);
    const raw = intOf(node, 'axis', 1);
    if (shape) {
      const axis = shape.length === 0 ? 0 : normalAxis(raw, shape.length);
      if (shape.slice(axis + 1).every((dim) => dim === 1)) return [withAttributes(node, { set: { axis: int(axis) } })];
    }
    const [sizes, flat, normal] = [context.value('shape'), context.value('flat'), context.value('normalised')];
    return [
      { ...node, op: 'Shape', inputs: [x], outputs: [sizes], attributes: {} },
      { ...node, op: 'Flatten', inputs: [x], outputs: [flat], attributes: { axis: int(raw) } },
      { ...node, inputs: [flat], outputs: [normal], attributes: { axis: int(1) } },
      { ...node, op: 'Reshape', inputs: [normal, sizes], attributes: {} },
    ];
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const rank = context.facts(x).shape?.length ?? 0;
    if (rank === 0) return [];
    const axis = normalAxis(intOf(node, 'axis', -1), rank);
    const reason = `${node.op} weighs the elements of this axis against each other`;
    return [...sameAxes(x, y, rank, [axis]), barrier(x, axis, reason), barrier(y, axis, reason)];
  },

  gradient: softmaxGradient,
};
