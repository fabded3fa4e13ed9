import type * as Tf from '@tensorflow/tfjs-core';
import { floatOf, hasAttribute, intOf } from '../../../core/graph/attributes';
import type { LoweringContext, LoweringFamily } from '../loweringContext';
import { inOrder, shapeOf, type Value } from '../value';

/** Attention in one operator, and what goes with it: rotation by position and root-mean-square norms. */
export const attention: LoweringFamily = {
  lowerings: { Attention: attend, RotaryEmbedding: rotate, RMSNormalization: rmsNorm },
};

function attend(context: LoweringContext): readonly Value[] {
  const { tf, node } = context;
  const [q, k, v] = [0, 1, 2].map((index) => context.plain(context.input(index)));
  const flat = q!.rank === 3;
  const heads = flat ? intOf(node, 'q_num_heads', 1) : q!.shape[1]!;
  const groups = flat ? intOf(node, 'kv_num_heads', 1) : k!.shape[1]!;
  const apart = (x: Tf.Tensor, count: number): Tf.Tensor => flat
    ? tf.transpose(tf.reshape(x, [x.shape[0]!, x.shape[1]!, count, x.shape[2]! / count]), [0, 2, 1, 3]) : x;
  const queries = apart(q!, heads);
  const continued = (past: Value | undefined, now: Tf.Tensor): Tf.Tensor => past ? tf.concat([context.plain(past), now], 2) : now;
  const keys = continued(context.optional(4), apart(k!, groups));
  const values = continued(context.optional(5), apart(v!, groups));
  const scale = Math.sqrt(floatOf(node, 'scale', 1 / Math.sqrt(queries.shape[3]!)));
  // Each group of keys serves as many heads one after the other.
  const spread = (x: Tf.Tensor): Tf.Tensor => {
    if (heads === groups) return x;
    const [batch, , steps, width] = x.shape as [number, number, number, number];
    const wide = tf.broadcastTo(tf.expandDims(x, 2), [batch, groups, heads / groups, steps, width]);
    return tf.reshape(wide, [batch, heads, steps, width]);
  };
  const raw = tf.matMul(tf.mul(queries, scale), tf.mul(spread(keys), scale), false, true);
  const softcap = floatOf(node, 'softcap', 0);
  const capped = softcap > 0 ? tf.mul(tf.tanh(tf.div(raw, softcap)), softcap) : raw;
  const bias = biasOf(context, queries.shape[0]!, raw.shape[2]!, raw.shape[3]!);
  const biased = bias ? tf.add(capped, bias) : capped;
  const weights = softmax(context, biased);
  const y = tf.matMul(weights, spread(values));
  const output = flat ? tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [y.shape[0]!, y.shape[2]!, heads * y.shape[3]!]) : y;
  const mode = intOf(node, 'qk_matmul_output_mode', 0);
  // The numbers of the modes changed their order with operator set 24's correction; both ends are the same.
  const shown = [raw, capped, biased, weights][mode] ?? raw;
  return [output, keys, values, mode === 0 ? capped : shown].map((tensor) => context.value(tensor));
}

/** What is added to the scores: the mask, the order of time, and the end of the keys; -Infinity where nobody may look. */
function biasOf(context: LoweringContext, batch: number, queries: number, keys: number): Tf.Tensor | undefined {
  const { tf, node } = context;
  const mask = context.optional(3);
  const lengths = context.numbers(6);
  const past = context.optional(4) ? shapeOf(context.input(4))[2]! : 0;
  const rules: boolean[] = [intOf(node, 'is_causal', 0) === 1, lengths !== undefined];
  const [left, right] = ['left_window_size', 'right_window_size'].map((name) => hasAttribute(node, name) ? intOf(node, name, -1) : -1);
  const windowed = left! >= 0 || right! >= 0;
  let bias: Tf.Tensor | undefined;
  if (mask) {
    const given = context.plain(mask);
    const added = mask.dtype === 'bool' ? tf.where(given, tf.zeros(given.shape), tf.fill(given.shape, -Infinity)) : given;
    const missing = keys - added.shape.at(-1)!;
    bias = missing > 0 ? tf.pad(added, added.shape.map((_, axis): [number, number] => [0, axis === added.rank - 1 ? missing : 0]), -Infinity) : added;
  }
  if (!rules[0] && !rules[1] && !windowed) return bias;
  const samples = lengths ? batch : 1;
  const numbers = new Float32Array(samples * queries * keys);
  for (let n = 0; n < samples; n++) {
    const offset = lengths && !context.optional(4) ? lengths[n]! - queries : past;
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < keys; j++) {
        const distance = i + offset - j;
        const hidden = (rules[0] && distance < 0) || (lengths && j >= lengths[n]!) || (left! >= 0 && distance > left!) || (right! >= 0 && -distance > right!);
        if (hidden) numbers[(n * queries + i) * keys + j] = -Infinity;
      }
    }
  }
  const ruled = tf.tensor(numbers, [samples, 1, queries, keys]);
  return bias ? tf.add(bias, ruled) : ruled;
}

/** Rows that are masked throughout give zeros. */
function softmax(context: LoweringContext, scores: Tf.Tensor): Tf.Tensor {
  const { tf } = context;
  const largest = tf.maximum(tf.max(scores, 3, true), -3e38);
  const powers = tf.exp(tf.sub(scores, largest));
  return tf.divNoNan(powers, tf.sum(powers, 3, true));
}

function rotate(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.input(0);
  const plain = context.plain(x);
  const heads = plain.rank === 3 ? intOf(node, 'num_heads', 1) : plain.shape[1]!;
  // [N, T, heads, width]
  const apart = plain.rank === 3 ? tf.reshape(plain, [plain.shape[0]!, plain.shape[1]!, heads, plain.shape[2]! / heads]) : tf.transpose(plain, [0, 2, 1, 3]);
  const [batch, steps, , width] = apart.shape as [number, number, number, number];
  const turned = intOf(node, 'rotary_embedding_dim', 0) || width;
  const half = turned / 2;
  const positions = context.optional(3);
  const angle = (index: number): Tf.Tensor => {
    const cache = context.plain(context.input(index));
    return tf.expandDims(positions ? tf.gather(cache, context.cast(context.plain(positions), 'int32')) : cache, 2);
  };
  const [cos, sin] = [angle(1), angle(2)];
  const interleaved = intOf(node, 'interleaved', 0) === 1;
  const part = (from: number, size: number): Tf.Tensor => tf.slice(apart, [0, 0, 0, from], [batch, steps, heads, size]);
  const pairs = interleaved ? tf.reshape(part(0, turned), [batch, steps, heads, half, 2]) : undefined;
  const member = (which: number): Tf.Tensor => pairs
    ? tf.squeeze(tf.slice(pairs, [0, 0, 0, 0, which], [batch, steps, heads, half, 1]), [4]) : part(which * half, half);
  const [first, second] = [member(0), member(1)];
  const real = tf.sub(tf.mul(cos, first), tf.mul(sin, second));
  const imaginary = tf.add(tf.mul(sin, first), tf.mul(cos, second));
  const both = interleaved ? tf.reshape(tf.stack([real, imaginary], 4), [batch, steps, heads, turned]) : tf.concat([real, imaginary], 3);
  const whole = turned < width ? tf.concat([both, part(turned, width - turned)], 3) : both;
  return context.value(plain.rank === 3 ? tf.reshape(whole, plain.shape) : tf.transpose(whole, [0, 2, 1, 3]), x.dtype);
}

function rmsNorm(context: LoweringContext): Value {
  const { tf, node } = context;
  const x = context.plain(context.input(0));
  const axes = inOrder(x.rank).slice(context.axis(intOf(node, 'axis', -1), x.rank));
  const squares = tf.mean(tf.mul(x, x), axes, true);
  return context.value(tf.mul(tf.mul(x, tf.rsqrt(tf.add(squares, floatOf(node, 'epsilon', 1e-5)))), context.plain(context.input(1))));
}
