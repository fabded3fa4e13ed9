import { colourRamp, parseColour, rampIndex, type ScaleKind } from '../../src/core/charts/colourScales';
import type { Theme } from './theme';

/** A small picture made of numbers. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1: colours come from a scale; 3: red, green and blue, plane after plane. */
  readonly channels: 1 | 3;
  /** [channels, height, width] */
  readonly values: ArrayLike<number>;
}

export interface PictureScale {
  readonly scale: ScaleKind | 'grey';
  readonly min: number;
  readonly max: number;
}

/** Paints one canvas pixel a number; the style sheet enlarges it without smoothing. */
export function paintPicture(canvas: HTMLCanvasElement, picture: Picture, scale: PictureScale, theme: Theme): void {
  const { width, height, channels, values } = picture;
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const context = canvas.getContext('2d');
  if (!context || width === 0 || height === 0) return;
  const image = context.createImageData(width, height);
  const plane = width * height;
  const ramp = scale.scale === 'grey' ? undefined : colourRamp(scale.scale, theme.kind);
  const missing = parseColour(theme.grid);
  for (let i = 0; i < plane; i++) {
    const level = rampIndex(values[i] ?? NaN, { min: scale.min, max: scale.max, clipped: false });
    let rgb: ArrayLike<number>;
    if (level < 0) rgb = missing;
    else if (channels === 3) rgb = [0, 1, 2].map((k) => Math.max(0, rampIndex(values[k * plane + i]!, { ...scale, clipped: false })));
    else if (ramp) rgb = ramp.subarray(level * 3, level * 3 + 3);
    else rgb = [level, level, level];
    image.data.set([rgb[0]!, rgb[1]!, rgb[2]!, 255], i * 4);
  }
  context.putImageData(image, 0, 0);
}

/** Smallest and largest finite number; [0, 0] when there is none. */
export function extent(values: ArrayLike<number>): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return min > max ? { min: 0, max: 0 } : { min, max };
}
