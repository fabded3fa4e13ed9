import { int, intOf, intsOf, withAttributes } from '../attributes';
import type { GraphNode, Shape } from '../modelGraph';
import { barriers, firstInput, firstOutput, plain, product, range } from './axes';
import { convGradient, convTransposeGradient } from './gradients/convolution';
import type { GraphBuilder, LinearRule, OperatorFamily, ParticleRule, Relation, ShapeContext, WeightSlice } from './operator';
import { slidOver, spreadOver, windowsOf } from './windows';

/** Conv and ConvTranspose, 1-3-D. x: [N, C, ...]; Conv weight: [O, C/g, ...]; ConvTranspose weight: [C, O/g, ...]. */
export const convolution: OperatorFamily = {
  name: 'convolution',
  ops: ['Conv', 'ConvTranspose'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const sizes = sizesOf(node, context);
    if (!sizes) return [{ dtype }];
    const spatial = shape ? shape.slice(2) : sizes.kernel.map(() => null);
    if (spatial.length !== sizes.kernel.length) throw new RangeError('input and kernel have different numbers of axes');
    const channels = shape?.[1];
    if (typeof channels === 'number' && sizes.inputs !== null && channels !== sizes.inputs) {
      throw new RangeError(`the input has ${channels} channels, the weights are for ${sizes.inputs}`);
    }
    const out = transposed(node)
      ? spreadOver(node, spatial, sizes.kernel)
      : slidOver(spatial, sizes.kernel, windowsOf(node, spatial.length));
    return [{ dtype, shape: [shape?.[0] ?? null, sizes.outputs, ...out] }];
  },

  flow(node, context) {
    const sizes = sizesOf(node, context);
    const x = firstInput(node);
    const y = firstOutput(node);
    const [, w = '', bias] = node.inputs;
    if (!sizes) return [];
    const spatial = range(2, 2 + sizes.kernel.length);
    const relations: Relation[] = [
      plain(x, 0, y, 0),
      ...[x, y, w].flatMap((value) => barriers(value, spatial, 'a convolution slides over this axis')),
      ...(bias ? [plain(bias, 0, y, 1)] : []),
    ];
    const [inAxis, outAxis] = weightAxes(node);
    if (sizes.group === 1) {
      relations.push(plain(x, 1, w, inAxis), plain(w, outAxis, y, 1));
    } else if (depthwise(sizes) && (!transposed(node) || sizes.outputs === sizes.inputs)) {
      const multiplier = sizes.outputs! / sizes.group;
      relations.push({ ...plain(x, 1, y, 1), inner: multiplier }, plain(w, 0, y, 1));
      relations.push(...barriers(w, [1], 'a depthwise kernel reads one channel'));
    } else {
      relations.push(...groupRelations(node, sizes));
    }
    return relations;
  },

  resize(node, context) {
    const sizes = sizesOf(node, context);
    if (!sizes || sizes.group === 1) return node;
    // Of a group stay as many channels on the grouped side as the weights say.
    const channels = context.after(transposed(node) ? firstOutput(node) : firstInput(node)).shape?.[1];
    const each = context.after(node.inputs[1] ?? '').shape?.[1];
    if (typeof channels !== 'number' || typeof each !== 'number' || channels / each === sizes.group) return node;
    return withAttributes(node, { set: { group: int(channels / each) } });
  },

  particles(node, context): ParticleRule | undefined {
    const sizes = sizesOf(node, context);
    const [, w = '', bias] = node.inputs;
    if (!sizes || sizes.outputs === null || !context.isConstant(w)) return undefined;
    // A transposed convolution's weights hold O/g outputs for each input, so that a grouped one has no slice of its own.
    const direct = !transposed(node) || sizes.group === 1;
    if (!direct && !(depthwise(sizes) && sizes.outputs === sizes.inputs)) return undefined;
    const axis = transposed(node) && direct ? 1 : 0;
    const slices: WeightSlice[] = [{ tensor: w, axis, role: 'weight' }];
    if (bias && context.isConstant(bias)) slices.push({ tensor: bias, axis: 0, role: 'bias' });
    return { kind: 'kernel', count: sizes.outputs, output: firstOutput(node), axis: 1, slices };
  },

  linear(node, context): LinearRule | undefined {
    const sizes = sizesOf(node, context);
    const [, w = '', bias] = node.inputs;
    if (!sizes || !context.isConstant(w)) return undefined;
    const rule: LinearRule = {
      input: firstInput(node), axis: 1, output: firstOutput(node), outputAxis: 1, ...(bias && { bias }),
    };
    // Groups tie a channel's place to the kernels that read it, so these run on masked copies.
    if (sizes.group !== 1 || sizes.outputs === null) return rule;
    return {
      ...rule,
      weight: { value: w, axis: weightAxes(node)[0] },
      contributions: (builder, x, weights, particles, block) =>
        contributions(node, sizes, builder, x, weights, particles, block),
    };
  },

  macs(node, context) {
    const sizes = sizesOf(node, context);
    if (!sizes || sizes.outputs === null || sizes.inputs === null) return undefined;
    // Every element of the output (of the input, when transposed) meets each tap of its group's channels once.
    const swept = context.facts(transposed(node) ? firstInput(node) : firstOutput(node)).shape;
    if (!swept) return undefined;
    const perElement = (transposed(node) ? sizes.outputs : sizes.inputs) / sizes.group;
    return product([...swept.slice(1), perElement, ...sizes.kernel]) ?? undefined;
  },

  gradient: (node, context) => (transposed(node) ? convTransposeGradient : convGradient)(node, context),
};

interface Sizes {
  readonly group: number;
  /** Channels read and made; null while unknown. */
  readonly inputs: number | null;
  readonly outputs: number | null;
  readonly kernel: Shape;
}

function transposed(node: GraphNode): boolean {
  return node.op === 'ConvTranspose';
}

/**
 * Groups of equal size: whole groups go, or the same share of each. The channels on either side are the groups, times those
 * of one group; these are axes inside the operator.
 */
function groupRelations(node: GraphNode, { group, inputs, outputs }: Sizes): Relation[] {
  const [x, y, w] = [firstInput(node), firstOutput(node), node.inputs[1] ?? ''];
  if (inputs === null || outputs === null || inputs % group || outputs % group) {
    const reason = 'the groups of this convolution are not of equal size';
    return [...[x, y].flatMap((value) => barriers(value, [1], reason)), ...barriers(w, [0, 1], reason)];
  }
  // Whichever is the smaller part of the layer, and the same on both sides.
  const byShare = Math.min(inputs, outputs) / group >= group;
  const inside = (axis: number, size: number, first: boolean): InsideAxis => ({ a: { value: `${node.name}\0groups`, axis }, size, rank: first ? 0 : 1 });
  const [groups, read, made] = [inside(0, group, !byShare), inside(1, inputs / group, byShare), inside(2, outputs / group, byShare)];
  const [many, few] = transposed(node) ? [read, made] : [made, read];
  const of = (part: InsideAxis, value: string, axis: number): Relation[] => [
    { ...groups, b: { value, axis }, inner: part.size }, { ...part, b: { value, axis }, outer: group },
  ];
  return [...of(read, x, 1), ...of(made, y, 1), ...of(many, w, 0), { ...few, b: { value: w, axis: 1 } }];
}

interface InsideAxis extends Pick<Relation, 'a' | 'rank'> {
  readonly size: number;
}

/** [axis of the weights that reads channels, axis that makes them] */
function weightAxes(node: GraphNode): readonly [number, number] {
  return transposed(node) ? [0, 1] : [1, 0];
}

function depthwise({ group, inputs, outputs }: Sizes): boolean {
  return group > 1 && group === inputs && outputs !== null && outputs % group === 0;
}

function sizesOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): Sizes | undefined {
  const weight = context.facts(node.inputs[1] ?? '').shape;
  if (!weight || weight.length < 3) return undefined;
  const group = intOf(node, 'group', 1);
  const times = (dim: number | null): number | null => (dim === null ? null : dim * group);
  const first = weight[0]!;
  const second = weight[1]!;
  return {
    group,
    inputs: transposed(node) ? first : times(second),
    outputs: transposed(node) ? times(second) : first,
    kernel: intsOf(node, 'kernel_shape') ?? weight.slice(2),
  };
}

/**
 * All particles' terms by one convolution of J groups, each reading its own particle's channels:
 * x [N, J*block, ...], weights [O, J*block, ...] (transposed: [J*block, O, ...]) -> [J, N, O, ...]
 */
function contributions(
  node: GraphNode, sizes: Sizes, builder: GraphBuilder, x: string, weights: string, particles: number, block: number,
): string {
  const outputs = sizes.outputs!;
  const kernel = builder.facts(weights).shape?.slice(2) ?? sizes.kernel;
  const taps = kernel.map((size) => size ?? -1);
  let grouped = weights;
  if (!transposed(node)) {
    const perParticle = builder.node('Reshape', [weights, builder.int64([outputs, particles, block, ...taps])]);
    const perm = [1, 0, ...range(2, 3 + taps.length)];
    const particleFirst = builder.node('Transpose', [perParticle], { perm: { type: 'ints', value: perm } });
    grouped = builder.node('Reshape', [particleFirst, builder.int64([particles * outputs, block, ...taps])]);
  }
  const attributes = { ...node.attributes, group: int(particles) };
  const all = builder.node(node.op, [x, grouped], attributes); // [N, J*O, ...]
  const batch = builder.node('Shape', [all], { start: int(0), end: int(1) });
  const spatial = builder.node('Shape', [all], { start: int(2) });
  const target = builder.node('Concat', [batch, builder.int64([particles, outputs]), spatial], { axis: int(0) });
  const apart = builder.node('Reshape', [all, target]); // [N, J, O, ...]
  return builder.node('Transpose', [apart], { perm: { type: 'ints', value: [1, 0, ...range(2, 3 + taps.length)] } });
}
