import type { DetailData, PairsData, SamplesData } from '../../src/core/behaviour/details/detailData';
import { charts } from '../../src/core/charts/registry';
import type { ChartResult } from '../../src/core/charts/chart';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName, type ParticleLayer } from '../../src/core/charts/particleLayers';
import { h } from '../shared/dom';
import { paintPicture } from '../shared/picture';
import { strings } from '../shared/strings';
import type { Theme } from '../shared/theme';
import type { Tooltip } from '../shared/tooltip';
import { VegaHost } from '../shared/vegaHost';
import { samplePicture } from '../shared/weightPictures';
import { connectionFlow } from './connectionFlow';
import { matrixPicture } from './matrixPicture';
import type { View } from './panelContext';
import { colouredText } from './colouredText';

export interface DrawingContext {
  readonly layers: readonly ParticleLayer[];
  readonly theme: Theme;
  readonly tooltip: Tooltip;
  readonly selected: ReadonlySet<number>;
  /** The user asks for a particle. */
  readonly chosen: (row: number) => void;
  readonly sampleChosen: (sample: number) => void;
}

/** Draws a result of many values by its shape alone: what detail it is makes no difference. */
export function drawDetail(data: DetailData, context: DrawingContext): View {
  const { theme, layers, selected } = context;
  switch (data.kind) {
    case 'bars':
      return chart(charts.bars.draw(data, { theme }), context);
    case 'lines':
      return chart(charts.lines.draw(data, { theme }), context);
    case 'points':
      return chart(charts.points.draw({ ...data, layers, selected }, { theme }), context);
    case 'matrix':
      return still(matrixPicture(data, context));
    case 'samples':
      return still(samples(data, context));
    case 'text':
      return still(colouredText(data, theme));
    case 'pairs':
      return still(pairs(data, context));
  }
}

function still(element: HTMLElement): View {
  return { element, dispose: () => undefined };
}

function chart(result: ChartResult, { tooltip, chosen }: DrawingContext): View {
  const host = new VegaHost({ tooltip, clicked: ({ row }) => typeof row === 'number' && chosen(row) });
  host.show(result);
  return host;
}

function samples({ samples: all, scoreTitle }: SamplesData, { theme, sampleChosen }: DrawingContext): HTMLElement {
  const items = all.map(({ index, score, label, picture, text }) => {
    const caption = [label ?? '', formatNumber(score)].filter(Boolean).join(' · ');
    const canvas = picture ? h('canvas', { class: 'picture', attributes: { 'aria-hidden': 'true' } }) : null;
    if (canvas && picture) paintPicture(canvas, samplePicture(picture), { scale: 'grey', min: 0, max: 1 }, theme);
    const words = text ? h('span', { class: 'sample-text' }, ...text.tokens.map((token, at) => (at === text.at ? h('mark', {}, token) : token))) : null;
    // What is seen comes first, so that it can be spoken to.
    const spoken = `${text ? `${text.tokens.join('')} ` : ''}${caption}`;
    const title = `${strings.useSample(index)}, ${scoreTitle} ${formatNumber(score)}`;
    return h(
      'button',
      { type: 'button', class: text ? 'picture-item sample-line' : 'picture-item', title, attributes: { 'aria-label': `${spoken}, ${title}` }, on: { click: () => sampleChosen(index) } },
      canvas, words, canvas || words ? null : h('span', {}, strings.sampleNumber(index)), h('span', { class: 'caption' }, caption),
    );
  });
  return h('div', {}, h('div', { class: 'pictures' }, ...items), h('p', { class: 'note' }, scoreTitle));
}

/** Pairs between two layers as lines from one to the other, and all pairs as a list of links. */
function pairs(data: PairsData, context: DrawingContext): HTMLElement {
  const { layers, chosen } = context;
  const { one, two, values, valueTitle } = data;
  const shown = Math.min(values.length, mostPairs);
  const largest = Math.max(1e-30, ...Array.from(values.subarray(0, shown), (value) => Math.abs(value) || 0));
  const link = (row: number) => {
    const id = particleName(layers, row);
    return h('button', { type: 'button', class: 'link', title: strings.showParticle(id), on: { click: () => chosen(row) } }, id);
  };
  const line = (i: number) => {
    const bar = h('span', { class: 'bar-fill' });
    bar.style.width = `${Math.min(100, (Math.abs(values[i]!) / largest) * 100)}%`;
    return h('tr', {}, h('td', {}, link(one[i]!)), h('td', {}, link(two[i]!)), h('td', { class: 'pair-bar', attributes: { 'aria-hidden': 'true' } }, h('span', { class: 'bar-track' }, bar)), h('td', { class: 'number' }, formatNumber(values[i]!)));
  };
  return h(
    'div',
    {},
    connectionFlow(data, context),
    h('table', { class: 'pairs' }, h('caption', {}, valueTitle), h('tbody', {}, ...Array.from({ length: shown }, (_, i) => line(i)))),
    shown < values.length ? h('p', { class: 'note' }, strings.shownOf(shown, values.length)) : null,
  );
}

const mostPairs = 20;
