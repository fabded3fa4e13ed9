import { int, ints, string } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';
import { all } from './elementwise';

export const shapeOps: OpGroup = {
  Reshape(context) {
    const target = context.input(1);
    // ONNX writes 0 for a size that stays; TensorFlow has one open size, -1.
    context.madeFrom(target, 1, (values) => {
      const open = values.filter((size) => size <= 0).length;
      if (open > 1) context.fail('more than one of its sizes is only known when the model runs');
      return { values: values.map((size) => size === 0 ? -1 : size), shape: [values.length] };
    });
    return context.add('Reshape', [context.input(0), target]);
  },
  Squeeze(context) {
    const axes = context.ints('squeeze_dims').length ? context.ints('squeeze_dims') : context.ints('axis');
    return context.add('Squeeze', [context.input(0), ...(axes.length ? [context.int64('axes', axes)] : [])]);
  },
  ExpandDims(context) {
    const axes = context.constant(1);
    return axes ? context.add('Unsqueeze', [context.input(0), context.int64('axes', axes)]) : context.opaque('its axis is computed');
  },
  Transpose(context) {
    const perm = context.constant(1);
    return perm ? context.add('Transpose', [context.input(0)], { perm: ints(perm) }) : context.opaque('its order of axes is computed');
  },
  Shape: (context) => context.add('Shape', [context.input(0)]),
  ShapeN: (context) => all(context).map((value) => context.add('Shape', [value])),
  Size: (context) => context.add('Size', [context.input(0)]),
  Rank: (context) => context.add('Size', [context.add('Shape', [context.input(0)])]),
  Fill(context) {
    const target = context.input(0);
    context.madeFrom(target, 0, (values) => ({ values, shape: [values.length] }));
    return context.add('Expand', [context.input(1), target]);
  },
  BroadcastTo(context) {
    const target = context.input(1);
    context.madeFrom(target, 1, (values) => ({ values, shape: [values.length] }));
    return context.add('Expand', [context.input(0), target]);
  },
  ZerosLike: (context) => context.add('Sub', [context.input(0), context.input(0)]),
  Range: (context) => context.add('Range', [context.input(0), context.input(1), context.input(2)]),
  Tile: (context) => context.add('Tile', [context.input(0), context.input(1)]),
  Pack(context) {
    const values = all(context);
    const axis = context.int('axis', 0);
    const at = context.int64('axes', [axis]);
    return context.add('Concat', values.map((value) => context.add('Unsqueeze', [value, at])), { axis: int(axis) });
  },
  Unpack(context) {
    const count = context.int('num', 1);
    const axis = context.int('axis', 0);
    if (count > 10_000) context.fail(`it makes ${count} values`);
    return Array.from({ length: count }, (_, index) => context.add('Gather', [context.input(0), context.int64('index', [index], [])], { axis: int(axis) }));
  },
  ConcatV2: (context) => concat(context, context.inputCount - 1, 0),
  Concat: (context) => concat(context, 0, 1),
  Split: (context) => split(context, 1, 0, undefined),
  SplitV: (context) => split(context, 0, 2, 1),
  Pad: pad,
  PadV2: pad,
  MirrorPad: pad,
  SpaceToDepth: (context) => context.opaque('its order of channels is not that of ONNX'),
  DepthToSpace: (context) => context.opaque('its order of channels is not that of ONNX'),
};

function concat(context: OpContext, axisInput: number, first: number): string | readonly string[] {
  const [axis] = context.constant(axisInput) ?? [];
  if (axis === undefined) return context.opaque('its axis is computed');
  const values = Array.from({ length: context.inputCount - 1 }, (_, index) => context.input(first + index));
  return context.add('Concat', values, { axis: int(axis) });
}

function split(context: OpContext, data: number, axisInput: number, sizesInput: number | undefined): readonly string[] {
  const [axis] = context.constant(axisInput) ?? [];
  const count = context.int('num_split', 1);
  if (axis === undefined || count < 1 || count > 10_000) return context.opaque('its axis is computed');
  if (sizesInput === undefined) return context.addMany('Split', [context.input(data)], count, { axis: int(axis), num_outputs: int(count) });
  const sizes = context.input(sizesInput);
  context.madeFrom(sizes, sizesInput, (values) => ({ values, shape: [values.length] }));
  return context.addMany('Split', [context.input(data), sizes], count, { axis: int(axis) });
}

/** Paddings [[before, after], ...] -> [before..., after...]. */
function pad(context: OpContext): string | readonly string[] {
  const paddings = context.constant(1);
  if (!paddings) return context.opaque('its sizes are computed');
  const befores = paddings.filter((_, index) => index % 2 === 0);
  const pads = context.int64('pads', [...befores, ...paddings.filter((_, index) => index % 2 === 1)]);
  context.madeFrom(pads, 1, (values) => {
    const rank = values.length / 2;
    return { values: befores.flatMap((_, axis) => [values[axis]!, values[axis + rank]!]), shape: [rank, 2] };
  });
  const mode = context.node.op === 'MirrorPad' ? { REFLECT: 'reflect', SYMMETRIC: 'symmetric' }[context.text('mode', 'REFLECT')] ?? 'reflect' : 'constant';
  if (mode === 'symmetric') return context.opaque('it mirrors the edge itself, which ONNX does not');
  return context.add('Pad', [context.input(0), pads, ...(context.node.op === 'PadV2' ? [context.input(2)] : [])], { mode: string(mode) });
}
