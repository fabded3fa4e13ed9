import { int, intOf, ints, intsOf } from '../../attributes';
import type { Attribute, GraphNode, Shape } from '../../modelGraph';
import { firstInput, firstOutput, range } from '../axes';
import type { GradientContext } from '../operator';
import { windowsOf } from '../windows';
import { Maths } from './maths';

/** How kernels lie on the larger of the two arrays that a convolution relates: all of it in numbers. */
export interface Sliding {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  readonly group: number;
}

/** y = Conv(x, w, b) */
export function convGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const [x = '', w = '', bias = ''] = node.inputs;
  if (!dy) return [];
  const m = new Maths(context);
  const sliding = slidingOf(node, context, x, firstOutput(node));
  return [
    context.needs(0) ? spread(m, dy, w, sliding, x, context) : undefined,
    context.needs(1) ? kernelGradient(m, x, dy, sliding, context) : undefined,
    bias && context.needs(2) ? biasGradient(m, dy, sliding) : undefined,
  ];
}

/** y = ConvTranspose(x, w, b), which is the input gradient of a convolution from y to x. */
export function convTransposeGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const [, w = '', bias = ''] = node.inputs;
  const x = firstInput(node);
  if (!dy) return [];
  const m = new Maths(context);
  const sliding = slidingOf(node, context, firstOutput(node), x);
  return [
    context.needs(0) ? m.op('Conv', [dy, w], attributesOf(sliding)) : undefined,
    context.needs(1) ? kernelGradient(m, dy, x, sliding, context) : undefined,
    bias && context.needs(2) ? biasGradient(m, dy, sliding) : undefined,
  ];
}

function biasGradient(m: Maths, dy: string, { kernel }: Sliding): string {
  return m.sum(dy, [0, ...range(2, 2 + kernel.length)], false);
}

/** Pads in numbers, whatever the attributes leave to the sizes. `large` is the side that kernels slide over. */
function slidingOf(node: GraphNode, context: GradientContext, large: string, small: string): Sliding {
  const weight = context.facts(node.inputs[1] ?? '').shape;
  const kernel = intsOf(node, 'kernel_shape') ?? weight?.slice(2);
  if (!kernel?.every((taps): taps is number => taps !== null)) throw new RangeError('the size of its kernels is not known');
  const windows = windowsOf(node, kernel.length);
  const { strides, dilations } = windows;
  const group = intOf(node, 'group', 1);
  const rank = kernel.length;
  const fixed = { kernel, strides, dilations, group };
  const transposed = node.op === 'ConvTranspose';
  if (windows.autoPad === 'NOTSET' && !(transposed && intsOf(node, 'output_shape'))) {
    return { ...fixed, begin: windows.pads.slice(0, rank), end: windows.pads.slice(rank) };
  }
  if (windows.autoPad === 'VALID') return { ...fixed, begin: kernel.map(() => 0), end: kernel.map(() => 0) };
  const [from, to] = [context.facts(large).shape?.slice(2), context.facts(small).shape?.slice(2)];
  const extra = intsOf(node, 'output_padding');
  const totals = kernel.map((taps, axis) => {
    const span = (taps - 1) * dilations[axis]! + 1;
    // With step 1 the padding does not depend on the size.
    if (strides[axis] === 1 && !transposed) return span - 1;
    const [size, count] = [from?.[axis], to?.[axis]];
    if (typeof size !== 'number' || typeof count !== 'number') throw new RangeError('its padding depends on sizes that are not known before the model runs');
    const gap = transposed ? extra?.[axis] ?? 0 : 0;
    return Math.max(0, (count - 1) * strides[axis]! + span + gap - size);
  });
  // ConvTranspose puts the larger half in front unless told SAME_UPPER, a convolution behind unless told SAME_LOWER.
  const front = (total: number): number => {
    const [less, more] = [Math.floor(total / 2), Math.ceil(total / 2)];
    if (transposed) return windows.autoPad === 'SAME_UPPER' ? less : more;
    return windows.autoPad === 'SAME_LOWER' ? more : less;
  };
  return { ...fixed, begin: totals.map(front), end: totals.map((total) => total - front(total)) };
}

function attributesOf({ kernel, strides, dilations, begin, end, group }: Sliding): Record<string, Attribute> {
  return {
    kernel_shape: ints(kernel), strides: ints(strides), dilations: ints(dilations), pads: ints([...begin, ...end]), group: int(group),
  };
}

/** What flows into `like` (the side that kernels slide over): dy spread by the kernels. */
export function spread(m: Maths, dy: string, w: string, sliding: Sliding, like: string, context: Pick<GradientContext, 'facts'>): string {
  const { kernel, strides, dilations, begin, end } = sliding;
  const flipped = withFlippedKernels(m, dy, w, sliding, context);
  if (flipped) return flipped;
  const sizes = context.facts(like).shape?.slice(2);
  // Where the stride leaves elements at the end that no kernel reached, they get none.
  const rest = kernel.map((taps, axis) => {
    if (strides[axis] === 1) return 0;
    const size = sizes?.[axis];
    if (typeof size !== 'number') return undefined;
    return (size + begin[axis]! + end[axis]! - ((taps - 1) * dilations[axis]! + 1)) % strides[axis]!;
  });
  const known = rest.every((gap): gap is number => gap !== undefined);
  const attributes = attributesOf(sliding);
  if (known) {
    return m.op('ConvTranspose', [dy, w], { ...attributes, ...(rest.some((gap) => gap > 0) && { output_padding: ints(rest) }) });
  }
  return paddedTo(m, m.op('ConvTranspose', [dy, w], attributes), like, kernel.length);
}

/** Fills up with zeros behind the spatial axes, to sizes that are only known when the model runs. */
function paddedTo(m: Maths, value: string, like: string, rank: number): string {
  const missing = m.sub(m.shape(like, 2), m.op('Shape', [value], { start: int(2) }));
  const zeros = m.builder.int64(new Array<number>(rank + 2).fill(0));
  return m.op('Pad', [value, m.vector(zeros, 0, 0, missing)]);
}

/**
 * With step 1 the input gradient is also a convolution with the kernels turned round, which is faster than spreading
 * on large pictures; turning them costs more than it gives where kernels outweigh the picture.
 */
function withFlippedKernels(m: Maths, dy: string, w: string, sliding: Sliding, context: Pick<GradientContext, 'facts'>): string | undefined {
  const { kernel, strides, dilations, begin, end, group } = sliding;
  const weight = context.facts(w).shape;
  if (!known(weight) || strides.some((stride) => stride !== 1)) return undefined;
  const [outputs, perGroup] = weight as readonly [number, number];
  const spans = kernel.map((taps, axis) => (taps - 1) * dilations[axis]!);
  const pads = [...spans.map((span, axis) => span - begin[axis]!), ...spans.map((span, axis) => span - end[axis]!)];
  if (pads.some((pad) => pad < 0)) return undefined;
  const pixels = context.facts(dy).shape?.slice(2).reduce<number | null>((all, size) => (all === null || size === null ? null : all * size), 1);
  if (typeof pixels === 'number' && pixels < 2 * Math.max(outputs, perGroup)) return undefined;
  const spatial = range(2, 2 + kernel.length);
  const everywhere = (value: number): string => m.builder.int64(spatial.map(() => value));
  const turned = kernel.every((taps) => taps === 1) ? w
    : m.op('Slice', [w, everywhere(-1), everywhere(-(2 ** 31)), m.builder.int64(spatial), everywhere(-1)]);
  const inGroup = outputs / group;
  const kernels = group === 1
    ? m.transpose(turned, [1, 0, ...spatial])
    : m.reshape(
      m.transpose(m.reshape(turned, [group, inGroup, perGroup, ...kernel]), [0, 2, 1, ...spatial.map((axis) => axis + 1)]),
      [group * perGroup, inGroup, ...kernel],
    );
  return m.op('Conv', [dy, kernels], {
    kernel_shape: ints(kernel), dilations: ints(dilations), pads: ints(pads), group: int(group), strides: ints(kernel.map(() => 1)),
  });
}

/**
 * Kernels' gradient [small channels, large channels / groups, ...kernel]: each tap is the product of `small` with the
 * part of `large` that the tap saw. As a convolution whose channels are the samples, whose kernels are `small` and whose
 * picture has the channels of `large` as one more axis: nothing of `large` has to be moved for it.
 */
function kernelGradient(m: Maths, large: string, small: string, sliding: Sliding, context: Pick<GradientContext, 'facts'>): string {
  const { kernel, strides, dilations, begin, end, group } = sliding;
  const rank = kernel.length;
  if (rank > 2) return kernelGradientOfVolumes(m, large, small, sliding, context);
  const channelsLast = kernelGradientChannelsLast(m, large, small, sliding, context);
  if (channelsLast) return channelsLast;
  const spatial = range(2, 2 + rank);
  let channelsAside = m.op('Unsqueeze', [large, m.builder.int64([0])]); // [1, N, I, ...]
  if (group > 1) {
    const { shape } = context.facts(large);
    const apart = m.op('Reshape', [large, grouped(m, large, shape, group)]); // [N, G, I/G, ...]
    const groupFirst = m.transpose(apart, [1, 0, 2, ...spatial.map((axis) => axis + 1)]);
    channelsAside = m.op('Reshape', [groupFirst, m.vector(1, -1, perGroupOf(m, large, shape, group), m.shape(large, 2))]);
  }
  // [O, N, 1, ...]
  const kernels = m.op('Unsqueeze', [m.transpose(small, [1, 0, ...spatial]), m.builder.int64([2])]);
  const found = m.op('Conv', [channelsAside, kernels], {
    strides: ints([1, ...dilations]), dilations: ints([1, ...strides]), pads: ints([0, ...begin, 0, ...end]), group: int(group),
  });
  const taps = m.op('Squeeze', [found, m.builder.int64([0])]); // [O, I/G, ...kernel or more]
  return cutTo(m, taps, kernel, sliding, large, context);
}

/**
 * The same with the channels of `large` innermost, beside the pixels of a line: what one tap of one line sees of all channels
 * lies in one piece then, and ONNX Runtime gathers it by whole pieces. [O, N, ...] are kernels whose lines have a hole of a
 * pixel's channels between their numbers.
 */
function kernelGradientChannelsLast(m: Maths, large: string, small: string, sliding: Sliding, context: Pick<GradientContext, 'facts'>): string | undefined {
  const { kernel, strides, dilations, begin, end, group } = sliding;
  const shape = context.facts(large).shape?.slice(1);
  const last = kernel.length - 1;
  if (group > 1 || !known(shape) || dilations[last] !== 1) return undefined;
  const [channels = 0, ...sizes] = shape;
  const spatial = range(2, 2 + kernel.length);
  const wide = (values: readonly number[]): number[] => values.map((value, axis) => (axis === last ? value * channels : value));
  const lines = m.reshape(m.transpose(large, [0, ...spatial, 1]), [1, -1, ...wide(sizes)]); // [1, N, ..., W*I]
  const found = m.op('Conv', [lines, m.transpose(small, [1, 0, ...spatial])], {
    strides: ints(dilations), dilations: ints(wide(strides)), pads: ints([...wide(begin), ...wide(end)]),
  }); // [1, O, ..., KW*I]
  const counts = kernel.map((taps, axis) => {
    const span = (taps - 1) * dilations[axis]! + 1;
    const over = (sizes[axis]! + begin[axis]! + end[axis]! - span) % strides[axis]!;
    return taps + Math.floor(over / dilations[axis]!);
  });
  const taps = m.transpose(m.reshape(found, [-1, ...counts, channels]), [0, kernel.length + 1, ...range(1, kernel.length + 1)]);
  if (counts.every((count, axis) => count === kernel[axis])) return taps;
  const bounds = [kernel.map(() => 0), kernel, spatial].map((values) => m.builder.int64(values));
  return m.op('Slice', [taps, ...bounds]);
}

/** Three spatial axes leave no room for one more, so that the channels of `large` are the samples here. */
function kernelGradientOfVolumes(m: Maths, large: string, small: string, sliding: Sliding, context: Pick<GradientContext, 'facts'>): string {
  const { kernel, strides, dilations, begin, end, group } = sliding;
  const spatial = range(2, 2 + kernel.length);
  const { shape } = context.facts(large);
  let pictures = m.transpose(large, [1, 0, ...spatial]); // [I, N, ...]
  if (group > 1) {
    const apart = m.op('Reshape', [large, grouped(m, large, shape, group)]);
    const inGroupFirst = m.transpose(apart, [2, 1, 0, ...spatial.map((axis) => axis + 1)]); // [I/G, G, N, ...]
    pictures = m.op('Reshape', [inGroupFirst, m.vector(perGroupOf(m, large, shape, group), -1, m.shape(large, 2))]);
  }
  const found = m.op('Conv', [pictures, m.transpose(small, [1, 0, ...spatial])], {
    strides: ints(dilations), dilations: ints(strides), pads: ints([...begin, ...end]), group: int(group),
  });
  return cutTo(m, m.transpose(found, [1, 0, ...spatial]), kernel, sliding, large, context);
}

function grouped(m: Maths, large: string, shape: Shape | undefined, group: number): string {
  return m.vector(m.size(large, 0), group, perGroupOf(m, large, shape, group), m.shape(large, 2));
}

function perGroupOf(m: Maths, large: string, shape: Shape | undefined, group: number): string {
  const channels = shape?.[1];
  return typeof channels === 'number' ? m.builder.int64([channels / group]) : m.div(m.size(large, 1), m.builder.int64([group]));
}

/** Where a stride left pixels over, the convolution finds taps behind the kernel's. */
function cutTo(m: Maths, taps: string, kernel: readonly number[], sliding: Sliding, large: string, context: Pick<GradientContext, 'facts'>): string {
  const sizes = context.facts(large).shape?.slice(2);
  const exact = kernel.every((count, axis) => {
    const size = sizes?.[axis];
    if (sliding.strides[axis] === 1) return true;
    if (typeof size !== 'number') return false;
    const span = (count - 1) * sliding.dilations[axis]! + 1;
    return (size + sliding.begin[axis]! + sliding.end[axis]! - span) % sliding.strides[axis]! < sliding.dilations[axis]!;
  });
  if (exact) return taps;
  const bounds = [kernel.map(() => 0), kernel, range(2, 2 + kernel.length)].map((values) => m.builder.int64(values));
  return m.op('Slice', [taps, ...bounds]);
}

function known(shape: Shape | undefined): shape is readonly number[] {
  return shape !== undefined && shape.every((dim) => dim !== null);
}
