/** Colours of a chart inside a hover, which cannot see the theme's own. */
export interface HistogramColours {
  readonly bar: string;
  /** Of values that say: not needed. */
  readonly low: string;
  readonly text: string;
}

export interface Histogram {
  readonly values: ArrayLike<number>;
  /** At or below this a particle does no good, where the column has such a limit. */
  readonly limit?: number;
}

const [width, height, base, bins] = [280, 84, 66, 24] as const;

/** A small bar chart of how a layer's values are spread, as SVG. */
export function histogramSvg({ values, limit }: Histogram, format: (value: number) => string, colours: HistogramColours): string {
  const known = Array.from(values).filter(Number.isFinite);
  const [low, high] = known.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  const counts = new Array<number>(bins).fill(0);
  const span = high - low || 1;
  for (const value of known) counts[Math.min(bins - 1, Math.floor(((value - low) / span) * bins))]!++;
  const tallest = Math.max(1, ...counts);
  const step = width / bins;
  const bars = counts.map((count, index) => {
    if (count === 0) return '';
    // The root keeps a bar of one visible beside one of hundreds.
    const tall = Math.max(2, Math.sqrt(count / tallest) * (base - 8));
    const isLow = limit !== undefined && low + ((index + 0.5) / bins) * span <= limit;
    return `<rect x="${(index * step + 1).toFixed(1)}" y="${(base - tall).toFixed(1)}" width="${(step - 2).toFixed(1)}" height="${tall.toFixed(1)}" fill="${isLow ? colours.low : colours.bar}"/>`;
  });
  const label = (x: number, anchor: string, value: number): string =>
    `<text x="${x}" y="${height - 4}" text-anchor="${anchor}" font-family="sans-serif" font-size="11" fill="${colours.text}">${escaped(format(value))}</text>`;
  const ends = known.length === 0 ? '' : label(1, 'start', low) + label(width - 1, 'end', high);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${bars.join('')}` +
    `<line x1="0" y1="${base}.5" x2="${width}" y2="${base}.5" stroke="${colours.text}" stroke-opacity="0.5"/>${ends}</svg>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
