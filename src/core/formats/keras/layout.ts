import { ints } from '../../graph/attributes';
import type { Shape } from '../../graph/modelGraph';
import type { KerasValue, LayerContext } from './layerRule';

export function isChannelsFirst(context: LayerContext): boolean {
  return context.text('data_format', 'channels_last') === 'channels_first';
}

/** A value with its channels on axis 1, as ONNX wants it: [N, ...spatial, C] -> [N, C, ...spatial]. */
export function toChannelsFirst(context: LayerContext, value: KerasValue, spatialAxes: number): KerasValue {
  if (value.shape && value.shape.length !== spatialAxes + 2) {
    context.fail(`its input has ${value.shape.length} axes where ${context.className} wants ${spatialAxes + 2}`);
  }
  if (isChannelsFirst(context)) return value;
  const perm = [0, spatialAxes + 1, ...range(1, spatialAxes)];
  return transpose(context, value, perm);
}

/** The way back of {@link toChannelsFirst}. */
export function fromChannelsFirst(context: LayerContext, value: KerasValue, spatialAxes: number): KerasValue {
  if (isChannelsFirst(context)) return value;
  return transpose(context, value, [0, ...range(2, spatialAxes), 1]);
}

export function transpose(context: LayerContext, value: KerasValue, perm: readonly number[]): KerasValue {
  return {
    ...value,
    name: context.node('Transpose', [value.name], { perm: ints(perm) }),
    shape: value.shape && perm.map((axis) => value.shape?.[axis] ?? null),
  };
}

/** Size of an axis after a sliding window, as TensorFlow computes it. */
export function windowed(
  size: number | null | undefined, window: { kernel: number; stride: number; dilation: number; padding: string },
): number | null {
  if (size === null || size === undefined) return null;
  const { kernel, stride, dilation, padding } = window;
  if (padding === 'same' || padding === 'causal') return Math.ceil(size / stride);
  return Math.max(0, Math.floor((size - ((kernel - 1) * dilation + 1)) / stride) + 1);
}

/** An axis counted from the end as one counted from the front, where the rank is known. */
export function normalAxis(axis: number, shape: Shape | undefined): number {
  return axis < 0 && shape ? axis + shape.length : axis;
}

export function range(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => start + index);
}
