import { intOf, stringOf } from '../attributes';
import type { Dim } from '../modelGraph';
import { barriers, firstInput, range } from './axes';
import type { OperatorFamily } from './operator';

/** LSTM, GRU and RNN. x: [T, N, C] (layout 1: [N, T, C]); W: [directions, gates*H, C]. Only shapes so far. */
export const recurrent: OperatorFamily = {
  name: 'recurrent',
  ops: ['LSTM', 'GRU', 'RNN'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const weights = context.facts(node.inputs[1] ?? '').shape;
    const gates = { LSTM: 4, GRU: 3, RNN: 1 }[node.op] ?? 1;
    const directions = weights?.[0] ?? (stringOf(node, 'direction', 'forward') === 'bidirectional' ? 2 : 1);
    const rows = weights?.[1] ?? null;
    const hidden: Dim = intOf(node, 'hidden_size', 0) || (rows === null ? null : rows / gates);
    const batchFirst = intOf(node, 'layout', 0) === 1;
    const [time, batch] = batchFirst ? [shape?.[1] ?? null, shape?.[0] ?? null] : [shape?.[0] ?? null, shape?.[1] ?? null];
    const last = { dtype, shape: batchFirst ? [batch, directions, hidden] : [directions, batch, hidden] };
    return [{ dtype, shape: batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden] }, last, last];
  },

  flow(node, context) {
    const reason = `Particlize does not take units out of ${node.op} yet`;
    return [...node.inputs, ...node.outputs].flatMap((value) =>
      barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason));
  },

  macs(node, context) {
    const shape = context.facts(firstInput(node)).shape;
    const time = shape?.[intOf(node, 'layout', 0) === 1 ? 1 : 0];
    const [first, second] = [1, 2].map((input) => context.facts(node.inputs[input] ?? '').shape);
    if (typeof time !== 'number' || !first || !second || [...first, ...second].includes(null)) return undefined;
    // One product with the input's and one with the state's weights at every step.
    return time * [first, second].reduce((sum, dims) => sum + dims.reduce<number>((product, dim) => product * dim!, 1), 0);
  },
};
