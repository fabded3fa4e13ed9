import { chartSpec, type Chart } from './chart';
import { particleName, type ParticleLayer } from './particleLayers';

export interface PointsInput {
  readonly rows: ArrayLike<number>;
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  /** Cluster of each point; those of one are coloured alike. */
  readonly clusters?: ArrayLike<number>;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly layers: readonly ParticleLayer[];
  readonly selected?: ReadonlySet<number>;
}

/** Particles on a plane whose axes only say what is near what; each datum holds `row`. */
export const points: Chart<PointsInput> = {
  name: 'points',
  draw({ rows, x, y, clusters, xTitle, yTitle, layers, selected }, options) {
    const values = Array.from({ length: rows.length }, (_, i) => ({
      row: rows[i]!, particle: particleName(layers, rows[i]!), x: x[i]!, y: y[i]!,
      cluster: clusters?.[i] ?? 0, selected: selected?.has(rows[i]!) ?? false,
    })).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
    const count = new Set(values.map(({ cluster }) => cluster)).size;
    const description = `${values.length} particles on a plane${clusters ? `, in ${count} clusters` : ''}.`;
    const axis = { grid: true, labels: false, tickCount: 5 };
    const ring = options?.theme?.foreground ?? '#000000';
    return {
      description,
      ...(values.length === 0 ? { empty: 'No particle has a place here.' } : {}),
      spec: chartSpec(
        {
          data: { values },
          mark: { type: 'point', filled: true, cursor: 'pointer', strokeWidth: 2 },
          encoding: {
            x: { field: 'x', type: 'quantitative', title: xTitle, scale: { zero: false }, axis },
            y: { field: 'y', type: 'quantitative', title: yTitle, scale: { zero: false }, axis },
            // Singles are many; colours beyond ten repeat, which a legend would only make worse.
            ...(clusters && count > 1 ? { color: { field: 'cluster', type: 'nominal', legend: null } } : {}),
            stroke: { condition: { test: 'datum.selected', value: ring }, value: null },
            size: { condition: { test: 'datum.selected', value: 90 }, value: 40 },
            tooltip: [{ field: 'particle', type: 'nominal', title: 'Particle' }, ...(clusters ? [{ field: 'cluster', type: 'nominal', title: 'Cluster' }] : [])],
          },
        },
        description,
        { height: 260, ...options },
      ),
    };
  },
};
