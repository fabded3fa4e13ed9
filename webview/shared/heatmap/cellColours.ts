import {
  categoricalColours,
  colourDomain,
  colourRamp,
  parseColour,
  rampIndex,
  type ColourDomain,
  type ScaleKind,
} from '../../../src/core/charts/colourScales';
import type { ParticleLayer } from '../../../src/core/charts/particleLayers';
import type { Theme } from '../theme';
import type { CellColours } from './painter';

export interface Colouring {
  /** One a row, 0xAABBGGRR; alpha 0 where there is no value. */
  readonly colours: CellColours;
  /** Undefined when no value is finite, and when each layer has its own. */
  readonly domain?: ColourDomain;
  readonly missing: number;
}

export interface ColouringInput {
  readonly values: Float32Array;
  readonly scale: ScaleKind;
  readonly layers: readonly ParticleLayer[];
  /** Each layer spreads over the whole ramp, so that small differences inside a layer show. */
  readonly withinLayers?: boolean;
  /** Rows to fade: what a search did not find. */
  readonly faded?: (row: number) => boolean;
}

/** Colours of all cells for one column. */
export function colourCells({ values, scale, layers, withinLayers, faded }: ColouringInput, theme: Theme): Colouring {
  const colours = new Uint32Array(values.length);
  const background = parseColour(theme.background);
  const palette = scale === 'categorical' ? categoricalColours(theme.kind).map(parseColour) : undefined;
  const ramp = colourRamp(scale, theme.kind);
  const whole = colourDomain(values, scale);
  let missing = 0;
  for (const layer of layers) {
    const from = layer.firstRow;
    const to = Math.min(values.length, from + layer.count);
    const domain = withinLayers ? colourDomain(values.subarray(from, to), scale) : whole;
    for (let row = from; row < to; row++) {
      const value = values[row]!;
      if (!domain || Number.isNaN(value)) {
        missing++;
        continue;
      }
      let red: number, green: number, blue: number;
      if (palette) {
        [red, green, blue] = palette[Math.abs(Math.round(value)) % palette.length]!;
      } else {
        const at = rampIndex(value, domain) * 3;
        red = ramp[at]!;
        green = ramp[at + 1]!;
        blue = ramp[at + 2]!;
      }
      if (faded?.(row)) {
        red = fade(red, background[0]);
        green = fade(green, background[1]);
        blue = fade(blue, background[2]);
      }
      colours[row] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }
  }
  return { colours, missing, ...(whole && !withinLayers ? { domain: whole } : {}) };
}

function fade(value: number, background: number): number {
  return Math.round(background + (value - background) * 0.16);
}
