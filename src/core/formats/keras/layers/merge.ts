import { int } from '../../../graph/attributes';
import type { Dim, Shape } from '../../../graph/modelGraph';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { normalAxis, range } from '../layout';

export const mergeLayers: LayerGroup = {
  Add: (context) => chain(context, 'Add'),
  Subtract: (context) => chain(context, 'Sub'),
  Multiply: (context) => chain(context, 'Mul'),
  Maximum: (context) => chain(context, 'Max'),
  Minimum: (context) => chain(context, 'Min'),
  Average(context) {
    const sum = chain(context, 'Add');
    return { ...sum, name: context.node('Div', [sum.name, context.float32('count', [context.inputs.length])]) };
  },
  Concatenate(context) {
    const { inputs } = context;
    const shapes = inputs.map((input) => input.shape);
    const first = shapes[0];
    const axis = normalAxis(context.number('axis', -1), first);
    const name = context.node('Concat', inputs.map((input) => input.name), { axis: int(axis) });
    if (!first) return { name, dtype: inputs[0]?.dtype };
    const total = shapes.reduce<Dim>((sum, shape) => {
      const size = shape?.[axis] ?? null;
      return sum === null || size === null ? null : sum + size;
    }, 0);
    return { name, shape: first.map((size, index) => index === axis ? total : size), dtype: inputs[0]?.dtype };
  },
};

/** Two inputs at a time, from the left. */
function chain(context: LayerContext, op: string): KerasValue {
  const [first, ...rest] = aligned(context);
  if (!first || rest.length === 0) context.fail('it needs at least two inputs');
  return rest.reduce((left, right) => ({
    ...left,
    name: context.node(op, [left.name, right.name]),
    shape: broadcast(left.shape, right.shape),
  }), first);
}

/** Keras aligns inputs of different rank at the batch axis: [N, C] with [N, H, C] becomes [N, 1, C]. */
function aligned(context: LayerContext): readonly KerasValue[] {
  const { inputs } = context;
  const ranks = inputs.map((input) => input.shape?.length);
  if (ranks.some((rank) => rank === undefined)) return inputs;
  const largest = Math.max(...ranks.map((rank) => rank ?? 0));
  return inputs.map((input) => {
    const missing = largest - (input.shape?.length ?? 0);
    if (missing === 0) return input;
    const name = context.node('Unsqueeze', [input.name, context.int64('axes', range(1, missing))]);
    const [batch = null, ...others] = input.shape ?? [];
    return { ...input, name, shape: [batch, ...new Array<number>(missing).fill(1), ...others] };
  });
}

function broadcast(left: Shape | undefined, right: Shape | undefined): Shape | undefined {
  if (!left || !right || left.length !== right.length) return undefined;
  return left.map((size, axis) => {
    const other = right[axis] ?? null;
    if (size === 1) return other;
    return other === 1 || other === null || size === other ? size : other;
  });
}
