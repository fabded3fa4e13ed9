import { colourStops, type ColourDomain, type ScaleKind } from '../../src/core/charts/colourScales';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { fill, h } from './dom';
import { paintPicture } from './picture';
import { strings } from './strings';
import type { Theme } from './theme';

export interface LegendInput {
  readonly title: string;
  readonly unit: string;
  readonly scale: ScaleKind;
  /** Undefined: each layer has its own range. */
  readonly domain?: ColourDomain;
  readonly missing: number;
}

/** What the colours of a map mean: the ramp with its ends, and the cell without a value. */
export class Legend {
  readonly element = h('div', { class: 'legend', attributes: { role: 'group', 'aria-label': strings.legend } });

  show({ title, unit, scale, domain, missing }: LegendInput, theme: Theme): void {
    fill(
      this.element,
      h('span', { class: 'legend-title' }, title),
      ...(scale === 'categorical' ? swatches(domain, theme) : this.ramp(scale, unit, domain, theme)),
      missing > 0 ? h('span', { class: 'legend-missing' }, h('span', { class: 'missing-swatch' }), strings.missingCount(missing)) : null,
    );
  }

  private ramp(scale: ScaleKind, unit: string, domain: ColourDomain | undefined, theme: Theme): HTMLElement[] {
    const bar = h('canvas', { class: 'legend-ramp', attributes: { 'aria-hidden': 'true' } });
    const steps = Float32Array.from({ length: 128 }, (_, i) => i / 127);
    paintPicture(bar, { width: 128, height: 1, channels: 1, values: steps }, { scale, min: 0, max: 1 }, theme);
    if (!domain) return [bar, h('span', { class: 'muted' }, strings.perLayerLegend)];
    const ends = { low: formatNumber(domain.min, unit), high: formatNumber(domain.max, unit) };
    const clippedLow = domain.clipped && scale === 'diverging';
    return [
      h('span', { class: 'legend-end' }, clippedLow ? `≤ ${ends.low}` : ends.low),
      bar,
      h('span', { class: 'legend-end' }, domain.clipped ? `≥ ${ends.high}` : ends.high),
    ];
  }
}

/** Each number with its colour; as many as there are colours. */
function swatches(domain: ColourDomain | undefined, theme: Theme): HTMLElement[] {
  const colours = colourStops('categorical', theme.kind);
  const from = Math.max(0, Math.round(domain?.min ?? 0));
  const count = domain ? Math.min(colours.length, Math.round(domain.max) - from + 1) : colours.length;
  return Array.from({ length: count }, (_, i) => {
    const swatch = h('span', { class: 'swatch' });
    swatch.style.backgroundColor = colours[(from + i) % colours.length]!;
    return h('span', { class: 'legend-category' }, swatch, String(from + i));
  });
}
