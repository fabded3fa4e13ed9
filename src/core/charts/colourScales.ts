import type { ColumnInfo } from '../particles/particleTable';
import type { ThemeKind } from './chartTheme';

export type ScaleKind = ColumnInfo['scale'];

/**
 * Colours from the low end to the high one. Sequential ramps start near the background and gain contrast evenly, so
 * that little looks like little; diverging ones run from blue over a neutral middle to orange, a pair that every
 * common colour vision tells apart.
 */
export function colourStops(scale: ScaleKind, theme: ThemeKind): readonly string[] {
  if (scale === 'categorical') return categoricalColours(theme);
  return scale === 'diverging' ? diverging[theme] : sequential[theme];
}

/**
 * Ten colours for layers and classes: Okabe and Ito's set (2008) and three more, made darker or lighter to suit the
 * background. The first ones differ most.
 */
export function categoricalColours(theme: ThemeKind): readonly string[] {
  return isLight(theme) ? categoricalLight : categoricalDark;
}

/** 256 colours of a ramp, three bytes each, mixed in Oklab so that steps look even. */
export function colourRamp(scale: ScaleKind, theme: ThemeKind): Uint8Array {
  const key = `${scale} ${theme}`;
  let ramp = ramps.get(key);
  if (!ramp) ramps.set(key, (ramp = buildRamp(colourStops(scale, theme))));
  return ramp;
}

/** Where a column's colours begin and end. `clipped`: a few values lie beyond `max` and share its colour. */
export interface ColourDomain {
  readonly min: number;
  readonly max: number;
  readonly clipped: boolean;
}

/**
 * The range to spread a ramp over, or undefined when no value is finite. Sequential ones start at zero unless values are
 * negative; diverging ones are symmetric. A handful of outliers (a hundredth) does not flatten everything else.
 */
export function colourDomain(values: ArrayLike<number>, scale: ScaleKind): ColourDomain | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return undefined;
  if (scale === 'categorical') return { min: low, max: high, clipped: false };
  const sizes = scale === 'diverging';
  const most = sizes ? Math.max(Math.abs(low), Math.abs(high)) : high;
  const { max, clipped } = withoutOutliers(sample(values, sizes), most);
  if (sizes) return { min: -max, max, clipped };
  return { min: low < 0 ? low : 0, max: Math.max(max, low < 0 ? low : 0), clipped };
}

/** Position of a value on a ramp, 0 to 255; -1 where there is no value. */
export function rampIndex(value: number, domain: ColourDomain): number {
  if (Number.isNaN(value)) return -1;
  const span = domain.max - domain.min;
  if (span <= 0) return domain.min < 0 || domain.max <= 0 ? 0 : 255;
  return Math.max(0, Math.min(255, Math.round(((value - domain.min) / span) * 255)));
}

/** [red, green, blue] of #rrggbb, each 0 to 255. */
export function parseColour(colour: string): [number, number, number] {
  const number = Number.parseInt(colour.slice(1, 7), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

export function isLight(theme: ThemeKind): boolean {
  return theme === 'light' || theme === 'highContrastLight';
}

type Ramps = Readonly<Record<ThemeKind, readonly string[]>>;

const sequential: Ramps = {
  light: ['#dde8ea', '#a8d2d2', '#64b2bb', '#3489ae', '#2a5b98', '#1c2f68'],
  dark: ['#30383f', '#2d5468', '#2b7c8b', '#4fa893', '#a3cf7e', '#f6eb8f'],
  highContrast: ['#3a3f47', '#2f5f86', '#2f90a8', '#5cc2a0', '#bfe37c', '#fff9b0'],
  highContrastLight: ['#cfdadd', '#93c3c7', '#4a9fae', '#22739e', '#1b4686', '#0c1850'],
};

const diverging: Ramps = {
  light: ['#1b4f8f', '#5b93c6', '#b3cfe3', '#e3e3df', '#f0c493', '#d9833a', '#95450b'],
  dark: ['#8cc4ff', '#4a90d0', '#2f5a85', '#3b3e43', '#7d5530', '#cf8440', '#ffc07d'],
  highContrast: ['#a3d2ff', '#5aa3e6', '#2f6699', '#44474d', '#8f5f30', '#e69648', '#ffd09a'],
  highContrastLight: ['#0b3672', '#3f7ab5', '#9dbfda', '#d6d6d2', '#e8b077', '#bf6a1f', '#733102'],
};

const categoricalLight = ['#0072b2', '#c4560a', '#00835f', '#b4568c', '#8a6d00', '#3f8fc4', '#5d4fa3', '#6b6b6b', '#a3302a', '#6d8f1f'];
const categoricalDark = ['#56b4e9', '#e69f00', '#2fbf94', '#e58fc0', '#f0e442', '#6f9fe8', '#b5a3f0', '#b8b8b8', '#ff9c8a', '#b9d36b'];

const ramps = new Map<string, Uint8Array>();

/** The largest, or the 99th percentile when what lies above it is more than three times as large; `sorted` ascending. */
function withoutOutliers(sorted: Float64Array, max: number): { max: number; clipped: boolean } {
  const usual = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))]!;
  return usual > 0 && max > 3 * usual ? { max: usual, clipped: true } : { max, clipped: false };
}

/** Finite values (or their magnitudes) in order: all of them, or evenly spread ones of a million, which sorting would take long. */
function sample(values: ArrayLike<number>, magnitudes: boolean): Float64Array {
  const step = Math.max(1, Math.floor(values.length / mostSorted));
  const found = new Float64Array(Math.ceil(values.length / step));
  let count = 0;
  for (let i = 0; i < values.length; i += step) {
    const value = values[i]!;
    if (Number.isFinite(value)) found[count++] = magnitudes ? Math.abs(value) : value;
  }
  // So few values among so many places that none was hit: then all are looked at.
  if (count === 0) return Float64Array.from(Array.from(values).filter(Number.isFinite), (value) => (magnitudes ? Math.abs(value) : value)).sort();
  return found.subarray(0, count).sort();
}

const mostSorted = 65_536;

function buildRamp(stops: readonly string[]): Uint8Array {
  const points = stops.map((stop) => toOklab(parseColour(stop)));
  const ramp = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const position = (i / 255) * (points.length - 1);
    const index = Math.min(points.length - 2, Math.floor(position));
    const from = points[index]!;
    const to = points[index + 1]!;
    const part = position - index;
    ramp.set(fromOklab(from.map((value, k) => value + (to[k]! - value) * part)), i * 3);
  }
  return ramp;
}

/** Oklab: Björn Ottosson, "A perceptual color space for image processing" (2020). */
function toOklab(rgb: readonly number[]): number[] {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab(lab: readonly number[]): number[] {
  const [lightness, a, b] = lab as [number, number, number];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => {
    const clamped = Math.max(0, Math.min(1, value));
    const encoded = clamped <= 0.0031308 ? clamped * 12.92 : 1.055 * clamped ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255);
  });
}
