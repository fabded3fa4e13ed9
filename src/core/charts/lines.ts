import { chartSpec, type Chart } from './chart';
import { formatNumber } from './numberFormat';

export interface LinesInput {
  readonly x: ArrayLike<number>;
  readonly series: readonly { readonly name: string; readonly values: ArrayLike<number> }[];
  readonly xTitle: string;
  readonly valueTitle: string;
  readonly limit?: number;
}

/** Curves over one axis; of long ones evenly spread points. */
export const lines: Chart<LinesInput> = {
  name: 'lines',
  draw({ x, series, xTitle, valueTitle, limit = 600 }, options) {
    const step = Math.max(1, Math.ceil(x.length / limit));
    const values = series.flatMap(({ name, values: own }) => Array.from({ length: Math.ceil(x.length / step) }, (_, i) => ({
      series: name, x: x[i * step]!, value: own[i * step]!, text: formatNumber(own[i * step]!),
    }))).filter(({ value }) => Number.isFinite(value));
    const several = series.length > 1;
    const description = `${valueTitle} over ${xTitle}${several ? ` for ${series.map(({ name }) => name).join(', ')}` : ''}.`;
    return {
      description,
      ...(step > 1 ? { leftOut: `One of ${step} points shown.` } : {}),
      ...(values.length === 0 ? { empty: `There is no value of ${valueTitle}.` } : {}),
      spec: chartSpec(
        {
          data: { values },
          mark: { type: 'line', point: x.length <= 40 ? { size: 20 } : false, strokeWidth: 1.5 },
          encoding: {
            x: { field: 'x', type: 'quantitative', title: xTitle, scale: { zero: false, nice: false }, axis: { grid: false, tickCount: 6, format: '~g' } },
            y: { field: 'value', type: 'quantitative', title: valueTitle, scale: { zero: false }, axis: { grid: true, tickCount: 5, format: '.3~g' } },
            ...(several ? { color: { field: 'series', type: 'nominal', title: null, sort: series.map(({ name }) => name) } } : {}),
            tooltip: [
              ...(several ? [{ field: 'series', type: 'nominal', title: 'Curve' }] : []),
              { field: 'x', type: 'quantitative', title: xTitle, format: '.4~g' },
              { field: 'text', type: 'nominal', title: valueTitle },
            ],
          },
        },
        description,
        { height: 180, ...options },
      ),
    };
  },
};
