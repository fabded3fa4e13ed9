import { axisTitle, chartSpec, grouped, type Chart, type ChartColumn } from './chart';
import { formatNumber } from './numberFormat';
import { layerIndexAt, type ParticleLayer } from './particleLayers';

export interface DistributionInput {
  readonly column: ChartColumn;
  /** Bars are split by layer when there are several (and no more than eight). */
  readonly layers: readonly ParticleLayer[];
  /** Rows to count; all rows of the layers when left out. */
  readonly rows?: readonly number[];
  readonly title?: string;
  readonly bins?: number;
}

/** How often which value occurs: a histogram, counted here so that a million particles cost thirty bars. */
export const distribution: Chart<DistributionInput> = {
  name: 'distribution',
  draw({ column, layers, rows, title, bins = 30 }, options) {
    const { bars, counted, missing, low, high } = count(column, layers, rows ?? rowsOf(layers), bins);
    const axis = axisTitle(column);
    const description = `Distribution of ${column.title} over ${grouped(counted)} particles, from ${formatNumber(low)} to ${formatNumber(high)}.`;
    const several = layers.length > 1 && layers.length <= maxSplit;
    return {
      description: counted === 0 ? nothing(column) : description,
      ...(missing > 0 ? { leftOut: missing === 1 ? '1 particle has no value.' : `${grouped(missing)} particles have no value.` } : {}),
      ...(counted === 0 ? { empty: nothing(column) } : {}),
      spec: chartSpec(
        {
          ...(title ? { title } : {}),
          data: { values: bars },
          mark: { type: 'bar', tooltip: true, binSpacing: 1 },
          encoding: {
            x: { field: 'from', type: 'quantitative', bin: 'binned', scale: { zero: false, nice: false, padding: 2 }, title: axis, axis: { grid: false, tickCount: 6 } },
            x2: { field: 'to' },
            y: { field: 'count', type: 'quantitative', stack: 'zero', title: 'Particles', axis: { grid: true, tickMinStep: 1, tickCount: 4 } },
            ...(several
              ? { color: { field: 'layer', type: 'nominal', title: null, sort: layers.map((layer) => layer.name) } }
              : {}),
            tooltip: [
              { field: 'range', type: 'nominal', title: axis },
              { field: 'count', type: 'quantitative', title: 'Particles' },
              ...(several ? [{ field: 'layer', type: 'nominal', title: 'Layer' }] : []),
            ],
          },
        },
        description,
        { height: 160, ...options },
      ),
    };
  },
};

/** More layers than there are colours are drawn as one. */
const maxSplit = 8;

interface Bar {
  from: number;
  to: number;
  range: string;
  count: number;
  layer: string;
}

function count(column: ChartColumn, layers: readonly ParticleLayer[], rows: readonly number[], wanted: number) {
  const kept = rows.filter((row) => Number.isFinite(column.values[row]));
  let low = Infinity;
  let high = -Infinity;
  for (const row of kept) {
    low = Math.min(low, column.values[row]!);
    high = Math.max(high, column.values[row]!);
  }
  const missing = rows.length - kept.length;
  if (kept.length === 0) return { bars: [] as Bar[], counted: 0, missing, low: NaN, high: NaN };
  const bins = low === high ? 1 : Math.min(wanted, Math.max(5, Math.ceil(Math.sqrt(kept.length) * 2)));
  // One value only still needs a bar with some width.
  const start = low === high ? low - (Math.abs(low) || 1) / 2 : low;
  const width = low === high ? Math.abs(low) || 1 : (high - low) / bins;
  const split = layers.length > 1 && layers.length <= maxSplit;
  const counts = new Map<string, Uint32Array>();
  for (const row of kept) {
    const layer = split ? (layers[layerIndexAt(layers, row)]?.name ?? '') : '';
    let mine = counts.get(layer);
    if (!mine) counts.set(layer, (mine = new Uint32Array(bins)));
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((column.values[row]! - start) / width)));
    mine[bin] = mine[bin]! + 1;
  }
  const bars: Bar[] = [];
  for (const [layer, mine] of counts) {
    mine.forEach((number, bin) => {
      if (number === 0) return;
      const from = start + bin * width;
      const to = from + width;
      bars.push({ from, to, range: `${formatNumber(from)} to ${formatNumber(to)}`, count: number, layer });
    });
  }
  return { bars, counted: kept.length, missing, low, high };
}

function rowsOf(layers: readonly ParticleLayer[]): number[] {
  return layers.flatMap((layer) => Array.from({ length: layer.count }, (_, i) => layer.firstRow + i));
}

function nothing(column: ChartColumn): string {
  return `No particle here has a value of ${column.title}.`;
}
