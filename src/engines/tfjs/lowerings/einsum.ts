import type * as Tf from '@tensorflow/tfjs-core';
import { stringOf } from '../../../core/graph/attributes';
import { equationOf } from '../../../core/graph/ops/einsum';
import type { LoweringFamily } from '../loweringContext';
import { shapeOf, type TfModule } from '../value';

/** Einsum as transpositions around one product of matrices for every two operands. */
export const einsum: LoweringFamily = {
  lowerings: {
    Einsum(context) {
      const values = Array.from({ length: context.inputCount }, (_, index) => context.input(index));
      const terms = equationOf(stringOf(context.node, 'equation', ''), values.map((value) => shapeOf(value).length))
        ?? context.fail('its equation does not fit its operands');
      return context.value(einsumOf(context.tf, terms, values.map((value) => context.plain(value))), values[0]!.dtype);
    },
  },
};

/** The sum that the terms of an equation describe, from operands in their own order. */
export function einsumOf(tf: TfModule, terms: NonNullable<ReturnType<typeof equationOf>>, tensors: readonly Tf.Tensor[]): Tf.Tensor {
  let left: Operand | undefined;
  tensors.forEach((whole, index) => {
    const right = diagonal(tf, { tensor: whole, labels: [...terms.operands[index]!] });
    const needed = new Set([...terms.output, ...terms.operands.slice(index + 1).flat()]);
    left = left ? multiply(tf, left, right, needed) : summed(tf, right, needed);
  });
  const { tensor, labels } = summed(tf, left!, new Set(terms.output));
  return tf.transpose(tensor, terms.output.map((label) => labels.indexOf(label)));
}

interface Operand {
  readonly tensor: Tf.Tensor;
  readonly labels: string[];
}

/** Of axes with the same letter one stays. */
function diagonal(tf: TfModule, { tensor, labels }: Operand): Operand {
  const twice = labels.findIndex((label, axis) => labels.indexOf(label) !== axis);
  if (twice < 0) return { tensor, labels };
  const first = labels.indexOf(labels[twice]!);
  const size = tensor.shape[first]!;
  const eye = tf.reshape(tf.eye(size), labels.map((_, axis) => (axis === first || axis === twice ? size : 1)));
  const rest = { tensor: tf.sum(tf.mul(tensor, eye), twice), labels: labels.filter((_, axis) => axis !== twice) };
  return diagonal(tf, rest);
}

function summed(tf: TfModule, { tensor, labels }: Operand, kept: ReadonlySet<string>): Operand {
  const gone = labels.flatMap((label, axis) => (kept.has(label) ? [] : [axis]));
  return gone.length ? { tensor: tf.sum(tensor, gone), labels: labels.filter((label) => kept.has(label)) } : { tensor, labels };
}

/** One batched product: letters of both that stay are the batch, letters of both that go are summed over. */
function multiply(tf: TfModule, one: Operand, two: Operand, needed: ReadonlySet<string>): Operand {
  const left = summed(tf, one, new Set([...needed, ...two.labels]));
  const right = summed(tf, two, new Set([...needed, ...left.labels]));
  const both = left.labels.filter((label) => right.labels.includes(label));
  const batch = both.filter((label) => needed.has(label));
  const depth = both.filter((label) => !needed.has(label));
  const rows = left.labels.filter((label) => !both.includes(label));
  const columns = right.labels.filter((label) => !both.includes(label));
  const size = (label: string): number => Math.max(...[left, right].map(({ tensor, labels }) => tensor.shape[labels.indexOf(label)] ?? 1));
  const count = (labels: readonly string[]): number => labels.reduce((product, label) => product * size(label), 1);
  const matrix = ({ tensor, labels }: Operand, order: readonly string[], shape: [number, number, number]): Tf.Tensor3D => {
    const turned = tf.transpose(tensor, order.map((label) => labels.indexOf(label)));
    const whole = order.map(size);
    return tf.reshape(whole.join() === turned.shape.join() ? turned : tf.broadcastTo(turned, whole), shape);
  };
  const a = matrix(left, [...batch, ...rows, ...depth], [count(batch), count(rows), count(depth)]);
  const b = matrix(right, [...batch, ...depth, ...columns], [count(batch), count(depth), count(columns)]);
  const labels = [...batch, ...rows, ...columns];
  return { tensor: tf.reshape(tf.matMul(a, b), labels.map(size)), labels };
}
