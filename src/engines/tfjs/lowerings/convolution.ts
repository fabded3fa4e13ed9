import type * as Tf from '@tensorflow/tfjs-core';
import { intOf } from '../../../core/graph/attributes';
import type { GraphNode } from '../../../core/graph/modelGraph';
import { spreadOver, windowsOf, type Windows } from '../../../core/graph/ops/windows';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, shapeOf, type Value } from '../value';

export const convolution: LoweringFamily = {
  lowerings: { Conv: conv, ConvTranspose: convTranspose },
  refuses(node, rankOf) {
    const rank = rankOf(node.inputs[1]) ?? rankOf(node.inputs[0]) ?? 4;
    if (rank > 5) return `windows over ${rank - 2} axes are missing`;
    return node.op === 'ConvTranspose' && rank > 4 ? 'transposed convolutions over three axes are missing' : undefined;
  },
};

/** Where a value's channels are last: [N, C, ...spatial] lies in memory as [N, ...spatial, C]. */
export function channelsLast(rank: number): number[] {
  return [0, ...inOrder(rank).slice(2), 1];
}

/** Padding of every spatial axis, before and after, once the input's size is known. */
export function paddingOf(windows: Windows, spatial: readonly number[], kernel: readonly number[]): readonly (readonly [number, number])[] {
  const { pads, autoPad, strides, dilations } = windows;
  return spatial.map((size, axis) => {
    if (!autoPad.startsWith('SAME')) return autoPad === 'VALID' ? [0, 0] : [pads[axis]!, pads[axis + spatial.length]!];
    const stride = strides[axis]!;
    const span = (kernel[axis]! - 1) * dilations[axis]! + 1;
    const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + span - size);
    const small = Math.floor(total / 2);
    return autoPad === 'SAME_LOWER' ? [total - small, small] : [small, total - small];
  });
}

interface Window {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
}

function conv(context: LoweringContext): Value {
  const x = context.input(0);
  const weight = context.input(1);
  const rank = x.order.length;
  const [, channels = 0, ...spatial] = shapeOf(x);
  const [filters = 0, , ...kernel] = shapeOf(weight);
  const windows = windowsOf(context.node, spatial.length);
  const window: Window = { ...windows, padding: paddingOf(windows, spatial, kernel) };
  const group = intOf(context.node, 'group', 1);
  const input = context.laidOut(x, channelsLast(rank));
  const bias = context.optional(2);
  const order = channelsLast(rank);
  if (spatial.length === 3) return context.value(conv3d(context, input, weight, window, group, bias), x.dtype, order);
  const flat = spatial.length === 1;
  const image = flat ? context.tf.expandDims(input, 1) as Tf.Tensor4D : input as Tf.Tensor4D;
  const wide = flat ? widen(window) : window;
  const depthwise = group === channels && group > 1;
  const result = depthwise
    ? depthwise2d(context, image, weight, wide, bias)
    : grouped2d(context, image, weight, wide, { group, filters, bias });
  return context.value(flat ? context.tf.squeeze(result, [1]) : result, x.dtype, order);
}

/** One dimension as the second of two. */
function widen({ strides, dilations, padding }: Window): Window {
  return { strides: [1, ...strides], dilations: [1, ...dilations], padding: [[0, 0], ...padding] };
}

/** [out, in, (kh,) kw] as [kh, kw, in, out]. */
function filterOf(context: LoweringContext, weight: Value): Tf.Tensor4D {
  const { tf } = context;
  if (weight.order.length === 4) return context.laidOut(weight, [2, 3, 1, 0]) as Tf.Tensor4D;
  return context.form(weight, 'filter', () => tf.expandDims(context.laidOut(weight, [2, 1, 0]), 0)) as Tf.Tensor4D;
}

function grouped2d(
  context: LoweringContext, image: Tf.Tensor4D, weight: Value, window: Window,
  { group, filters, bias }: { group: number; filters: number; bias: Value | undefined },
): Tf.Tensor4D {
  const { tf } = context;
  const addend = bias && context.plain(bias);
  if (group === 1) return slide(context, window, (strides, dilations, pad) =>
    tf.fused.conv2d({ x: image, filter: filterOf(context, weight), strides, pad, dilations, bias: addend }));
  const images = tf.split<Tf.Tensor4D>(image, group, 3);
  const filter = filterOf(context, weight);
  const each = filters / group;
  const parts = images.map((part, index) => {
    const own = context.form(weight, `group ${index} of ${group}`, () =>
      tf.slice(filter, [0, 0, 0, index * each], [-1, -1, -1, each])) as Tf.Tensor4D;
    return slide(context, window, (strides, dilations, pad) => tf.conv2d(part, own, strides, pad, 'NHWC', dilations));
  });
  const joined = tf.concat(parts, 3);
  return addend ? tf.add(joined, addend) : joined;
}

/** [in * multiplier, 1, (kh,) kw] as [kh, kw, in, multiplier]: output channels are multiplier by multiplier in both. */
function depthwise2d(
  context: LoweringContext, image: Tf.Tensor4D, weight: Value, window: Window, bias: Value | undefined,
): Tf.Tensor4D {
  const { tf } = context;
  const channels = image.shape[3];
  const filter = context.form(weight, `depthwise ${channels}`, () => {
    const [filters = 0, , ...kernel] = shapeOf(weight);
    const [kh, kw] = kernel.length === 1 ? [1, kernel[0]!] : [kernel[0]!, kernel[1]!];
    return tf.transpose(tf.reshape(context.plain(weight), [channels, filters / channels, kh, kw]), [2, 3, 0, 1]);
  }) as Tf.Tensor4D;
  const result = slide(context, window, (strides, dilations, pad) =>
    tf.depthwiseConv2d(image, filter, strides, pad, 'NHWC', dilations));
  return bias ? tf.add(result, context.plain(bias)) : result;
}

type Pad = 'valid' | [[number, number], [number, number], [number, number], [number, number]];
type Slide = (strides: [number, number], dilations: [number, number], pad: Pad) => Tf.Tensor4D;

/** TensorFlow.js refuses windows that both jump and are dilated: then it slides by one, and every n-th result is taken. */
function slide(context: LoweringContext, { strides, dilations, padding }: Window, apply: Slide): Tf.Tensor4D {
  const pair = (values: readonly number[]): [number, number] => [values[0]!, values[1]!];
  const none = padding.every(([before, after]) => before === 0 && after === 0);
  const pad: Pad = none ? 'valid' : [[0, 0], [...padding[0]!], [...padding[1]!], [0, 0]];
  const jumps = strides.some((stride) => stride > 1);
  if (!jumps || dilations.every((dilation) => dilation === 1)) return apply(pair(strides), pair(dilations), pad);
  const { tf } = context;
  const dense = apply([1, 1], pair(dilations), pad);
  return tf.stridedSlice(dense, [0, 0, 0, 0], dense.shape, [1, ...pair(strides), 1]) as Tf.Tensor4D;
}

function conv3d(
  context: LoweringContext, input: Tf.Tensor, weight: Value, window: Window, group: number, bias: Value | undefined,
): Tf.Tensor {
  const { tf } = context;
  const volume = tf.pad(input, [[0, 0], ...window.padding.map(([before, after]): [number, number] => [before, after]), [0, 0]]);
  // The kernel takes no dilations: the filter gets its holes here.
  const filter = context.form(weight, `dilated ${window.dilations.join()}`, () =>
    dilate(context, context.laidOut(weight, [2, 3, 4, 1, 0]), window.dilations));
  const strides = window.strides as [number, number, number];
  const volumes = tf.split(volume, group, 4) as Tf.Tensor5D[];
  const filters = tf.split(filter, group, 4) as Tf.Tensor5D[];
  const result = tf.concat(volumes.map((part, index) => tf.conv3d(part, filters[index]!, strides, 'valid')), 4);
  return bias ? tf.add(result, context.plain(bias)) : result;
}

/** Computed whole and then cut to the padding; weights are [in, out / group, ...kernel]. */
function convTranspose(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.input(0);
  const weight = context.input(1);
  const rank = x.order.length;
  const [, channels = 0, ...spatial] = shapeOf(x);
  const [, , ...kernel] = shapeOf(weight);
  const windows = windowsOf(node, spatial.length);
  const group = intOf(node, 'group', 1);
  const flat = spatial.length === 1;
  const order = channelsLast(rank);
  const wide = <T>(values: readonly T[], filler: T): T[] => flat ? [filler, ...values] : [...values];
  const strides = wide(windows.strides, 1) as [number, number];
  const dilations = wide(windows.dilations, 1);
  const laid = context.laidOut(x, order);
  const image = (flat ? tf.expandDims(laid, 1) : laid) as Tf.Tensor4D;
  // [in, out, kh, kw] -> [kh, kw, out, in]
  const stretched = context.form(weight, 'transposed filter', () => {
    const filter = flat ? tf.expandDims(context.laidOut(weight, [2, 1, 0]), 0) : context.laidOut(weight, [2, 3, 1, 0]);
    return dilate(context, filter, dilations);
  }) as Tf.Tensor4D;
  const [kh, kw] = stretched.shape;
  const outH = (image.shape[1] - 1) * strides[0] + kh;
  const outW = (image.shape[2] - 1) * strides[1] + kw;
  const each = channels / group;
  const parts = tf.split<Tf.Tensor4D>(image, group, 3).map((part, index) => {
    const own = group === 1 ? stretched : tf.slice<Tf.Rank.R4, Tf.Tensor4D>(stretched, [0, 0, 0, index * each], [-1, -1, -1, each]);
    return tf.conv2dTranspose(part, own, [part.shape[0], outH, outW, own.shape[2]], strides, 'valid') as Tf.Tensor4D;
  });
  const whole = parts.length === 1 ? parts[0]! : tf.concat(parts, 3);
  const wanted = spreadOver(node, spatial, kernel).map((size) => size ?? 0);
  const cut = cutOf(context, wide(wanted, 1), [outH, outW], wide(beginsOf(node, spatial, kernel, wanted), 0), whole);
  const result = flat ? tf.squeeze(cut, [1]) : cut;
  const bias = context.optional(2);
  return context.value(bias ? tf.add(result, context.plain(bias)) : result, x.dtype, order);
}

/** Zeros between the taps of a filter [...kernel, in, out]. */
function dilate({ tf }: LoweringContext, filter: Tf.Tensor, dilations: readonly number[]): Tf.Tensor {
  let result = filter;
  for (const [axis, dilation] of dilations.entries()) {
    const size = result.shape[axis]!;
    if (dilation === 1 || size === 1) continue;
    const index = Array.from({ length: (size - 1) * dilation + 1 }, (_, at) => at % dilation === 0 ? at / dilation : size);
    const pads = result.shape.map((_, other): [number, number] => other === axis ? [0, 1] : [0, 0]);
    result = tf.gather(tf.pad(result, pads), tf.tensor1d(index, 'int32'), axis);
  }
  return result;
}

/** How much of the whole result each spatial axis loses at its beginning. */
function beginsOf(node: GraphNode, spatial: readonly number[], kernel: readonly number[], wanted: readonly number[]): number[] {
  const { strides, dilations, pads, autoPad } = windowsOf(node, spatial.length);
  const fixed = node.attributes['output_shape']?.type === 'ints' || autoPad.startsWith('SAME');
  return spatial.map((size, axis) => {
    if (autoPad === 'VALID') return 0;
    if (!fixed) return pads[axis]!;
    const extra = node.attributes['output_padding'];
    const outputPadding = extra?.type === 'ints' ? extra.value[axis] ?? 0 : 0;
    const whole = strides[axis]! * (size - 1) + outputPadding + (kernel[axis]! - 1) * dilations[axis]! + 1;
    const total = Math.max(0, whole - wanted[axis]!);
    return autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : total - Math.floor(total / 2);
  });
}

function cutOf(
  context: LoweringContext, wanted: readonly number[], whole: readonly number[], begins: readonly number[], tensor: Tf.Tensor4D,
): Tf.Tensor {
  const { tf } = context;
  const missing = wanted.map((size, axis) => Math.max(0, begins[axis]! + size - whole[axis]!));
  const padded = missing.some((size) => size > 0)
    ? tf.pad(tensor, [[0, 0], [0, missing[0]!], [0, missing[1]!], [0, 0]]) : tensor;
  return tf.slice(padded, [0, begins[0]!, begins[1]!, 0], [-1, wanted[0]!, wanted[1]!, -1]);
}
