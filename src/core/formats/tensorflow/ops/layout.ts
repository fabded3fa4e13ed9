import { ints, string } from '../../../graph/attributes';
import type { Attribute } from '../../../graph/modelGraph';
import type { OpContext } from '../opContext';

/** NCHW, NCDHW: channels on axis 1, as ONNX wants them. */
export function isChannelsFirst(context: OpContext): boolean {
  return /^NC/.test(context.text('data_format', 'NHWC'));
}

/** [N, ...spatial, C] -> [N, C, ...spatial], unless it is so already. */
export function toChannelsFirst(context: OpContext, value: string, spatial: number): string {
  const rank = context.facts(value).shape?.length;
  if (rank !== undefined && rank !== spatial + 2) context.fail(`its input has ${rank} axes where ${spatial + 2} are needed`);
  return isChannelsFirst(context) ? value : context.add('Transpose', [value], { perm: ints([0, spatial + 1, ...range(1, spatial)]) });
}

export function fromChannelsFirst(context: OpContext, value: string, spatial: number): string {
  return isChannelsFirst(context) ? value : context.add('Transpose', [value], { perm: ints([0, ...range(2, spatial), 1]) });
}

/** The spatial entries of an attribute that has one for every axis of the data. */
export function spatialInts(context: OpContext, name: string, spatial: number): readonly number[] {
  const all = context.ints(name);
  if (all.length === 0) return new Array<number>(spatial).fill(1);
  if (all.length === spatial) return all;
  if (all.length !== spatial + 2 || all.some((size) => !Number.isInteger(size) || size < 1)) {
    context.fail(`its ${name} [${all.join(', ')}] are not sizes of ${spatial + 2} axes`);
  }
  return isChannelsFirst(context) ? all.slice(2) : all.slice(1, 1 + spatial);
}

/** Padding of a sliding window: 'SAME' depends on the input's size only when the window jumps. */
export function paddingOf(
  context: OpContext, spatial: number, { kernel, strides, dilations }: Record<'kernel' | 'strides' | 'dilations', readonly number[]>,
): Record<string, Attribute> {
  const padding = context.text('padding', 'VALID');
  if (padding === 'VALID') return { pads: ints(new Array<number>(2 * spatial).fill(0)) };
  if (padding === 'EXPLICIT') {
    const all = context.ints('explicit_paddings');
    const axes = isChannelsFirst(context) ? range(2, spatial) : range(1, spatial);
    if (all.length !== 2 * (spatial + 2)) context.fail('its explicit_paddings are not two for each axis');
    return { pads: ints([...axes.map((axis) => all[2 * axis]!), ...axes.map((axis) => all[2 * axis + 1]!)]) };
  }
  if (padding !== 'SAME') context.fail(`its padding '${padding}' is not one of SAME, VALID and EXPLICIT`);
  if (strides.some((stride) => stride !== 1)) return { auto_pad: string('SAME_UPPER') };
  const total = kernel.map((size, axis) => (size - 1) * dilations[axis]!);
  const before = total.map((size) => Math.floor(size / 2));
  return { pads: ints([...before, ...total.map((size, axis) => size - before[axis]!)]) };
}

export function range(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => start + index);
}
