import type { TextData } from '../../src/core/behaviour/details/detailData';
import { colourRamp, rampIndex } from '../../src/core/charts/colourScales';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { fill, h, uniqueId } from '../shared/dom';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';
import type { Theme } from '../shared/theme';

/** A sequence whose tokens are coloured by one of its series, which can be chosen. */
export function colouredText({ tokens, series, valueTitle }: TextData, theme: Theme): HTMLElement {
  const id = uniqueId('series');
  const text = h('div', { class: 'coloured-text', tabIndex: 0, attributes: { role: 'group', 'aria-label': valueTitle } });
  const note = h('p', { class: 'note' });
  const show = (index: number): void => {
    const values = series[index]?.values ?? new Float32Array(tokens.length);
    const { min, max } = extent(values);
    const most = Math.max(Math.abs(min), Math.abs(max)) || 1;
    const diverging = min < 0;
    const ramp = colourRamp(diverging ? 'diverging' : 'sequential', theme.kind);
    const shown = Math.min(tokens.length, mostTokens);
    const parts = Array.from({ length: shown }, (_, i) => {
      const token = h('span', { class: 'token', title: `${tokens[i]!.trim() || visible(tokens[i]!)}: ${formatNumber(values[i]!)}` }, visible(tokens[i]!));
      const at = rampIndex(values[i]!, { min: diverging ? -most : 0, max: most, clipped: false });
      if (at >= 0) {
        const [red, green, blue] = [ramp[at * 3]!, ramp[at * 3 + 1]!, ramp[at * 3 + 2]!];
        token.style.backgroundColor = `rgb(${red} ${green} ${blue})`;
        // Whichever of black and white contrasts more (relative luminance, WCAG 2).
        token.style.color = luminance(red, green, blue) > 0.179 ? '#000000' : '#ffffff';
      }
      return token;
    });
    fill(text, ...parts);
    note.textContent = [`${valueTitle}: ${formatNumber(diverging ? -most : 0)} – ${formatNumber(most)}.`, shown < tokens.length ? strings.shownOf(shown, tokens.length) : ''].filter(Boolean).join(' ');
  };
  const select = h('select', { id, on: { change: () => show(Number(select.value)) } }, ...series.map(({ name }, i) => h('option', { value: String(i) }, name)));
  show(0);
  return h('div', {}, series.length > 1 ? h('div', { class: 'field inline' }, h('label', { htmlFor: id }, strings.curve), select) : null, text, note);
}

const mostTokens = 2000;

function visible(token: string): string {
  return token.replace(/\n/g, '↵').replace(/^$/, '∅');
}

function luminance(...rgb: readonly number[]): number {
  const [red, green, blue] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}
