import type * as Tf from '@tensorflow/tfjs-core';
import { intOf, intsOf, stringOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, type Value } from '../value';

/** Nearest and linear Resize, axis by axis: which elements each result lies between follows from the sizes alone. */
export const resample: LoweringFamily = {
  lowerings: { Resize: resize },
  refuses(node) {
    const mode = stringOf(node, 'mode', 'nearest');
    if (mode !== 'nearest' && mode !== 'linear') return `its ${mode} interpolation is missing`;
    if (intOf(node, 'antialias', 0) === 1) return 'smoothing while it shrinks is missing';
    const from = stringOf(node, 'coordinate_transformation_mode', 'half_pixel');
    if (from === 'tf_crop_and_resize') return 'cropping while it resizes is missing';
    return stringOf(node, 'keep_aspect_ratio_policy', 'stretch') === 'stretch' ? undefined : 'keeping the aspect ratio is missing';
  },
};

function resize(context: LoweringContext): Value {
  const { node } = context;
  const x = context.input(0);
  const shape = shapeOf(x);
  const axes = (intsOf(node, 'axes') ?? shape.map((_, axis) => axis)).map((axis) => context.axis(axis, shape.length));
  const scales = context.numbers(2);
  const sizes = context.numbers(3);
  let { tensor } = x;
  axes.forEach((axis, index) => {
    const size = shape[axis]!;
    const scale = scales?.length ? scales[index]! : sizes![index]! / size;
    const wanted = scales?.length ? Math.floor(size * scale) : sizes![index]!;
    if (wanted === size && scale === 1) return;
    tensor = along(context, tensor, x.order.indexOf(axis), coordinates(context, size, wanted, scale));
  });
  return context.like(x, tensor);
}

/** Where each element of the result lies among those of the input. */
function coordinates({ node }: LoweringContext, size: number, wanted: number, scale: number): number[] {
  const mode = stringOf(node, 'coordinate_transformation_mode', 'half_pixel');
  return Array.from({ length: wanted }, (_, index) => {
    if (mode === 'asymmetric') return index / scale;
    if (mode === 'align_corners') return wanted === 1 ? 0 : (index * (size - 1)) / (wanted - 1);
    if (mode === 'pytorch_half_pixel' && wanted === 1) return 0;
    const middle = (index + 0.5) / scale - 0.5;
    if (mode !== 'half_pixel_symmetric') return middle;
    return (size / 2) * (1 - wanted / (scale * size)) + middle;
  });
}

function along(context: LoweringContext, tensor: Tf.Tensor, position: number, places: readonly number[]): Tf.Tensor {
  const { tf, node } = context;
  const size = tensor.shape[position]!;
  const clamp = (index: number): number => Math.min(Math.max(index, 0), size - 1);
  const pick = (indices: readonly number[]): Tf.Tensor => tf.gather(tensor, tf.tensor1d(indices.map(clamp), 'int32'), position);
  if (stringOf(node, 'mode', 'nearest') === 'nearest') {
    const round = rounding[stringOf(node, 'nearest_mode', 'round_prefer_floor')] ?? rounding.round_prefer_floor!;
    return pick(places.map(round));
  }
  const within = places.map(clamp);
  const lower = within.map(Math.floor);
  const shape = tensor.shape.map((_, axis) => axis === position ? places.length : 1);
  const share = tf.reshape(tf.tensor1d(within.map((place, index) => place - lower[index]!)), shape);
  const below = pick(lower);
  const above = pick(lower.map((index) => index + 1));
  return tf.add(tf.mul(below, tf.sub(1, share)), tf.mul(above, share));
}

const rounding: Readonly<Record<string, (place: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (place) => Math.ceil(place - 0.5),
  round_prefer_ceil: (place) => Math.floor(place + 0.5),
};
