import type { TopLevelSpec } from 'vega-lite';
import type { ColumnInfo } from '../particles/particleTable';
import { plainTheme, vegaConfig, type ChartTheme } from './chartTheme';

/**
 * One way to draw columns: a pure function from numbers to a Vega-Lite specification. One file each, one register line
 * in registry.ts. Only what Vega-Lite 5 knows already is used, so that a notebook without Particlize can draw it too.
 */
export interface Chart<Input> {
  /** camelCase: what a notebook output's `kind` and an exported file say. */
  readonly name: string;
  draw(input: Input, options?: ChartOptions): ChartResult;
}

export interface ChartOptions {
  readonly theme?: ChartTheme;
  /** Pixels; 'container' follows the element it is in. */
  readonly width?: number | 'container';
  readonly height?: number;
  /** Vega-Lite version named in `$schema`; 5 for VS Code's and Jupyter's own renderers. */
  readonly schema?: 5 | 6;
}

export interface ChartResult {
  readonly spec: TopLevelSpec;
  /** What the chart shows, in one sentence, for those who cannot see it. */
  readonly description: string;
  /** What was left out, when something was: '500 of 12 000 particles shown'. */
  readonly leftOut?: string;
  /** Nothing to draw: the sentence to show instead. */
  readonly empty?: string;
}

/** A column as charts need it. */
export type ChartColumn = Pick<ColumnInfo, 'name' | 'title' | 'unit'> &
  Partial<Pick<ColumnInfo, 'meaning' | 'scale' | 'additive'>> & { readonly values: ArrayLike<number> };

/** Axis title of a column: 'L2 norm', 'Contribution (logit)'. */
export function axisTitle(column: Pick<ColumnInfo, 'title' | 'unit'>): string {
  return column.unit ? `${column.title} (${column.unit})` : column.title;
}

/** d3-format of an axis over these values: 0.02, 513, 2.5k. */
export function axisFormat(values: readonly (number | undefined)[]): string {
  return values.some((value) => value !== undefined && Math.abs(value) >= 1e3) ? '.3~s' : '.3~g';
}

/** A specification with everything that all charts share. */
export function chartSpec(parts: object, description: string, options: ChartOptions = {}): TopLevelSpec {
  return {
    $schema: `https://vega.github.io/schema/vega-lite/v${options.schema ?? 6}.json`,
    description,
    width: options.width ?? 'container',
    ...(options.height === undefined ? {} : { height: options.height }),
    autosize: { type: 'fit', contains: 'padding', resize: true },
    config: vegaConfig(options.theme ?? plainTheme),
    ...parts,
  } as TopLevelSpec;
}

export interface Thinned {
  readonly rows: readonly number[];
  readonly leftOut?: string;
}

/** At most `limit` rows, evenly spread, always the same ones; says what was left out. */
export function thinOut(rows: readonly number[], limit: number): Thinned {
  if (rows.length <= limit) return { rows };
  const step = rows.length / limit;
  const kept = Array.from({ length: limit }, (_, i) => rows[Math.floor(i * step)]!);
  return { rows: kept, leftOut: `${grouped(limit)} of ${grouped(rows.length)} particles shown, evenly spread.` };
}

/** 12 345, with narrow spaces. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}
