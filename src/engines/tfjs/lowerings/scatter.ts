import type * as Tf from '@tensorflow/tfjs-core';
import { intOf, stringOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { shapeOf, tfType, type Value } from '../value';

/** Writing at indices, and finding what is not zero: element by element here, as the kernels for it are missing or keep no order. */
export const scatter: LoweringFamily = {
  lowerings: {
    ScatterElements(context) {
      const shape = shapeOf(context.input(0));
      const axis = context.axis(intOf(context.node, 'axis', 0), shape.length);
      const from = shapeOf(context.input(1));
      const [to, own] = [stridesOf(shape), stridesOf(from)];
      const indices = context.plain(context.input(1)).dataSync();
      const flat = shape.length === 1;
      return written(context, (write) => {
        for (let at = 0; at < indices.length; at++) {
          const index = existing(context, indices[at]!, shape[axis]!);
          let place = flat ? index : 0;
          if (!flat) for (let k = 0; k < to.length; k++) place += to[k]! * (k === axis ? index : Math.floor(at / own[k]!) % from[k]!);
          write(place, at);
        }
      });
    },
    ScatterND(context) {
      const shape = shapeOf(context.input(0));
      const depth = shapeOf(context.input(1)).at(-1) ?? 0;
      const to = stridesOf(shape);
      const indices = context.plain(context.input(1)).dataSync();
      const width = shape.slice(depth).reduce((product, size) => product * size, 1);
      return written(context, (write) => {
        for (let row = 0; row < indices.length / depth; row++) {
          let place = 0;
          for (let k = 0; k < depth; k++) place += to[k]! * existing(context, indices[row * depth + k]!, shape[k]!);
          for (let offset = 0; offset < width; offset++) write(place + offset, row * width + offset);
        }
      });
    },
    NonZero(context) {
      const shape = shapeOf(context.input(0));
      const strides = stridesOf(shape);
      const places = Array.from(context.plain(context.input(0)).dataSync()).flatMap((value, at) => (value === 0 ? [] : [at]));
      const rows = shape.flatMap((size, axis) => places.map((at) => Math.floor(at / strides[axis]!) % size));
      return context.integers(rows, [shape.length, places.length]);
    },
  },
  refuses(node) {
    const how = stringOf(node, 'reduction', 'none');
    return how in reductions ? undefined : `it reduces by ${how}`;
  },
};

type Reduce = (before: number, added: number) => number;

const reductions: Readonly<Record<string, Reduce>> = {
  none: (_, added) => added,
  add: (before, added) => before + added,
  mul: (before, added) => before * added,
  max: Math.max,
  min: Math.min,
};

/** A copy of input 0 in which some elements are those of input 2. */
function written(context: LoweringContext, each: (write: (to: number, from: number) => void) => void): Value {
  const x = context.input(0);
  const values = (context.plain(x).dataSync() as Float32Array).slice();
  const updates = context.plain(context.input(2)).dataSync();
  const reduce = reductions[stringOf(context.node, 'reduction', 'none')]!;
  each((to, from) => {
    values[to] = reduce(values[to]!, updates[from]!);
  });
  return context.value(context.tf.tensor(values, shapeOf(x), tfType(x.dtype)) as Tf.Tensor, x.dtype);
}

function existing(context: LoweringContext, index: number, size: number): number {
  if (index < -size || index >= size) context.fail(`index ${index} does not exist among ${size}`);
  return index < 0 ? index + size : index;
}

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}
