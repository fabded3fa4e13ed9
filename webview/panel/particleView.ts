import type { ColumnData } from '../../src/compute/protocol';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { layerIndexAt, particleName } from '../../src/core/charts/particleLayers';
import { fill, h } from '../shared/dom';
import { strings } from '../shared/strings';
import { activationMaps } from './activationMaps';
import { closeUps } from './closeUps';
import { columnGroups, provenanceText, valueText } from './columnText';
import { muting } from './muting';
import { reportTo, type PanelContext, type View } from './panelContext';
import { particleWords, rankedColumns } from './particleWords';
import type { PanelState } from './state';
import { weightImages } from './weightImages';

/** One particle: its weights, everything measured of it with what that means, its twin; or a summary of several. */
export function particleView(context: PanelContext): View {
  const { store } = context;
  const element = h('div', { class: 'particle-view' });
  const head = h('div', { class: 'detail-head' });
  const pictures = h('div');
  const table = h('div');
  const words = h('div');
  const more = h('div');
  fill(element, head, words, pictures, table, more);
  let parts: View[] = [];
  let lower: View | undefined;
  const clear = () => {
    parts.forEach((part) => part.dispose());
    parts = [];
    lower?.dispose();
    lower = undefined;
  };
  let shown = '';
  const stops = [
    store.watch(['particle', 'snapshot', 'selection'], (state) => {
      const { particle, layers, snapshot, selection } = state;
      const key = JSON.stringify([snapshot?.summary.model, particle, selection.length > 1 ? selection.length : 1]);
      if (key === shown) return;
      shown = key;
      clear();
      const layer = layers[layerIndexAt(layers, particle)];
      const summary = snapshot?.summary.layers.find(({ name }) => name === layer?.name);
      if (selection.length > 1) {
        parts = [muting(context)];
        fill(head, h('h2', {}, strings.several(selection.length)));
      } else if (!layer || !summary) {
        fill(head, h('p', { class: 'empty' }, strings.chooseParticle));
      } else {
        const index = particle - layer.firstRow;
        parts = [weightImages(context, summary, index), activationMaps(context, summary, index), muting(context)];
        lower = closeUps(context, summary, index);
        const back = h('button', { type: 'button', class: 'link', on: { click: () => store.set({ detail: 'layer', layer: layer.name }) } }, strings.showLayer(layer.name));
        fill(head, h('div', { class: 'block-head' }, h('h2', {}, particleName(layers, particle)), back));
      }
      fill(pictures, ...parts.map((part) => part.element));
      fill(more, lower?.element);
    }),
    store.watch(['particle', 'columns', 'selection', 'layers'], ({ particle, columns, selection, layers }) => {
      const home = layers[layerIndexAt(layers, particle)];
      const rows = selection.length > 1 ? selection : particle >= 0 ? [particle] : [];
      for (const { name } of columns.values()) {
        for (const row of rows.slice(0, 1)) context.pulls.need(name, row, row + 1);
        // Ranks are within the layer.
        if (home && rankedColumns.has(name)) context.pulls.need(name, home.firstRow, home.firstRow + home.count);
      }
      const sentences = selection.length > 1 ? [] : particleWords(particle, columns, layers);
      fill(words, sentences.length > 0 ? h('section', { class: 'words', attributes: { 'aria-label': strings.inWords } }, h('p', {}, sentences.join(' '))) : null);
    }),
    store.watch(['particle', 'columns', 'selection', 'layers'], (state) => {
      const rows = state.selection.length > 1 ? state.selection : state.particle >= 0 ? [state.particle] : [];
      fill(table, rows.length === 0 ? null : columnTable(context, state, rows));
    }),
  ];
  return {
    element,
    dispose: () => {
      stops.forEach((stop) => stop());
      clear();
    },
  };
}

function columnTable(context: PanelContext, state: PanelState, rows: readonly number[]): HTMLElement {
  const groups = columnGroups(state.columns);
  const [row] = rows;
  return h(
    'section',
    { class: 'block' },
    h('h3', {}, strings.columnTable),
    rows.length === 1 ? twin(context, state, row!) : null,
    ...groups.map(({ label, columns }) =>
      h(
        'table',
        { class: 'columns' },
        h('caption', {}, label),
        h(
          'tbody',
          {},
          ...columns.map((column) =>
            h(
              'tr',
              { title: provenanceText(column) },
              h('th', { attributes: { scope: 'row' } }, column.title, h('span', { class: 'column-meaning' }, column.meaning)),
              h('td', {}, rows.length === 1 ? valueText(column, row!, state.layers) : summaryText(column, rows)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** The most similar particle as a way to go there. */
function twin({ store, client }: PanelContext, { columns, layers }: PanelState, row: number): HTMLElement | null {
  const reference = [...columns.values()].find((column) => column.refersTo === 'row');
  const other = reference?.values[row];
  if (other === undefined || Number.isNaN(other)) return null;
  const id = particleName(layers, other);
  const go = () => {
    store.set({ selection: [other], particle: other });
    void client.host('select', { rows: [other] }).catch(reportTo(store));
  };
  return h('p', { class: 'twin' }, `${strings.twin}: `, h('button', { type: 'button', class: 'link', title: strings.showParticle(id), on: { click: go } }, id));
}

function summaryText(column: ColumnData, rows: readonly number[]): string {
  let sum = 0;
  let count = 0;
  for (const row of rows) {
    const value = column.values[row];
    if (value === undefined || !Number.isFinite(value)) continue;
    sum += value;
    count++;
  }
  if (count === 0) return strings.notComputed;
  return column.additive ? `${strings.sum} ${formatNumber(sum, column.unit)}` : `${strings.mean} ${formatNumber(sum / count, column.unit)}`;
}
