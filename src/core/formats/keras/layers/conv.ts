import { int, ints, string } from '../../../graph/attributes';
import type { Attribute } from '../../../graph/modelGraph';
import type { KerasValue, LayerContext, LayerGroup, WeightRef } from '../layerRule';
import { fromChannelsFirst, range, toChannelsFirst, windowed } from '../layout';
import { activate, isElementwise } from './activation';

export const convLayers: LayerGroup = {
  Conv1D: (context) => convolution(context, 1),
  Conv2D: (context) => convolution(context, 2),
  Conv3D: (context) => convolution(context, 3),
  Convolution1D: (context) => convolution(context, 1),
  Convolution2D: (context) => convolution(context, 2),
  DepthwiseConv1D: (context) => depthwise(context, 1),
  DepthwiseConv2D: (context) => depthwise(context, 2),
  SeparableConv1D: (context) => separable(context, 1),
  SeparableConv2D: (context) => separable(context, 2),
  Conv2DTranspose: (context) => transposed(context, 2),
};

interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: string;
}

/** Kernel in the file: [...spatial, in / groups, out]; in the graph: [out, in / groups, ...spatial]. */
function convolution(context: LayerContext, spatial: number): KerasValue {
  const kernel = context.weight('kernel', { axes: [spatial + 1, spatial, ...range(0, spatial)] });
  const input = toChannelsFirst(context, context.input(), spatial);
  const group = groupsOf(context, input, kernel);
  const window = windowOf(context, spatial, kernel);
  const output = conv(context, input, kernel, biasOf(context), window, group);
  context.follows('filters', kernel.name, 0);
  return finish(context, output, spatial);
}

/** Kernel in the file: [...spatial, in, multiplier]; in the graph: [in * multiplier, 1, ...spatial]. */
function depthwise(context: LayerContext, spatial: number): KerasValue {
  const kernel = depthwiseKernel(context, spatial);
  const input = toChannelsFirst(context, context.input(), spatial);
  const window = windowOf(context, spatial, kernel);
  const group = kernel.shape[0]! / kernel.multiplier;
  return finish(context, conv(context, input, kernel, biasOf(context), window, group), spatial);
}

function separable(context: LayerContext, spatial: number): KerasValue {
  const kernel = depthwiseKernel(context, spatial);
  const pointwise = context.weight('pointwise_kernel', { axes: [spatial + 1, spatial, ...range(0, spatial)] });
  const bias = biasOf(context);
  const input = toChannelsFirst(context, context.input(), spatial);
  const group = kernel.shape[0]! / kernel.multiplier;
  const middle = conv(context, input, kernel, undefined, windowOf(context, spatial, kernel), group);
  const ones = new Array<number>(spatial).fill(1);
  const single: Window = { kernel: ones, strides: ones, dilations: ones, padding: 'valid' };
  const output = conv(context, middle, pointwise, bias, single, 1);
  context.follows('filters', pointwise.name, 0);
  return finish(context, output, spatial);
}

/** Kernel in the file: [...spatial, out, in]; in the graph: [in, out, ...spatial]. */
function transposed(context: LayerContext, spatial: number): KerasValue {
  const kernel = context.weight('kernel', { axes: [spatial + 1, spatial, ...range(0, spatial)] });
  const bias = biasOf(context);
  const input = toChannelsFirst(context, context.input(), spatial);
  const window = windowOf(context, spatial, kernel);
  if (Array.isArray(context.setting('output_padding'))) return context.opaque();
  const same = window.padding === 'same';
  // TensorFlow's result has stride * size elements for 'same', which may need more or fewer than the kernel reaches.
  const reach = window.kernel.map((size, axis) => (size - 1) * window.dilations[axis]! + 1 - window.strides[axis]!);
  const before = reach.map((rest) => same ? Math.floor(Math.max(rest, 0) / 2) : 0);
  const after = reach.map((rest, axis) => same ? Math.max(rest, 0) - before[axis]! : 0);
  const extra = reach.map((rest) => Math.max(-rest, 0));
  const name = context.node('ConvTranspose', [input.name, kernel.name, ...(bias ? [bias.name] : [])], {
    kernel_shape: ints(window.kernel), strides: ints(window.strides), dilations: ints(window.dilations),
    pads: ints([...before, ...after]), output_padding: ints(extra), group: int(1),
  });
  const sizes = range(0, spatial).map((axis) => {
    const size = input.shape?.[axis + 2];
    if (size === null || size === undefined) return null;
    return size * window.strides[axis]! + (same ? 0 : Math.max(reach[axis]!, 0));
  });
  context.follows('filters', kernel.name, 1);
  return finish(context, { name, shape: [input.shape?.[0] ?? null, kernel.shape[1]!, ...sizes] }, spatial);
}

function depthwiseKernel(context: LayerContext, spatial: number): WeightRef {
  return context.weight('depthwise_kernel', { axes: [spatial, spatial + 1, ...range(0, spatial)], merge: true, alias: 'kernel' });
}

function conv(
  context: LayerContext, input: KerasValue, kernel: WeightRef, bias: WeightRef | undefined, window: Window, group: number,
): KerasValue {
  const name = context.node('Conv', [input.name, kernel.name, ...(bias ? [bias.name] : [])], {
    kernel_shape: ints(window.kernel), strides: ints(window.strides), dilations: ints(window.dilations),
    ...paddingOf(context, window), group: int(group),
  });
  const sizes = window.kernel.map((size, axis) => windowed(input.shape?.[axis + 2], {
    kernel: size, stride: window.strides[axis]!, dilation: window.dilations[axis]!, padding: window.padding,
  }));
  return { name, shape: [input.shape?.[0] ?? null, kernel.shape[0]!, ...sizes] };
}

/** 'same' depends on the input's size only when the window jumps; else it is a fixed amount, which runs everywhere. */
function paddingOf(context: LayerContext, { kernel, strides, dilations, padding }: Window): Record<string, Attribute> {
  const total = kernel.map((size, axis) => (size - 1) * dilations[axis]!);
  const zeros = kernel.map(() => 0);
  if (padding === 'valid') return { pads: ints([...zeros, ...zeros]) };
  if (padding === 'causal') return { pads: ints([...total, ...zeros]) };
  if (padding !== 'same') context.fail(`its padding '${padding}' is not one of valid, same and causal`);
  if (strides.some((stride) => stride !== 1)) return { auto_pad: string('SAME_UPPER') };
  const before = total.map((size) => Math.floor(size / 2));
  return { pads: ints([...before, ...total.map((size, axis) => size - before[axis]!)]) };
}

function windowOf(context: LayerContext, spatial: number, kernel: WeightRef): Window {
  const ones = new Array<number>(spatial).fill(1);
  const shape = kernel.shape.slice(2);
  const declared = context.sizes('kernel_size', spatial, shape);
  if (declared.some((size, axis) => size !== shape[axis])) {
    context.fail(`its kernel_size is ${declared.join(' x ')} but its weights are ${shape.join(' x ')}`);
  }
  return {
    kernel: shape,
    strides: context.sizes('strides', spatial, ones),
    dilations: context.sizes('dilation_rate', spatial, ones),
    padding: context.text('padding', 'valid'),
  };
}

function groupsOf(context: LayerContext, input: KerasValue, kernel: WeightRef): number {
  const group = context.number('groups', 1);
  const channels = input.shape?.[1];
  if (channels !== null && channels !== undefined && channels !== group * kernel.shape[1]!) {
    context.fail(`its kernel is for ${group * kernel.shape[1]!} channels but its input has ${channels}`);
  }
  return group;
}

function biasOf(context: LayerContext): WeightRef | undefined {
  return context.flag('use_bias', true) ? context.weight('bias', { rank: 1 }) : undefined;
}

/** Activation and way back to Keras's layout; the activation first where it may, next to its convolution. */
function finish(context: LayerContext, output: KerasValue, spatial: number): KerasValue {
  if (isElementwise(context)) return fromChannelsFirst(context, activate(context, output), spatial);
  return activate(context, fromChannelsFirst(context, output, spatial));
}
