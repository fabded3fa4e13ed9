import { intOf, intsOf, stringOf } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';

/** How a window slides over the spatial axes: of convolutions and pooling alike. */
export interface Windows {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begin sizes of all axes, then end sizes; zeros when autoPad decides. */
  readonly pads: readonly number[];
  readonly autoPad: string;
  readonly ceil: boolean;
}

export function windowsOf(node: GraphNode, spatialRank: number): Windows {
  const fill = (value: number, count: number): number[] => new Array<number>(count).fill(value);
  return {
    strides: intsOf(node, 'strides') ?? fill(1, spatialRank),
    dilations: intsOf(node, 'dilations') ?? fill(1, spatialRank),
    pads: intsOf(node, 'pads') ?? fill(0, 2 * spatialRank),
    autoPad: stringOf(node, 'auto_pad', 'NOTSET') || 'NOTSET',
    ceil: intOf(node, 'ceil_mode', 0) === 1,
  };
}

/** Output sizes of the spatial axes. */
export function slidOver(spatial: Shape, kernel: Shape, windows: Windows): Dim[] {
  return spatial.map((size, axis) => {
    const taps = kernel[axis] ?? null;
    if (size === null || taps === null) return null;
    const stride = windows.strides[axis] ?? 1;
    const span = (taps - 1) * (windows.dilations[axis] ?? 1) + 1;
    if (windows.autoPad.startsWith('SAME')) return Math.ceil(size / stride);
    const valid = windows.autoPad === 'VALID';
    const begin = valid ? 0 : windows.pads[axis] ?? 0;
    const end = valid ? 0 : windows.pads[axis + spatial.length] ?? 0;
    const steps = (size + begin + end - span) / stride;
    if (!windows.ceil) return Math.floor(steps) + 1;
    const count = Math.ceil(steps) + 1;
    // A window that would start in the padding behind the input is left out.
    return (count - 1) * stride >= size + begin ? count - 1 : count;
  });
}

/** Output sizes of a transposed convolution. */
export function spreadOver(node: GraphNode, spatial: Shape, kernel: Shape): Dim[] {
  const { strides, dilations, pads, autoPad } = windowsOf(node, spatial.length);
  const wanted = intsOf(node, 'output_shape');
  const outputPadding = intsOf(node, 'output_padding');
  return spatial.map((size, axis) => {
    if (wanted) return wanted.slice(-spatial.length)[axis] ?? null;
    const taps = kernel[axis] ?? null;
    if (size === null || taps === null) return null;
    const stride = strides[axis] ?? 1;
    const span = (taps - 1) * (dilations[axis] ?? 1) + 1;
    const whole = stride * (size - 1) + (outputPadding?.[axis] ?? 0) + span;
    // 'SAME' cuts down to size * stride; engines do not fill up to it where strides leave gaps.
    if (autoPad.startsWith('SAME')) return Math.min(whole, size * stride);
    return autoPad === 'VALID' ? whole : whole - (pads[axis] ?? 0) - (pads[axis + spatial.length] ?? 0);
  });
}
