import type * as Tf from '@tensorflow/tfjs-core';
import { intOf, intsOf } from '../../../core/graph/attributes';
import { slidOver, windowsOf } from '../../../core/graph/ops/windows';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, shapeOf, type Value } from '../value';
import { channelsLast, paddingOf } from './convolution';

export const pooling: LoweringFamily = {
  lowerings: {
    MaxPool(context) {
      const largest = pool(context, maximum);
      return context.node.outputs[1] ? [largest, placesOfMaxima(context)] : largest;
    },
    AveragePool: (context) => pool(context, mean),
    LpPool: (context) => pool(context, norm),
    GlobalMaxPool: (context) => global(context, (x, axes) => context.tf.max(x, axes, true)),
    GlobalAveragePool: (context) => global(context, (x, axes) => context.tf.mean(x, axes, true)),
    GlobalLpPool: (context) => global(context, (x, axes) => {
      const { tf } = context;
      const p = intOf(context.node, 'p', 2);
      return root(context, tf.sum(power(context, x, p), axes, true), p);
    }),
  },
};

/** A window over the last-but-one axes of [N, ...spatial, C]. */
interface Pooled {
  readonly tensor: Tf.Tensor;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  /** What ceil_mode adds behind the padding. */
  readonly extra: readonly number[];
}

function pool(context: LoweringContext, apply: (context: LoweringContext, pooled: Pooled) => Tf.Tensor): Value {
  const { node, tf } = context;
  const x = context.input(0);
  const rank = x.order.length;
  const [, , ...spatial] = shapeOf(x);
  const kernel = intsOf(node, 'kernel_shape') ?? context.fail('its window is missing');
  if (spatial.length < 1 || spatial.length > 3) context.fail(`windows over ${spatial.length} axes are missing`);
  const windows = windowsOf(node, spatial.length);
  const padding = paddingOf(windows, spatial, kernel);
  const sizes = slidOver(spatial, kernel, windows);
  const extra = spatial.map((size, axis) => {
    const [before, after] = padding[axis]!;
    const reach = (sizes[axis]! - 1) * windows.strides[axis]! + (kernel[axis]! - 1) * windows.dilations[axis]! + 1;
    return Math.max(0, reach - size - before - after);
  });
  const order = channelsLast(rank);
  // Whole numbers are pooled as floats, which hold them exactly.
  const tensor = context.cast(context.laidOut(x, order), 'float32');
  const flat = spatial.length === 1;
  const { strides, dilations } = windows;
  const pooled: Pooled = flat
    ? {
      tensor: tf.expandDims(tensor, 1), kernel: [1, ...kernel], strides: [1, ...strides], dilations: [1, ...dilations],
      padding: [[0, 0], ...padding], extra: [0, ...extra],
    }
    : { tensor, kernel, strides, dilations, padding, extra };
  const result = apply(context, pooled);
  return context.value(context.cast(flat ? tf.squeeze(result, [1]) : result, x.dtype), x.dtype, order);
}

function maximum(context: LoweringContext, pooled: Pooled): Tf.Tensor {
  // Below every number, so that padding never wins.
  return slide(context, padded(context, pooled.tensor, pooled, -Infinity), pooled, 'max');
}

/** Where each window has its first maximum, as its number in the whole input: no kernel tells. */
function placesOfMaxima(context: LoweringContext): Value {
  const { node } = context;
  const x = context.input(0);
  const [samples = 0, channels = 0, ...spatial] = shapeOf(x);
  const kernel = intsOf(node, 'kernel_shape') ?? [];
  const windows = windowsOf(node, spatial.length);
  const { strides, dilations } = windows;
  const padding = paddingOf(windows, spatial, kernel);
  const sizes = slidOver(spatial, kernel, windows) as number[];
  const values = context.plain(x).dataSync();
  const pixels = spatial.reduce((product, size) => product * size, 1);
  // Within one picture: where elements lie, and how they are counted (storage_order 1: by columns).
  const steps = spatial.map((_, axis) => spatial.slice(axis + 1).reduce((product, size) => product * size, 1));
  const counted = intOf(node, 'storage_order', 0) === 0 ? steps : spatial.map((_, axis) => spatial.slice(0, axis).reduce((product, size) => product * size, 1));
  const outputs = sizes.reduce((product, size) => product * size, 1);
  const seen = Array.from({ length: outputs }, (_, at) => within(at));
  const places = new Int32Array(samples * channels * outputs);
  for (let picture = 0; picture < samples * channels; picture++) {
    const from = picture * pixels;
    for (let at = 0; at < outputs; at++) {
      const { lie, count } = seen[at]!;
      let best = 0;
      for (let tap = 1; tap < lie.length; tap++) if (values[from + lie[tap]!]! > values[from + lie[best]!]!) best = tap;
      places[picture * outputs + at] = from + (count[best] ?? 0);
    }
  }
  return context.value(context.tf.tensor(places, [samples, channels, ...sizes], 'int32'), 'int64');

  /** The elements under one window. */
  function within(at: number): { readonly lie: Int32Array; readonly count: Int32Array } {
    let found: [number, number][] = [[0, 0]];
    let rest = at;
    const places = sizes.map(() => 0);
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      places[axis] = rest % sizes[axis]!;
      rest = Math.floor(rest / sizes[axis]!);
    }
    places.forEach((place, axis) => {
      const start = place * strides[axis]! - padding[axis]![0];
      const own = inOrder(kernel[axis]!).map((tap) => start + tap * dilations[axis]!).filter((position) => position >= 0 && position < spatial[axis]!);
      found = found.flatMap(([lie, count]) => own.map((position): [number, number] => [lie + position * steps[axis]!, count + position * counted[axis]!]));
    });
    return { lie: Int32Array.from(found, ([lie]) => lie), count: Int32Array.from(found, ([, count]) => count) };
  }
}

/** The mean over a window of zeros is put right by the mean of ones: the share of the window that counts. */
function mean(context: LoweringContext, pooled: Pooled): Tf.Tensor {
  const { tf, node } = context;
  const sum = slide(context, padded(context, pooled.tensor, pooled, 0), pooled, 'avg');
  const counted = intOf(node, 'count_include_pad', 0) === 1;
  const within = counted ? pooled.extra.every((size) => size === 0)
    : pooled.padding.every(([before, after], axis) => before + after + pooled.extra[axis]! === 0);
  if (within) return sum;
  const shape = [1, ...pooled.tensor.shape.slice(1, -1), 1];
  const ones = padding(context, tf.ones(shape), pooled.padding, counted ? 1 : 0);
  const share = slide(context, padding(context, ones, pooled.extra.map((size) => [0, size] as const), 0), pooled, 'avg');
  return tf.div(sum, share);
}

function norm(context: LoweringContext, pooled: Pooled): Tf.Tensor {
  const { tf, node } = context;
  const p = intOf(node, 'p', 2);
  const powers = power(context, pooled.tensor, p);
  const average = slide(context, padded(context, powers, pooled, 0), pooled, 'avg');
  return root(context, tf.mul(average, pooled.kernel.reduce((product, size) => product * size, 1)), p);
}

function power({ tf }: LoweringContext, x: Tf.Tensor, p: number): Tf.Tensor {
  if (p === 1) return tf.abs(x);
  return p === 2 ? tf.mul(x, x) : tf.pow(tf.abs(x), p);
}

function root({ tf }: LoweringContext, x: Tf.Tensor, p: number): Tf.Tensor {
  if (p === 1) return x;
  return p === 2 ? tf.sqrt(x) : tf.pow(x, 1 / p);
}

function padded(context: LoweringContext, tensor: Tf.Tensor, pooled: Pooled, filler: number): Tf.Tensor {
  const amounts = pooled.padding.map(([before, after], axis) => [before, after + pooled.extra[axis]!] as const);
  return padding(context, tensor, amounts, filler);
}

function padding({ tf }: LoweringContext, tensor: Tf.Tensor, amounts: readonly (readonly [number, number])[], filler: number): Tf.Tensor {
  if (amounts.every(([before, after]) => before === 0 && after === 0)) return tensor;
  return tf.pad(tensor, [[0, 0], ...amounts.map(([before, after]): [number, number] => [before, after]), [0, 0]], filler);
}

type Slid = Pick<Pooled, 'kernel' | 'strides' | 'dilations'>;

function slide(context: LoweringContext, tensor: Tf.Tensor, window: Slid, kind: 'max' | 'avg'): Tf.Tensor {
  return window.kernel.length === 3
    ? slide3d(context, tensor as Tf.Tensor5D, window, kind)
    : slide2d(context, tensor as Tf.Tensor4D, window, kind);
}

function slide2d({ tf }: LoweringContext, image: Tf.Tensor4D, { kernel, strides, dilations }: Slid, kind: 'max' | 'avg'): Tf.Tensor4D {
  const [size, step] = [kernel as [number, number], strides as [number, number]];
  if (dilations.every((dilation) => dilation === 1)) {
    return kind === 'max' ? tf.maxPool(image, size, step, 'valid') : tf.avgPool(image, size, step, 'valid');
  }
  // Windows with holes that also jump are refused: slide by one and take every n-th.
  const dense = tf.pool(image, size, kind, 'valid', dilations as [number, number], 1);
  return tf.stridedSlice(dense, [0, 0, 0, 0], dense.shape, [1, ...step, 1]) as Tf.Tensor4D;
}

/**
 * Height and width first, then depth, which gives the same maxima and means. The kernels for all three take no holes,
 * and on WebAssembly find no maxima below zero.
 */
function slide3d(context: LoweringContext, volume: Tf.Tensor5D, window: Slid, kind: 'max' | 'avg'): Tf.Tensor {
  const { tf } = context;
  const [batch, depth, height, width, channels] = volume.shape;
  const only = (pick: (values: readonly number[]) => number[]): Slid => ({
    kernel: pick(window.kernel), strides: pick(window.strides), dilations: pick(window.dilations),
  });
  const slices = tf.reshape(volume, [batch * depth, height, width, channels]) as Tf.Tensor4D;
  const flat = slide2d(context, slices, only((values) => values.slice(1)), kind);
  const [, rows, columns] = flat.shape;
  const stacked = tf.reshape(flat, [batch, depth, rows * columns, channels]) as Tf.Tensor4D;
  const result = slide2d(context, stacked, only((values) => [values[0]!, 1]), kind);
  return tf.reshape(result, [batch, result.shape[1], rows, columns, channels]);
}

function global(context: LoweringContext, apply: (x: Tf.Tensor, axes: number[]) => Tf.Tensor): Value {
  const x = context.input(0);
  const spatial = inOrder(x.order.length).filter((position) => x.order[position]! >= 2);
  return context.like(x, apply(x.tensor, spatial));
}
