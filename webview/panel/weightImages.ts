import type { ArrayData, LayerSummary } from '../../src/compute/protocol';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName } from '../../src/core/charts/particleLayers';
import { fill, h, uniqueId } from '../shared/dom';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';
import type { PanelContext, View } from './panelContext';
import { pictureGrid } from '../shared/pictureGrid';
import { channelCount, weightPicture, type Channel } from '../shared/weightPictures';

/** The weights of a layer's particles as pictures, a page at a time, all on one scale: a dead kernel looks blank. */
export function weightImages({ store, client }: PanelContext, layer: LayerSummary, only?: number): View {
  const particles = layer.particles!;
  const body = h('div', {}, h('p', { class: 'muted' }, strings.loadingWeights));
  const channelId = uniqueId('channel');
  const select = h('select', { id: channelId, on: { change: () => store.set({ channel: Number(select.value) }) } });
  const field = h('div', { class: 'field inline', hidden: true }, h('label', { htmlFor: channelId }, strings.inputChannel), select);
  const heading = particles.kind !== 'kernel' ? strings.weights : only === undefined ? strings.kernels : strings.kernel;
  const pageSize = particles.kind === 'kernel' ? 64 : 24;
  const element = h('section', { class: 'block' }, h('div', { class: 'block-head' }, h('h3', {}, heading), field), body);
  let loaded: ArrayData | undefined;
  let disposed = false;
  const first = only ?? 0;

  const load = async (to: number): Promise<void> => {
    try {
      const from = first + (loaded?.shape[0] ?? 0);
      const more = await client.compute('weights', { layer: layer.name, from, to });
      if (disposed) return;
      loaded = loaded ? joined(loaded, more) : more;
      draw();
    } catch (error) {
      if (!disposed) fill(body, failure(error, () => void load(to)));
    }
  };
  const draw = (): void => {
    if (!loaded) return;
    const { theme, selection, channel, layers } = store.state;
    const weights = loaded;
    const count = weights.shape[0] ?? 0;
    const channels = channelCount(weights.shape);
    field.hidden = channels < 2;
    if (select.options.length !== channels + 1) {
      const options = Array.from({ length: channels }, (_, i) => h('option', { value: String(i) }, strings.channel(i)));
      fill(select, h('option', { value: '-1' }, strings.meanOfChannels), ...options);
    }
    const chosen: Channel = channel < 0 || channel >= channels ? 'mean' : channel;
    select.value = chosen === 'mean' ? '-1' : String(chosen);
    const pictures = Array.from({ length: count }, (_, i) => weightPicture(weights, i, chosen));
    const ends = pictures.map((picture) => extent(picture.values));
    const most = Math.max(1e-12, ...ends.map(({ min, max }) => Math.max(-min, max)));
    const items = pictures.map((picture, i) => {
      const row = particles.firstRow + first + i;
      const id = particleName(layers, row);
      const choose = only === undefined ? { chosen: () => selectRow(row) } : {};
      return { picture, caption: only === undefined ? String(first + i) : '', label: id, selected: selection.includes(row), ...choose };
    });
    const left = only === undefined ? particles.count - count : 0;
    const size = Math.min(left, pageSize);
    fill(
      body,
      pictureGrid(items, { scale: 'diverging', min: -most, max: most }, theme),
      h('p', { class: 'note' }, strings.weightsRange(formatNumber(most))),
      left > 0 ? h('button', { type: 'button', class: 'link', on: { click: () => void load(first + count + size) } }, strings.showMore(size)) : null,
    );
  };
  const selectRow = (row: number): void => {
    store.set({ selection: [row], particle: row, detail: 'particle' });
    void client.host('select', { rows: [row] }).catch(() => undefined);
  };
  const stop = store.watch(['theme', 'channel', 'selection'], draw);
  void load(only === undefined ? Math.min(pageSize, particles.count) : only + 1);
  return {
    element,
    dispose: () => {
      disposed = true;
      stop();
    },
  };
}

/** A failed request with a way to try again. */
export function failure(error: unknown, retry: () => void): HTMLElement {
  const text = error instanceof Error ? error.message : String(error);
  return h(
    'div',
    { class: 'failure', attributes: { role: 'alert' } },
    h('p', {}, text),
    h('button', { type: 'button', class: 'button secondary small', on: { click: retry } }, strings.retry),
  );
}

function joined(a: ArrayData, b: ArrayData): ArrayData {
  const values = new Float32Array(a.values.length + b.values.length);
  values.set(a.values);
  values.set(b.values, a.values.length);
  return { shape: [a.shape[0]! + b.shape[0]!, ...a.shape.slice(1)], values };
}
