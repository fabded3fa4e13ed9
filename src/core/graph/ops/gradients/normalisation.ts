import { floatOf, intOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstInput, firstOutput, normalAxis, range } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

type Gradients = readonly (string | undefined)[];

/** At inference with the running statistics, whose gradients count too; in training with those of the batch. */
export function batchNormGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const [x = '', scale = '', , mean = '', variance = ''] = node.inputs;
  if (!dy) return [];
  const m = new Maths(context);
  const rank = context.sizes(x)?.length;
  if (rank === undefined) throw new RangeError('the shape of its input is not known');
  const others = [0, ...range(2, rank)];
  const epsilon = floatOf(node, 'epsilon', 1e-5);
  const perChannel = (value: string): string => (rank === 2 ? value : m.reshape(value, [-1, ...new Array<number>(rank - 2).fill(1)]));
  const ofBias = context.needs(2) ? m.sum(dy, others, false) : undefined;
  if (intOf(node, 'training_mode', 0) === 1) {
    return ofBatchStatistics(m, { x, dy, scale: perChannel(scale), others, epsilon }, context, ofBias);
  }
  const inverse = m.op('Reciprocal', [m.op('Sqrt', [m.plus(variance, epsilon)])]); // [C]
  const factor = m.mul(scale, inverse);
  const wanted = [1, 4].some((input) => context.needs(input));
  // Σ dy (x - mean)
  const centred = wanted ? m.sum(m.mul(dy, m.sub(x, perChannel(mean))), others, false) : '';
  return [
    context.needs(0) ? m.mul(dy, perChannel(factor)) : undefined,
    context.needs(1) ? m.mul(centred, inverse) : undefined,
    ofBias,
    context.needs(3) ? m.neg(m.mul(ofBias ?? m.sum(dy, others, false), factor)) : undefined,
    context.needs(4) ? m.scale(m.mul(centred, m.mul(factor, m.square(inverse))), -0.5) : undefined,
  ];
}

/**
 * With the statistics of the batch (Ioffe and Szegedy, "Batch Normalization", 2015, section 3), sorted so that few operators
 * go over whole arrays: dx = dy a - (x - mean) b - c, where a, b and c are a number a channel.
 */
function ofBatchStatistics(
  m: Maths, { x, dy, scale, others, epsilon }: { x: string; dy: string; scale: string; others: readonly number[]; epsilon: number },
  context: GradientContext, ofBias: string | undefined,
): Gradients {
  const centred = m.sub(x, m.mean(x, others));
  const inverse = m.op('Reciprocal', [m.op('Sqrt', [m.plus(m.mean(m.square(centred), others), epsilon)])]); // [1, C, 1, ...]
  const along = m.sum(m.mul(dy, centred), others);
  const ofScale = context.needs(1) ? m.reshape(m.mul(along, inverse), [-1]) : undefined;
  if (!context.needs(0)) return [undefined, ofScale, ofBias];
  const count = m.div(m.castLike(m.op('Size', [x]), x), m.castLike(m.op('Size', [inverse]), x));
  const a = m.mul(scale, inverse);
  const b = m.mul(a, m.div(m.mul(m.square(inverse), along), count));
  const c = m.mul(a, m.mean(dy, others));
  return [m.sub(m.sub(m.mul(dy, a), c), m.mul(centred, b)), ofScale, ofBias];
}

/** Layer, instance, group and root-mean-square normalisation, and the older kinds. */
export function normalisationGradient(node: GraphNode, context: GradientContext): Gradients {
  const rule = rules[node.op];
  if (!rule) throw new RangeError('it is not supported');
  return rule(node, context, new Maths(context));
}

type Rule = (node: GraphNode, context: GradientContext, m: Maths) => Gradients;

const rules: Readonly<Record<string, Rule>> = {
  LayerNormalization(node, context, m) {
    const [x = '', scale = '', bias = ''] = node.inputs;
    const [dy] = context.outputs;
    if (!dy || context.outputs[1] || context.outputs[2]) throw new RangeError('its statistics are used as results');
    const rank = rankOf(x, context);
    const axes = range(normalAxis(intOf(node, 'axis', -1), rank), rank);
    const normal = normalised(m, x, axes, floatOf(node, 'epsilon', 1e-5));
    return scaled(context, m, { dy, x, scale, bias, normal, axes });
  },

  RMSNormalization(node, context, m) {
    const [x = '', scale = ''] = node.inputs;
    const [dy] = context.outputs;
    if (!dy) return [];
    const rank = rankOf(x, context);
    const axes = range(normalAxis(intOf(node, 'axis', -1), rank), rank);
    const inverse = m.op('Reciprocal', [m.op('Sqrt', [m.plus(m.mean(m.square(x), axes), floatOf(node, 'epsilon', 1e-5))])]);
    const value = m.mul(x, inverse);
    const into = m.mul(dy, scale);
    return [
      context.needs(0) ? m.mul(inverse, m.sub(into, m.mul(value, m.mean(m.mul(into, value), axes)))) : undefined,
      context.needs(1) ? m.sumTo(m.mul(dy, value), scale, x) : undefined,
    ];
  },

  InstanceNormalization(node, context, m) {
    const [x = '', scale = ''] = node.inputs;
    const [dy] = context.outputs;
    if (!dy) return [];
    const rank = rankOf(x, context);
    const axes = range(2, rank);
    const wide = m.reshape(scale, [-1, ...axes.map(() => 1)]);
    const normal = normalised(m, x, axes, floatOf(node, 'epsilon', 1e-5));
    const others = [0, ...axes];
    return [
      context.needs(0) ? normalisedGradient(m, m.mul(dy, wide), normal, axes) : undefined,
      context.needs(1) ? m.sum(m.mul(dy, normal.value), others, false) : undefined,
      context.needs(2) ? m.sum(dy, others, false) : undefined,
    ];
  },

  GroupNormalization(node, context, m) {
    const [x = '', scale = ''] = node.inputs;
    const [dy] = context.outputs;
    if (!dy) return [];
    const groups = intOf(node, 'num_groups', 1);
    const channels = context.facts(x).shape?.[1];
    if (typeof channels !== 'number') throw new RangeError('the number of its channels is not known');
    // Until operator set 20 there was one scale a group, since then one a channel.
    const perGroup = context.facts(scale).shape?.[0] === groups && groups !== channels;
    // [N, G, C/G, pixels]
    const apart = (value: string): string => m.op('Reshape', [value, m.builder.int64([0, groups, channels / groups, -1])]);
    const wide = m.reshape(scale, perGroup ? [groups, 1, 1] : [groups, channels / groups, 1]);
    const normal = normalised(m, apart(x), [2, 3], floatOf(node, 'epsilon', 1e-5));
    const incoming = apart(dy);
    const others = perGroup ? [0, 2, 3] : [0, 3];
    const flat = (value: string): string => m.reshape(value, [-1]);
    return [
      context.needs(0) ? m.reshapeLike(normalisedGradient(m, m.mul(incoming, wide), normal, [2, 3]), x) : undefined,
      context.needs(1) ? flat(m.sum(m.mul(incoming, normal.value), others)) : undefined,
      context.needs(2) ? flat(m.sum(incoming, others)) : undefined,
    ];
  },

  MeanVarianceNormalization(node, context, m) {
    const x = firstInput(node);
    const [dy] = context.outputs;
    if (!dy) return [];
    const axes = node.attributes['axes']?.type === 'ints' ? node.attributes['axes'].value : [0, 2, 3];
    return [normalisedGradient(m, dy, normalised(m, x, axes, 1e-9), axes)];
  },

  LpNormalization(node, context) {
    const x = firstInput(node);
    return context.through((builder) => {
      const own = new Maths({ builder, sizes: (value) => context.sizes(value) });
      const axes = [normalAxis(intOf(node, 'axis', -1), rankOf(x, context))];
      return [own.div(x, own.reduce(intOf(node, 'p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', x, axes))];
    });
  },

  /** y = x (bias + alpha/size Σ x²)^-beta, the sum over neighbouring channels: an average pooling over the channel axis. */
  LRN(node, context) {
    const x = firstInput(node);
    const rank = rankOf(x, context);
    const size = intOf(node, 'size', 1);
    return context.through((builder) => {
      const own = new Maths({ builder, sizes: (value) => context.sizes(value) });
      const { shape } = context.facts(x);
      const channels = shape?.[1];
      const pixels = shape?.slice(2).reduce<number | null>((all, dim) => (all === null || dim === null ? null : all * dim), 1);
      if (rank < 3 || typeof channels !== 'number' || typeof pixels !== 'number') throw new RangeError('the shape of its input is not known');
      const rows = builder.node('Reshape', [own.square(x), builder.int64([-1, 1, channels, pixels])]);
      const mean = builder.node('AveragePool', [rows], {
        kernel_shape: { type: 'ints', value: [size, 1] }, count_include_pad: { type: 'int', value: 1 },
        pads: { type: 'ints', value: [Math.floor((size - 1) / 2), 0, Math.ceil((size - 1) / 2), 0] },
      });
      const base = own.plus(own.scale(own.reshapeLike(mean, x), floatOf(node, 'alpha', 1e-4)), floatOf(node, 'bias', 1));
      return [own.mul(x, builder.node('Pow', [base, own.scalar(-floatOf(node, 'beta', 0.75), x)]))];
    });
  },
};

interface Normalised {
  /** (x - mean) / deviation */
  readonly value: string;
  readonly inverse: string;
}

function normalised(m: Maths, x: string, axes: readonly number[], epsilon: number): Normalised {
  const centred = m.sub(x, m.mean(x, axes));
  const inverse = m.op('Reciprocal', [m.op('Sqrt', [m.plus(m.mean(m.square(centred), axes), epsilon)])]);
  return { value: m.mul(centred, inverse), inverse };
}

/** What flows into x from what flows into its normalised form. */
function normalisedGradient(m: Maths, into: string, { value, inverse }: Normalised, axes: readonly number[]): string {
  const level = m.mean(into, axes);
  const along = m.mul(value, m.mean(m.mul(into, value), axes));
  return m.mul(inverse, m.sub(m.sub(into, level), along));
}

interface Scaled {
  readonly dy: string;
  readonly x: string;
  readonly scale: string;
  readonly bias: string;
  readonly normal: Normalised;
  readonly axes: readonly number[];
}

function scaled(context: GradientContext, m: Maths, { dy, x, scale, bias, normal, axes }: Scaled): Gradients {
  return [
    context.needs(0) ? normalisedGradient(m, m.mul(dy, scale), normal, axes) : undefined,
    context.needs(1) ? m.sumTo(m.mul(dy, normal.value), scale, x) : undefined,
    bias && context.needs(2) ? m.sumTo(dy, bias, x) : undefined,
  ];
}

function rankOf(value: string, context: GradientContext): number {
  const rank = context.sizes(value)?.length;
  if (rank === undefined) throw new RangeError('the shape of its input is not known');
  return rank;
}

/** y = exp(x) / Σ exp(x), or its logarithm. */
export function softmaxGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  if (!dy || node.op === 'Hardmax') return [];
  const m = new Maths(context);
  const y = firstOutput(node);
  const axes = [intOf(node, 'axis', -1)];
  if (node.op === 'LogSoftmax') return [m.sub(dy, m.mul(m.op('Exp', [y]), m.sum(dy, axes)))];
  return [m.mul(y, m.sub(dy, m.sum(m.mul(dy, y), axes)))];
}
