import { chartSpec, type Chart, type ChartColumn } from './chart';
import { formatCount, formatNumber, formatPercent } from './numberFormat';
import type { ParticleLayer } from './particleLayers';

export interface LayerCost {
  readonly name: string;
  readonly parameters: number;
  readonly macs?: number;
  readonly particles?: Pick<ParticleLayer, 'count' | 'firstRow'>;
}

export interface CostByLayerInput {
  readonly layers: readonly LayerCost[];
  /** What the cost is held against: the layer's share of this column's absolute sum. */
  readonly importance?: ChartColumn;
  readonly title?: string;
  readonly limit?: number;
}

/**
 * What each layer costs and what it is worth: its share of parameters, of MACs and of a column. Layers whose cost
 * is larger than their worth are where to look first.
 */
export const costByLayer: Chart<CostByLayerInput> = {
  name: 'costByLayer',
  draw({ layers, importance, title, limit = 24 }, options) {
    const costly = layers.filter((layer) => layer.parameters > 0 || (layer.macs ?? 0) > 0 || layer.particles);
    const shown = [...costly].sort((a, b) => weight(b) - weight(a)).slice(0, limit);
    const kept = costly.filter((layer) => shown.includes(layer));
    const measures = measuresOf(costly, importance);
    const values = kept.flatMap((layer) =>
      measures.map(({ measure, of, total, format }) => {
        const value = of(layer);
        const share = total > 0 && Number.isFinite(value) ? value / total : 0;
        return { layer: layer.name, measure, share, text: `${format(value)} (${formatPercent(share)})` };
      }),
    );
    const names = measures.map(({ measure }) => measure);
    const description = `Share of ${names.join(', ')} by layer, for ${kept.length} layers.`;
    const empty = 'No layer of this model has parameters or known costs.';
    return {
      description: kept.length === 0 ? empty : description,
      ...(kept.length < costly.length ? { leftOut: `The ${kept.length} most expensive of ${costly.length} layers shown.` } : {}),
      ...(kept.length === 0 ? { empty } : {}),
      spec: chartSpec(
        {
          ...(title ? { title } : {}),
          data: { values },
          // A fixed step keeps bars equally thick however many layers there are.
          height: { step: measures.length > 2 ? 9 : 11 },
          autosize: { type: 'fit-x', contains: 'padding' },
          mark: { type: 'bar', height: { band: 0.9 }, cornerRadiusEnd: 2 },
          encoding: {
            x: { field: 'share', type: 'quantitative', title: null, axis: { format: '.0%', grid: true, tickCount: 5 } },
            y: { field: 'layer', type: 'nominal', sort: null, title: null, axis: { labelLimit: 160 }, scale: { paddingInner: 0.25 } },
            yOffset: { field: 'measure', sort: names },
            color: { field: 'measure', type: 'nominal', sort: names, title: null },
            tooltip: [
              { field: 'layer', type: 'nominal', title: 'Layer' },
              { field: 'measure', type: 'nominal', title: 'Measure' },
              { field: 'text', type: 'nominal', title: 'Value' },
            ],
          },
        },
        description,
        options,
      ),
    };
  },
};

interface Measure {
  readonly measure: string;
  readonly of: (layer: LayerCost) => number;
  readonly total: number;
  readonly format: (value: number) => string;
}

function measuresOf(layers: readonly LayerCost[], importance: ChartColumn | undefined): Measure[] {
  const measure = (name: string, of: Measure['of'], format: Measure['format']): Measure => ({
    measure: name,
    of,
    format,
    total: layers.reduce((sum, layer) => sum + (of(layer) || 0), 0),
  });
  const measures = [
    measure('Parameters', (layer) => layer.parameters, formatCount),
    measure('MACs', (layer) => layer.macs ?? NaN, formatCount),
  ];
  const own = importance && !['parameters', 'macs'].includes(importance.name);
  if (own) measures.push(measure(importance.title, (layer) => absoluteSum(layer, importance), (value) => formatNumber(value, importance.unit)));
  // A measure nobody knows (MACs of dynamic sizes) would be an empty row in each layer.
  return measures.filter(({ total }) => total > 0);
}

function absoluteSum(layer: LayerCost, column: ChartColumn): number {
  if (!layer.particles) return NaN;
  let sum = 0;
  for (let i = 0; i < layer.particles.count; i++) {
    const value = column.values[layer.particles.firstRow + i];
    if (value !== undefined && Number.isFinite(value)) sum += Math.abs(value);
  }
  return sum;
}

function weight(layer: LayerCost): number {
  return Math.max(layer.macs ?? 0, layer.parameters);
}
