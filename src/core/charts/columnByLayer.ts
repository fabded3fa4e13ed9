import { axisTitle, chartSpec, type Chart, type ChartColumn } from './chart';
import { formatNumber } from './numberFormat';
import type { ParticleLayer } from './particleLayers';

export interface ColumnByLayerInput {
  readonly column: ChartColumn;
  readonly layers: readonly ParticleLayer[];
  readonly title?: string;
  readonly limit?: number;
}

/** How a column spreads in each layer: smallest to largest as a line, the middle half as a bar, the median as a tick. */
export const columnByLayer: Chart<ColumnByLayerInput> = {
  name: 'columnByLayer',
  draw({ column, layers, title, limit = 40 }, options) {
    const filled = layers.map((layer) => spread(column, layer)).filter((entry) => entry !== undefined);
    const values = filled.slice(0, limit);
    const y = { field: 'layer', type: 'nominal', sort: null, title: null, axis: { labelLimit: 160 } };
    const tooltip = [
      { field: 'layer', type: 'nominal', title: 'Layer' },
      { field: 'text', type: 'nominal', title: axisTitle(column) },
    ];
    const description = `${column.title} in each of ${values.length} layers: smallest, quartiles and largest.`;
    const empty = `No particle here has a value of ${column.title}.`;
    return {
      description: values.length === 0 ? empty : description,
      ...(filled.length > limit ? { leftOut: `The first ${limit} of ${filled.length} layers shown.` } : {}),
      ...(values.length === 0 ? { empty } : {}),
      spec: chartSpec(
        {
          ...(title ? { title } : {}),
          data: { values },
          height: { step: 22 },
          autosize: { type: 'fit-x', contains: 'padding' },
          encoding: { y, tooltip },
          layer: [
            {
              mark: { type: 'rule' },
              encoding: {
                x: { field: 'low', type: 'quantitative', title: axisTitle(column), scale: { zero: false }, axis: { grid: true, tickCount: 5 } },
                x2: { field: 'high' },
              },
            },
            { mark: { type: 'bar', height: 10 }, encoding: { x: { field: 'lower', type: 'quantitative' }, x2: { field: 'upper' } } },
            { mark: { type: 'tick', size: 14, thickness: 2 }, encoding: { x: { field: 'median', type: 'quantitative' } } },
          ],
        },
        description,
        options,
      ),
    };
  },
};

function spread(column: ChartColumn, layer: ParticleLayer) {
  const values: number[] = [];
  for (let i = 0; i < layer.count; i++) {
    const value = column.values[layer.firstRow + i];
    if (value !== undefined && Number.isFinite(value)) values.push(value);
  }
  if (values.length === 0) return undefined;
  values.sort((a, b) => a - b);
  const [low, lower, median, upper, high] = [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(values, share)) as
    [number, number, number, number, number];
  const text = `median ${formatNumber(median)}, from ${formatNumber(low)} to ${formatNumber(high)}`;
  return { layer: layer.name, low, lower, median, upper, high, text };
}

/** Linear interpolation between neighbours, as numpy's default. `sorted` is not empty. */
function quantile(sorted: readonly number[], share: number): number {
  const position = share * (sorted.length - 1);
  const index = Math.floor(position);
  const low = sorted[index]!;
  return low + ((sorted[index + 1] ?? low) - low) * (position - index);
}
