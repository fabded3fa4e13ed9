import { int, intOf, ints, intsOf } from '../../attributes';
import type { Attribute, GraphNode } from '../../modelGraph';
import { firstInput, firstOutput, range } from '../axes';
import type { GradientContext } from '../operator';
import { slidOver, windowsOf } from '../windows';
import { Maths } from './maths';

/** Pooling of any rank: the largest gets all, an average gives each its share. */
export function poolingGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  if (!dy) return [];
  const m = new Maths(context);
  const x = firstInput(node);
  const rank = (context.sizes(x) ?? context.sizes(firstOutput(node)))?.length;
  if (rank === undefined) throw new RangeError('the shape of its input is not known');
  const spatial = range(2, rank);
  switch (node.op) {
    case 'MaxPool': return [maxPool(node, context, m, dy)];
    case 'AveragePool': return [averagePool(node, context, m, dy)];
    case 'GlobalAveragePool': return [m.expandLike(m.div(dy, pixelCount(m, x)), x)];
    case 'GlobalMaxPool': {
      const winners = m.mask(m.op('Equal', [x, firstOutput(node)]), x);
      return [m.mul(winners, m.div(dy, m.sum(winners, spatial)))];
    }
    default: return context.through((builder) => [lpPool(node, new Maths({ builder, sizes: (value) => context.sizes(value) }), x, spatial)]);
  }
}

/** Number of pixels as a real number [1]. */
function pixelCount(m: Maths, x: string): string {
  const sizes = m.builder.facts(x).shape?.slice(2);
  if (sizes?.every((size): size is number => size !== null)) return m.scalar(sizes.reduce((all, size) => all * size, 1), x);
  return m.castLike(m.op('ReduceProd', [m.shape(x, 2)], { keepdims: int(0) }), x);
}

/** The operator's second output says where each largest element was, as its number in the whole input. */
function maxPool(node: GraphNode, context: GradientContext, m: Maths, dy: string): string {
  const x = firstInput(node);
  const kernel = intsOf(node, 'kernel_shape') ?? [];
  const { strides } = windowsOf(node, kernel.length);
  if (intOf(node, 'storage_order', 0) !== 0) throw new RangeError('its indices count by columns');
  const places = m.reshape(context.output(1), [-1]);
  // Windows that do not meet have different winners.
  return m.scatterAt(dy, x, places, kernel.every((taps, axis) => taps <= strides[axis]! && (windowsOf(node, kernel.length).dilations[axis] ?? 1) === 1));
}

/**
 * Each window's gradient, shared out. A pooling is a depthwise convolution with ones, divided by a count; ones in the
 * place of the input tell the count, so that it is always the engine's own.
 */
function averagePool(node: GraphNode, context: GradientContext, m: Maths, dy: string): string {
  const x = firstInput(node);
  const y = firstOutput(node);
  const kernel = intsOf(node, 'kernel_shape') ?? [];
  const rank = kernel.length;
  const { strides, dilations, pads, autoPad } = windowsOf(node, rank);
  const tiled = tiling(node, context, m, dy);
  if (tiled) return tiled;
  const before = context.facts(x).shape?.slice(2);
  const after = context.facts(y).shape?.slice(2);
  const same = autoPad.startsWith('SAME');
  const spans = kernel.map((taps, axis) => (taps - 1) * (dilations[axis] ?? 1) + 1);
  const sizes = kernel.map((_, axis) => {
    const [size, count] = [before?.[axis], after?.[axis]];
    if (typeof size === 'number' && typeof count === 'number') return { size, count };
    throw new RangeError('its windows depend on sizes that are not known before the model runs');
  });
  const begin = sizes.map(({ size, count }, axis) => {
    if (autoPad === 'VALID') return 0;
    if (!same) return pads[axis]!;
    const total = Math.max(0, (count - 1) * strides[axis]! + spans[axis]! - size);
    return autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  // Up to where the last window ends; less than the input when it leaves elements over.
  const end = sizes.map(({ size, count }, axis) => (count - 1) * strides[axis]! + spans[axis]! - size - begin[axis]!);
  const slide = { kernel_shape: ints(kernel), strides: ints(strides), dilations: ints(dilations) };
  const ones = m.constantOfShape(1, m.builder.int64([1, 1, ...sizes.map(({ size }) => size)]), context.facts(x).dtype);
  const taps = m.constantOfShape(1, m.builder.int64([1, 1, ...kernel]), context.facts(x).dtype);
  const sums = m.op('Conv', [ones, taps], { ...slide, pads: ints([...begin, ...end.map((pad) => Math.max(pad, 0))]) });
  const shared = m.op('AveragePool', [ones], node.attributes);
  const spreadable = m.mul(dy, m.div(shared, sums));
  // Samples and channels together, so that one kernel serves all of them.
  const flat = m.op('Reshape', [spreadable, m.builder.int64([-1, 1, ...sizes.map(({ count }) => count)])]);
  const attributes: Record<string, Attribute> = {
    ...slide, pads: ints([...begin, ...end.map((pad) => Math.max(pad, 0))]),
    ...(end.some((pad) => pad < 0) && { output_padding: ints(end.map((pad) => Math.max(-pad, 0))) }),
  };
  return m.reshapeLike(m.op('ConvTranspose', [flat, taps], attributes), x);
}

/** Windows that lie side by side and cover the input: each element's share is its window's. */
function tiling(node: GraphNode, context: GradientContext, m: Maths, dy: string): string | undefined {
  const x = firstInput(node);
  const shape = context.facts(x).shape;
  const kernel = intsOf(node, 'kernel_shape') ?? [];
  const windows = windowsOf(node, kernel.length);
  const plain = kernel.every((taps, axis) => windows.strides[axis] === taps && (windows.dilations[axis] === 1 || taps === 1))
    && windows.pads.every((pad) => pad === 0);
  const sizes = shape?.slice(2);
  if (!plain || !sizes?.every((size, axis) => size !== null && size % kernel[axis]! === 0)) return undefined;
  const counts = slidOver(sizes, kernel, windows) as number[];
  const share = m.scale(dy, 1 / kernel.reduce((all, taps) => all * taps, 1));
  const apart = m.op('Reshape', [share, m.builder.int64([-1, ...counts.flatMap((count) => [count, 1])])]);
  const target = m.vector(m.op('Shape', [apart], { start: int(0), end: int(1) }), m.builder.int64(counts.flatMap((count, axis) => [count, kernel[axis]!])));
  return m.reshapeLike(m.op('Expand', [apart, target]), x);
}

/** (sum of |x|^p)^(1/p) */
function lpPool(node: GraphNode, m: Maths, x: string, spatial: readonly number[]): string {
  const p = intOf(node, 'p', 2);
  const raised = m.op('Pow', [m.op('Abs', [x]), m.scalar(p, x)]);
  if (node.op === 'GlobalLpPool') return m.op('Pow', [m.sum(raised, spatial), m.scalar(1 / p, x)]);
  const { p: _, ...attributes } = node.attributes;
  const taps = (intsOf(node, 'kernel_shape') ?? []).reduce((all, size) => all * size, 1);
  const mean = m.op('AveragePool', [raised], { ...attributes, count_include_pad: int(1) });
  return m.op('Pow', [m.scale(mean, taps), m.scalar(1 / p, x)]);
}
