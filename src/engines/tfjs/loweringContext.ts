import type * as Tf from '@tensorflow/tfjs-core';
import type { GraphNode } from '../../core/graph/modelGraph';
import type { DType } from '../../core/graph/tensor';
import { inOrder, isInOrder, shapeOf, tfType, type TfModule, type Value } from './value';

/** What the lowering of an operator works with: its node, its inputs, and TensorFlow.js. */
export class LoweringContext {
  constructor(
    readonly tf: TfModule, readonly node: GraphNode, readonly opset: number, private readonly inputs: readonly (Value | undefined)[],
  ) {}

  get inputCount(): number {
    return this.inputs.length;
  }

  input(index: number): Value {
    return this.inputs[index] ?? this.fail(`input ${index} is missing`);
  }

  optional(index: number): Value | undefined {
    return this.inputs[index];
  }

  /** The elements of an input as numbers: shapes, axes, indices, scalars. */
  numbers(index: number): readonly number[] | undefined {
    const value = this.inputs[index];
    return value && (value.numbers ?? Array.from(this.plain(value).dataSync()));
  }

  /** The tensor of a value with its axes in the given order (and nothing moved when they already are). */
  laidOut(value: Value, order: readonly number[]): Tf.Tensor {
    if (order.every((axis, position) => axis === value.order[position])) return value.tensor;
    return this.form(value, `order ${order.join()}`, () => {
      const perm = order.map((axis) => value.order.indexOf(axis));
      const { shape } = value.tensor;
      const moved = perm.filter((axis) => shape[axis] !== 1);
      const target = perm.map((axis) => shape[axis]!);
      // Where only axes of one element change places, the elements stay.
      if (moved.every((axis, index) => index === 0 || moved[index - 1]! < axis)) return this.tf.reshape(value.tensor, target);
      return this.tf.transpose(value.tensor, perm);
    });
  }

  /** The tensor of a value with its axes in their own order. */
  plain(value: Value): Tf.Tensor {
    return isInOrder(value.order) ? value.tensor : this.laidOut(value, inOrder(value.order.length));
  }

  /** A form of a value that is made once for weights and each time for anything else. */
  form(value: Value, key: string, make: () => Tf.Tensor): Tf.Tensor {
    const known = value.forms?.get(key);
    if (known) return known;
    const made = make();
    if (value.forms && made !== value.tensor) value.forms.set(key, this.tf.keep(made));
    return made;
  }

  value(tensor: Tf.Tensor, dtype: DType = this.inputs[0]?.dtype ?? 'float32', order: readonly number[] = inOrder(tensor.rank)): Value {
    return { tensor, order, dtype };
  }

  /** Like `value`, in another tensor of the same layout. */
  like(value: Value, tensor: Tf.Tensor, dtype: DType = value.dtype): Value {
    return { tensor, order: value.order, dtype };
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length], dtype: DType = 'int64'): Value {
    return { ...this.value(this.tf.tensor(Int32Array.from(values), [...shape], 'int32'), dtype), numbers: values };
  }

  /** The inputs in one common layout and rank (ONNX's broadcasting aligns the last axes), the largest one unmoved. */
  aligned(values: readonly Value[]): { readonly tensors: readonly Tf.Tensor[]; readonly order: readonly number[] } {
    const rank = Math.max(...values.map((value) => value.order.length));
    const leading = values
      .filter((value) => value.order.length === rank)
      .reduce((best, value) => value.tensor.size > best.tensor.size ? value : best);
    const { order } = leading;
    const tensors = values.map((value) => {
      const missing = rank - value.order.length;
      if (missing === 0) return this.laidOut(value, order);
      if (value.order.length === 0 || isInOrder(order)) return this.plain(value);
      return this.form(value, `aligned ${order.join()}`, () => {
        const wide = this.tf.reshape(this.plain(value), [...new Array<number>(missing).fill(1), ...shapeOf(value)]);
        return this.laidOut({ tensor: wide, order: inOrder(rank), dtype: value.dtype }, order);
      });
    });
    return { tensors, order };
  }

  cast(tensor: Tf.Tensor, dtype: DType): Tf.Tensor {
    return tensor.dtype === tfType(dtype) ? tensor : this.tf.cast(tensor, tfType(dtype));
  }

  /** An axis counted from the front. */
  axis(axis: number, rank: number): number {
    const normal = axis < 0 ? axis + rank : axis;
    if (normal < 0 || normal >= rank) this.fail(`axis ${axis} does not exist in ${rank} axes`);
    return normal;
  }

  fail(cause: string): never {
    throw new RangeError(cause);
  }
}

/** Runs one node; gives as many values as the node has outputs, or the leading ones. */
export type Lowering = (context: LoweringContext) => Value | readonly Value[];

/** One operator family; one file each, one line in lowerings/registry.ts. */
export interface LoweringFamily {
  readonly lowerings: Readonly<Record<string, Lowering>>;
  /** Why a node of the family cannot be run although its operator is known. `rankOf` tells how many axes a value has. */
  refuses?(node: GraphNode, rankOf: (value: string | undefined) => number | undefined): string | undefined;
}
