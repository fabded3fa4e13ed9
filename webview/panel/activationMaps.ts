import type { ActivationData, LayerSummary } from '../../src/compute/protocol';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName } from '../../src/core/charts/particleLayers';
import { fill, h, uniqueId } from '../shared/dom';
import { extent, paintPicture, type Picture } from '../shared/picture';
import { strings } from '../shared/strings';
import type { Theme } from '../shared/theme';
import type { PanelContext, View } from './panelContext';
import { predictionBars } from './predictionBars';
import { pictureGrid } from '../shared/pictureGrid';
import { failure } from './weightImages';
import { activationPicture, samplePicture } from '../shared/weightPictures';

/** What the particles of a layer (or one of them) do on one sample, beside the sample and what the model says of it. */
export function activationMaps({ store, client }: PanelContext, layer: LayerSummary, only?: number): View {
  const body = h('div');
  const picker = samplePicker((sample) => store.set({ sample }));
  const element = h(
    'section',
    { class: 'block' },
    h('div', { class: 'block-head' }, h('h3', {}, strings.activations), picker.element),
    body,
  );
  let turn = 0;
  let shown: ActivationData | undefined;
  let asked = '';

  const load = async (again = false): Promise<void> => {
    const { snapshot, sample } = store.state;
    // A snapshot that changes neither recipe nor model is no reason to run again.
    const question = JSON.stringify([snapshot?.summary.model, snapshot?.recipe, sample]);
    if (question === asked && !again) return;
    asked = question;
    const mine = ++turn;
    picker.element.hidden = !snapshot?.recipe;
    if (!snapshot?.recipe) {
      fill(body, h('p', { class: 'empty' }, strings.activationNeedsRecipe));
      return;
    }
    picker.show(sample, shown?.samples);
    if (!shown) fill(body, h('p', { class: 'muted' }, strings.running));
    try {
      const data = await client.compute('activations', { recipe: snapshot.recipe.path, layer: layer.name, sample });
      if (mine !== turn) return;
      shown = data;
      picker.show(sample, data.samples);
      draw();
    } catch (error) {
      if (mine !== turn) return;
      shown = undefined;
      fill(body, failure(error, () => void load(true)));
    }
  };
  const draw = (): void => {
    if (!shown) return;
    const { theme, selection, layers } = store.state;
    const particles = layer.particles!;
    const count = Math.min(shown.shape[0] ?? 0, maxMaps);
    const all = Array.from({ length: count }, (_, i) => activationPicture(shown!, i));
    const { min, max } = extent(shown.values);
    const scale = min < 0 ? { scale: 'diverging' as const, min: -Math.max(-min, max), max: Math.max(-min, max) } : { scale: 'sequential' as const, min: 0, max };
    const indices = only === undefined ? all.map((_, i) => i) : all[only] ? [only] : [];
    const items = indices.map((i) => {
      const row = particles.firstRow + i;
      const single = all[i]!.values.length === 1 ? `: ${formatNumber(all[i]!.values[0]!)}` : '';
      return {
        picture: all[i]!,
        caption: only === undefined ? String(i) : '',
        label: particleName(layers, row) + single,
        selected: selection.includes(row),
        ...(only === undefined ? { chosen: () => store.set({ selection: [row], particle: row, detail: 'particle' }) } : {}),
      };
    });
    fill(body, h('div', { class: 'sample' }, inputPicture(shown, theme), only === undefined ? null : overlaid(shown, all[only], theme), predictionBars({ ...shown.prediction, label: shown.label })), pictureGrid(items, scale, theme));
  };
  const stops = [store.watch(['snapshot', 'sample'], () => void load()), store.watch(['theme', 'selection'], draw)];
  return {
    element,
    dispose: () => {
      turn++;
      stops.forEach((stop) => stop());
    },
  };
}

const maxMaps = 256;

/** Chooses the sample that all views of a sample show. */
export function samplePicker(chosen: (sample: number) => void) {
  const id = uniqueId('sample');
  let count: number | undefined;
  const choose = (sample: number) => chosen(Math.max(0, count === undefined ? sample : Math.min(sample, count - 1)));
  const input = h('input', {
    type: 'number',
    id,
    min: '0',
    on: { change: () => choose(Math.floor(Number(input.value)) || 0) },
  });
  const step = (label: string, text: string, by: number) =>
    h(
      'button',
      { type: 'button', class: 'icon-button', title: label, attributes: { 'aria-label': label }, on: { click: () => choose(Number(input.value) + by) } },
      text,
    );
  const of = h('span', { class: 'muted' });
  return {
    element: h(
      'div',
      { class: 'field inline' },
      h('label', { htmlFor: id }, strings.sample),
      step(strings.previousSample, '‹', -1),
      input,
      step(strings.nextSample, '›', 1),
      of,
    ),
    show(sample: number, samples: number | undefined): void {
      count = samples;
      input.value = String(sample);
      if (samples !== undefined) input.max = String(samples - 1);
      of.textContent = samples === undefined ? '' : strings.ofSamples(samples);
    },
  };
}

/** The map of one particle over the sample: the sample in grey, brighter in colour where the particle is active. */
function overlaid({ picture }: ActivationData, map: Picture | undefined, theme: Theme): HTMLElement | null {
  if (!picture || !map || map.width < 2 || map.height < 2) return null;
  const sample = samplePicture(picture);
  const scale = Math.max(1, Math.floor(192 / sample.width));
  const canvas = h('canvas', { class: 'picture', attributes: { role: 'img', 'aria-label': strings.overlay } });
  const [below, above] = [h('canvas'), h('canvas')];
  const { min, max } = extent(sample.values);
  paintPicture(below, sample, { scale: 'grey', min, max }, theme);
  paintPicture(above, map, { scale: 'sequential', min: 0, max: Math.max(1e-12, extent(map.values).max) }, theme);
  canvas.width = sample.width * scale;
  canvas.height = sample.height * scale;
  const context = canvas.getContext('2d')!;
  context.imageSmoothingEnabled = false;
  context.drawImage(below, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 0.6;
  context.drawImage(above, 0, 0, canvas.width, canvas.height);
  return h('figure', { class: 'sample-input' }, canvas, h('figcaption', {}, strings.overlay));
}

function inputPicture({ picture, label }: ActivationData, theme: Theme): HTMLElement | null {
  const text = label === undefined ? '' : strings.labelIs(label);
  if (!picture) return text ? h('p', { class: 'sample-input' }, text) : null;
  const canvas = h('canvas', { class: 'picture', attributes: { role: 'img', 'aria-label': strings.inputPicture } });
  const { min, max } = extent(picture.values);
  paintPicture(canvas, samplePicture(picture), { scale: 'grey', min, max }, theme);
  return h('figure', { class: 'sample-input' }, canvas, h('figcaption', {}, text || strings.inputPicture));
}
