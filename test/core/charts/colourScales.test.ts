import assert from 'node:assert';
import { categoricalColours, colourDomain, colourRamp, colourStops, parseColour, rampIndex } from '../../../src/core/charts/colourScales';
import type { ThemeKind } from '../../../src/core/charts/chartTheme';

const backgrounds: Record<ThemeKind, string> = { light: '#ffffff', dark: '#1f1f1f', highContrast: '#000000', highContrastLight: '#ffffff' };
const kinds = Object.keys(backgrounds) as ThemeKind[];

/** Simulation of the two common colour vision deficiencies: Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB. */
const deficiencies = {
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
};

describe('colour scales', () => {
  for (const theme of kinds) {
    it(`sequential in ${theme} gains contrast with the background all the way`, () => {
      const ramp = colourRamp('sequential', theme);
      const contrasts = [0, 51, 102, 153, 204, 255].map((i) => contrast(rgbAt(ramp, i), parseColour(backgrounds[theme])));
      contrasts.slice(1).forEach((value, i) => assert.ok(value > contrasts[i]! * 1.1, contrasts.map((c) => c.toFixed(2)).join(' ')));
      assert.ok(contrasts[0]! >= 1.2, `the lowest colour cannot be seen: ${contrasts[0]}`);
      assert.ok(contrasts[5]! >= 7);
    });

    it(`diverging in ${theme} has a neutral middle and sides that every eye tells apart`, () => {
      const ramp = colourRamp('diverging', theme);
      const [red, green, blue] = rgbAt(ramp, 128);
      assert.ok(Math.max(red, green, blue) - Math.min(red, green, blue) < 16, 'the middle has a hue');
      for (const matrix of Object.values(deficiencies)) {
        assert.ok(distance(simulate(rgbAt(ramp, 20), matrix), simulate(rgbAt(ramp, 235), matrix)) > 80);
      }
    });

    it(`the first four categories in ${theme} stay apart for every eye, and from the background`, () => {
      const colours = categoricalColours(theme).map(parseColour);
      assert.strictEqual(new Set(categoricalColours(theme)).size, 10);
      for (const colour of colours) assert.ok(contrast(colour, parseColour(backgrounds[theme])) >= 3, `${colour}`);
      for (const matrix of [[1, 0, 0, 0, 1, 0, 0, 0, 1], ...Object.values(deficiencies)]) {
        const seen = colours.slice(0, 4).map((colour) => simulate(colour, matrix));
        for (let i = 0; i < 4; i++) for (let j = 0; j < i; j++) assert.ok(distance(seen[i]!, seen[j]!) > 24, `${i} and ${j} look alike`);
      }
    });
  }

  it('a ramp begins and ends with its stops', () => {
    const stops = colourStops('sequential', 'dark');
    const ramp = colourRamp('sequential', 'dark');
    assert.deepStrictEqual([rgbAt(ramp, 0), rgbAt(ramp, 255)], [parseColour(stops[0]!), parseColour(stops[stops.length - 1]!)]);
  });

  it('domains: from zero, symmetric, without what is missing', () => {
    assert.deepStrictEqual(colourDomain([1, 2, NaN, 3], 'sequential'), { min: 0, max: 3, clipped: false });
    assert.deepStrictEqual(colourDomain([-1, 2], 'sequential'), { min: -1, max: 2, clipped: false });
    assert.deepStrictEqual(colourDomain([-1, 3, 2], 'diverging'), { min: -3, max: 3, clipped: false });
    assert.strictEqual(colourDomain([NaN, NaN], 'sequential'), undefined);
    assert.strictEqual(colourDomain([], 'diverging'), undefined);
  });

  it('one outlier does not flatten the rest', () => {
    const values = Array.from({ length: 1000 }, (_, i) => i / 1000);
    values[500] = 1e6;
    const domain = colourDomain(values, 'sequential')!;
    assert.ok(domain.clipped && domain.max <= 1);
    assert.strictEqual(rampIndex(1e6, domain), 255);
  });

  it('places on the ramp', () => {
    const domain = { min: -1, max: 1, clipped: false };
    assert.deepStrictEqual([-2, -1, 0, 1, 2, NaN].map((value) => rampIndex(value, domain)), [0, 0, 128, 255, 255, -1]);
    assert.strictEqual(rampIndex(0, { min: 0, max: 0, clipped: false }), 0);
  });
});

function rgbAt(ramp: Uint8Array, index: number): [number, number, number] {
  return [ramp[index * 3]!, ramp[index * 3 + 1]!, ramp[index * 3 + 2]!];
}

function linear(rgb: readonly number[]): number[] {
  return rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
}

/** WCAG 2 contrast ratio. */
function contrast(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [a, b].map((colour) => {
    const [red, green, blue] = linear(colour) as [number, number, number];
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  }) as [number, number];
  return Math.max(x, y) / Math.min(x, y);
}

function simulate(rgb: readonly number[], matrix: readonly number[]): number[] {
  const from = linear(rgb);
  return [0, 1, 2].map((row) => {
    const value = Math.max(0, Math.min(1, from.reduce((sum, part, k) => sum + matrix[row * 3 + k]! * part, 0)));
    return 255 * (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055);
  });
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}
