import { axisFormat, axisTitle, chartSpec, grouped, thinOut, type Chart, type ChartColumn } from './chart';
import { layerIndexAt, particleName, type ParticleLayer } from './particleLayers';

export interface ScatterInput {
  readonly x: ChartColumn;
  readonly y: ChartColumn;
  readonly layers: readonly ParticleLayer[];
  /** Rows to draw; all rows of the layers when left out. */
  readonly rows?: readonly number[];
  /** Rows drawn with a ring. */
  readonly selected?: ReadonlySet<number>;
  readonly title?: string;
  readonly limit?: number;
}

/** One point a particle, one column against another; each datum holds `row`, so that a click can select it. */
export const scatter: Chart<ScatterInput> = {
  name: 'scatter',
  draw({ x, y, layers, rows, selected, title, limit = 2000 }, options) {
    const all = rows ?? layers.flatMap((layer) => Array.from({ length: layer.count }, (_, i) => layer.firstRow + i));
    const drawable = all.filter((row) => Number.isFinite(x.values[row]) && Number.isFinite(y.values[row]));
    const thinned = thinOut(drawable, limit);
    const missing = all.length - drawable.length;
    const leftOut = [thinned.leftOut, missing > 0 ? `${missing === 1 ? '1 particle lacks' : `${grouped(missing)} particles lack`} a value.` : undefined].filter(Boolean);
    const names = layers.map((layer) => layer.name);
    const several = layers.length > 1 && layers.length <= 8;
    const values = thinned.rows.map((row) => ({
      row,
      particle: particleName(layers, row),
      layer: names[layerIndexAt(layers, row)] ?? '',
      x: x.values[row],
      y: y.values[row],
      selected: selected?.has(row) ?? false,
    }));
    const description = `${y.title} against ${x.title} of ${grouped(values.length)} particles.`;
    const empty = `No particle here has values of both ${x.title} and ${y.title}.`;
    const ring = options?.theme?.foreground ?? '#000000';
    return {
      description: values.length === 0 ? empty : description,
      ...(leftOut.length > 0 ? { leftOut: leftOut.join(' ') } : {}),
      ...(values.length === 0 ? { empty } : {}),
      spec: chartSpec(
        {
          ...(title ? { title } : {}),
          data: { values },
          mark: { type: 'point', filled: true, cursor: 'pointer', strokeWidth: 2 },
          encoding: {
            x: { field: 'x', type: 'quantitative', title: axisTitle(x), scale: { zero: false, nice: true }, axis: { grid: true, tickCount: 5, format: axisFormat(values.map((point) => point.x)) } },
            y: { field: 'y', type: 'quantitative', title: axisTitle(y), scale: { zero: false, nice: true }, axis: { grid: true, tickCount: 5, format: axisFormat(values.map((point) => point.y)) } },
            ...(several ? { color: { field: 'layer', type: 'nominal', title: null, sort: names } } : {}),
            stroke: { condition: { test: 'datum.selected', value: ring }, value: null },
            size: { condition: { test: 'datum.selected', value: 90 }, value: 36 },
            tooltip: [
              { field: 'particle', type: 'nominal', title: 'Particle' },
              { field: 'x', type: 'quantitative', title: axisTitle(x), format: '.3~g' },
              { field: 'y', type: 'quantitative', title: axisTitle(y), format: '.3~g' },
            ],
          },
        },
        description,
        { height: 220, ...options },
      ),
    };
  },
};
