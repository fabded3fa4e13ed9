import type { Config } from 'vega-lite';
import { categoricalColours, colourStops } from './colourScales';

export type ThemeKind = 'light' | 'dark' | 'highContrast' | 'highContrastLight';

/** What a chart takes over from the editor's theme; colours as #rrggbb. */
export interface ChartTheme {
  readonly kind: ThemeKind;
  readonly foreground: string;
  readonly muted: string;
  readonly background: string;
  readonly grid: string;
  readonly font: string;
  readonly fontSize: number;
}

/** For charts that leave VS Code (the fallback in a notebook). */
export const plainTheme: ChartTheme = {
  kind: 'light',
  foreground: '#3b3b3b',
  muted: '#6b6b6b',
  background: '#ffffff',
  grid: '#e5e5e5',
  font: 'system-ui, sans-serif',
  fontSize: 12,
};

/** How every chart looks: no frame, faint grid, the editor's own font. */
export function vegaConfig(theme: ChartTheme): Config {
  const { foreground, muted, font, fontSize, grid } = theme;
  const small = fontSize - 1;
  const accent = categoricalColours(theme.kind)[0]!;
  return {
    background: 'transparent',
    font,
    padding: 4,
    view: { stroke: null },
    title: { color: foreground, fontSize, fontWeight: 600, anchor: 'start', subtitleColor: muted, subtitleFontSize: small },
    axis: {
      labelColor: muted,
      titleColor: muted,
      labelFontSize: small,
      titleFontSize: small,
      titleFontWeight: 'normal',
      gridColor: grid,
      domain: false,
      ticks: false,
      labelPadding: 6,
      titlePadding: 8,
    },
    axisY: { grid: false },
    legend: {
      labelColor: foreground,
      titleColor: muted,
      labelFontSize: small,
      titleFontSize: small,
      titleFontWeight: 'normal',
      orient: 'top',
      symbolType: 'square',
      symbolSize: 80,
      offset: 4,
    },
    bar: { color: accent },
    point: { color: accent, filled: true, size: 36, opacity: 0.8 },
    tick: { color: foreground },
    rule: { color: muted },
    range: {
      category: [...categoricalColours(theme.kind)],
      ramp: [...colourStops('sequential', theme.kind)],
      heatmap: [...colourStops('sequential', theme.kind)],
      diverging: [...colourStops('diverging', theme.kind)],
    },
  };
}
