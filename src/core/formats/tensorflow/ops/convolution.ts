import { int, ints } from '../../../graph/attributes';
import type { OpContext, OpGroup, WeightRef } from '../opContext';
import { activate } from './activation';
import { fromChannelsFirst, isChannelsFirst, paddingOf, range, spatialInts, toChannelsFirst } from './layout';

export const convolutionOps: OpGroup = {
  Conv2D: (context) => convolution(context, 2),
  Conv3D: (context) => convolution(context, 3),
  _FusedConv2D: (context) => convolution(context, 2),
  DepthwiseConv2dNative: depthwise,
  FusedDepthwiseConv2dNative: depthwise,
  _FusedDepthwiseConv2dNative: depthwise,
  Conv2DBackpropInput: transposed,
};

/** Kernel [...spatial, in / groups, out] -> [out, in / groups, ...spatial]. */
function convolution(context: OpContext, spatial: number): string | readonly string[] {
  const kernel = context.weight(1, { axes: [spatial + 1, spatial, ...range(0, spatial)] })
    ?? computed(context, 1, [spatial + 1, spatial, ...range(0, spatial)]);
  if (!kernel) return context.opaque('the size of its kernel is not known');
  const x = toChannelsFirst(context, context.input(0), spatial);
  const channels = context.facts(x).shape?.[1];
  const group = channels ? channels / kernel.shape[1]! : 1;
  if (!Number.isInteger(group) || kernel.shape[0]! % group !== 0) {
    context.fail(`its kernel is for ${kernel.shape[1]} channels but its input has ${channels}`);
  }
  return slide(context, spatial, x, kernel, group);
}

/** Kernel [h, w, in, multiplier] -> [in * multiplier, 1, h, w]. */
function depthwise(context: OpContext): string | readonly string[] {
  const shape = context.shapeOf(1);
  const multiplier = shape?.[3];
  if (shape?.length !== 4 || !multiplier || !shape[2]) return context.opaque('the size of its kernel is not known');
  const kernel = context.weight(1, { axes: [2, 3, 0, 1], ...(multiplier !== 1 && { multiplier }) });
  if (!kernel) return context.opaque('its kernel is computed');
  const x = toChannelsFirst(context, context.input(0), 2);
  return slide(context, 2, x, kernel, shape[2]);
}

function slide(context: OpContext, spatial: number, x: string, kernel: WeightRef, group: number): string {
  const window = {
    kernel: kernel.shape.slice(2), strides: spatialInts(context, 'strides', spatial), dilations: spatialInts(context, 'dilations', spatial),
  };
  const bias = fusedBias(context, 2) ?? (fused(context).length ? undefined : context.followingBias(kernel.shape[0]!, isChannelsFirst(context)));
  const y = context.add('Conv', [x, kernel.name, ...(bias ? [bias] : [])], {
    kernel_shape: ints(window.kernel), strides: ints(window.strides), dilations: ints(window.dilations), ...paddingOf(context, spatial, window), group: int(group),
  });
  return finishFused(context, fromChannelsFirst(context, y, spatial));
}

/** Inputs: the size of the result, kernel [h, w, out, in], gradient. The result is what a Conv2D of that size came from. */
function transposed(context: OpContext): string | readonly string[] {
  const kernel = context.weight(1, { axes: [3, 2, 0, 1] });
  if (!kernel) return context.opaque('its kernel is computed');
  const strides = spatialInts(context, 'strides', 2);
  const dilations = spatialInts(context, 'dilations', 2);
  const x = toChannelsFirst(context, context.input(2), 2);
  const same = context.text('padding', 'VALID') === 'SAME';
  // What 'SAME' cuts off is what the strides leave over; 'VALID' may fill up to a wanted size behind the last window.
  const reach = range(0, 2).map((axis) => (kernel.shape[2 + axis]! - 1) * dilations[axis]! + 1 - strides[axis]!);
  const before = reach.map((rest) => same ? Math.floor(Math.max(rest, 0) / 2) : 0);
  const after = reach.map((rest, axis) => same ? Math.max(rest, 0) - before[axis]! : 0);
  context.followsSize(kernel.name, 1, 0);
  const bias = context.followingBias(kernel.shape[1]!, isChannelsFirst(context));
  const y = context.add('ConvTranspose', [x, kernel.name, ...(bias ? [bias] : [])], {
    kernel_shape: ints(kernel.shape.slice(2)), strides: ints(strides), dilations: ints(dilations), pads: ints([...before, ...after]),
    output_padding: ints(reach.map((rest) => Math.max(-rest, 0))), group: int(1),
  });
  return fromChannelsFirst(context, y, 2);
}

/** A kernel that the graph computes, permuted by a node. */
function computed(context: OpContext, index: number, axes: readonly number[]): WeightRef | undefined {
  const value = context.input(index);
  const shape = context.facts(value).shape;
  if (!shape?.every((size): size is number => size !== null) || shape.length !== axes.length) return undefined;
  return { name: context.add('Transpose', [value], { perm: ints(axes) }), shape: axes.map((axis) => shape[axis]!) };
}

/** What an optimiser of TensorFlow joined to this node: 'BiasAdd', 'Relu', ... */
export function fused(context: OpContext): readonly string[] {
  return context.texts('fused_ops');
}

/** The bias of a fused node as a vector. */
export function fusedBias(context: OpContext, index: number): string | undefined {
  return fused(context)[0] === 'BiasAdd' ? context.input(index) : undefined;
}

export function finishFused(context: OpContext, value: string): string {
  return fused(context).slice(fusedBias(context, 2) === undefined ? 0 : 1).reduce((result, op) => activate(context, op, result), value);
}
