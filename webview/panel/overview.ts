import { charts } from '../../src/core/charts/registry';
import { particleName, rowCountOf, rowsOfParticles } from '../../src/core/charts/particleLayers';
import { fill, h, uniqueId } from '../shared/dom';
import { colourCells } from '../shared/heatmap/cellColours';
import { Heatmap } from '../shared/heatmap/heatmap';
import { strings } from '../shared/strings';
import { VegaHost } from '../shared/vegaHost';
import { ColumnSelect } from './columnSelect';
import { hasBehaviour, provenanceText, valueText } from './columnText';
import { Legend } from '../shared/legend';
import { moduleTree, unfolded } from './moduleTree';
import { reportTo, type PanelContext, type View } from './panelContext';
import { parseFilter, type ParticleFilter } from './particleFilter';
import type { PanelState, Store } from './state';

/** The whole model as a map of its particles, coloured by a column, with what its layers cost. */
export function overview(context: PanelContext): View {
  const { store, client, tooltip, pulls } = context;
  const report = reportTo(store);
  const map = new Heatmap({
    label: strings.heatmapLabel,
    theme: store.state.theme,
    tooltip,
    describe: (row) => {
      const { layers, columns, column: name } = store.state;
      const column = columns.get(name);
      const id = particleName(layers, row);
      return { title: id, lines: column ? [{ label: column.title, value: valueText(column, row, layers) }] : [] };
    },
    selected: (rows, active) => {
      const single = rows.length > 0 ? { particle: active, detail: 'particle', layer: layerOf(active) } : { particle: -1 };
      store.set({ selection: rows, ...single });
      void client.host('select', { rows }).catch(report);
    },
    layerChosen: (layer) => store.set({ layer, detail: 'layer' }),
  });
  const layerOf = (row: number) => {
    const { layers, layer } = store.state;
    return layers.find(({ firstRow, count }) => row >= firstRow && row < firstRow + count)?.name ?? layer;
  };
  const columnSelect = new ColumnSelect(strings.colourBy, (column) => store.set({ column }));
  const withinId = uniqueId('within');
  const within = h('input', { type: 'checkbox', id: withinId, on: { change: () => store.set({ withinLayers: within.checked }) } });
  const search = searchField((text) => store.set({ search: text }), () => {
    const rows = foundRows(filter, rowCountOf(store.state.layers));
    store.set({ selection: rows, ...(rows.length === 1 ? { particle: rows[0]!, detail: 'particle' } : {}) });
    void client.host('select', { rows }).catch(report);
  });
  const modules = moduleTree(context);
  const meaning = h('p', { class: 'meaning' });
  const legend = new Legend();
  const next = h('p', { class: 'hint' });
  const none = h('p', { class: 'empty', hidden: true }, strings.noParticles);
  const chosen = ({ layer }: Readonly<Record<string, unknown>>) => typeof layer === 'string' && store.set({ layer, detail: 'layer' });
  const chart = new VegaHost({ tooltip, clicked: chosen });
  const spreadTitle = h('h2');
  const spread = new VegaHost({ tooltip, clicked: chosen });
  const content = h(
    'div',
    {},
    h(
      'div',
      { class: 'toolbar' },
      columnSelect.element,
      h('label', { class: 'check', htmlFor: withinId, title: strings.withinLayersMeaning }, within, strings.withinLayers),
      search.element,
    ),
    meaning,
    modules.element,
    map.element,
    legend.element,
    next,
    h('h2', {}, strings.costByLayer),
    chart.element,
    spreadTitle,
    spread.element,
  );
  const element = h('section', { class: 'overview', attributes: { 'aria-label': strings.overview } }, none, content);

  let filter: ParticleFilter = {};
  const stops = [
    store.watch(['layers', 'folded'], ({ layers, folded, snapshot }) => {
      map.setLayers(unfolded(layers, folded));
      none.hidden = !snapshot || layers.length > 0;
      content.hidden = layers.length === 0;
    }),
    store.watch(['columns', 'column', 'search', 'withinLayers', 'theme', 'layers'], (state) => {
      const { columns, layers, theme, withinLayers } = state;
      const column = columns.get(state.column);
      columnSelect.show(columns, state.column);
      pulls.need(state.column);
      within.checked = withinLayers;
      filter = parseFilter(state.search, { layers, columns, needs: (name) => pulls.need(name) });
      const total = rowCountOf(layers);
      const found = filter.matches ? foundMask(filter, total) : undefined;
      search.show(state.search, filter, found ? found.reduce((sum, one) => sum + one, 0) : total, total);
      const values = column?.values.length ? column.values : new Float32Array(total).fill(NaN);
      const scale = column?.scale ?? 'sequential';
      const colouring = colourCells(
        { values, scale, layers, withinLayers, ...(found ? { faded: (row: number) => found[row] === 0 } : {}) },
        theme,
      );
      map.setTheme(theme);
      map.setColours(colouring.colours);
      legend.element.hidden = !column;
      if (!column) return;
      fill(meaning, column.meaning, h('span', { class: 'provenance' }, provenanceText(column)));
      legend.show({ title: column.title, unit: column.unit, scale, missing: colouring.missing, ...(colouring.domain ? { domain: colouring.domain } : {}) }, theme);
    }),
    store.watch(['selection'], ({ selection }) => map.setSelection(selection)),
    store.watch(['particle'], ({ particle }) => particle >= 0 && map.reveal(particle)),
    store.watch(['hatched', 'layers'], ({ hatched, layers }) => map.setHatched(rowsOfParticles(layers, hatched))),
    store.watch(['columns', 'snapshot', 'running'], ({ columns, snapshot, running }) => {
      next.hidden = !snapshot || hasBehaviour(columns) || running !== undefined;
      next.textContent = snapshot?.recipe ? strings.behaviourReady : strings.noBehaviour;
    }),
    afterMap(store, ['snapshot', 'columns', 'column', 'theme'], ({ snapshot, columns, column, theme }) => {
      if (!snapshot) return;
      const importance = columns.get(column);
      const worth = importance && importance.scale !== 'categorical' ? { importance } : {};
      chart.show(charts.costByLayer.draw({ layers: snapshot.summary.layers, ...worth }, { theme }));
    }),
    afterMap(store, ['columns', 'column', 'layers', 'theme'], ({ columns, column: name, layers, theme }) => {
      const column = columns.get(name);
      // Numbers of classes have no order: neither quartiles nor a median.
      const ordered = column !== undefined && column.scale !== 'categorical';
      spreadTitle.hidden = spread.element.hidden = !ordered;
      if (!ordered) return;
      spreadTitle.textContent = strings.columnByLayer(column.title);
      spread.show(charts.columnByLayer.draw({ column, layers }, { theme }));
    }),
  ];
  return {
    element,
    dispose: () => {
      stops.forEach((stop) => stop());
      modules.dispose();
      map.dispose();
      chart.dispose();
      spread.dispose();
    },
  };
}

/** Charts of so many particles take no time that could be noticed. */
const mostAtOnce = 65_536;

/** Watches like the store does; of a large model charts wait until the map is drawn and its values have come to rest. */
function afterMap(store: Store, keys: readonly (keyof PanelState)[], call: (state: PanelState) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = store.watch(keys, (state) => {
    clearTimeout(timer);
    if (rowCountOf(state.layers) <= mostAtOnce) call(state);
    else timer = setTimeout(() => call(store.state), 300);
  });
  return () => {
    clearTimeout(timer);
    stop();
  };
}

function searchField(changed: (text: string) => void, selectFound: () => void) {
  const id = uniqueId('search');
  const problemId = uniqueId('problem');
  const input = h('input', {
    type: 'search',
    id,
    placeholder: strings.searchHint,
    title: strings.searchHelp,
    spellcheck: false,
    attributes: { 'aria-describedby': problemId, autocomplete: 'off' },
    on: {
      input: () => changed(input.value),
      keydown: (event) => {
        if (event.key === 'Enter') selectFound();
      },
    },
  });
  const count = h('span', { class: 'search-count muted', id: problemId, attributes: { role: 'status' } });
  const select = h('button', { type: 'button', class: 'link', hidden: true, on: { click: selectFound } }, strings.selectFound);
  return {
    element: h('div', { class: 'field search' }, h('label', { htmlFor: id }, strings.search), input, h('div', { class: 'search-result' }, count, select)),
    show(text: string, filter: ParticleFilter, found: number, total: number): void {
      if (input.value !== text) input.value = text;
      input.setAttribute('aria-invalid', String(filter.problem !== undefined));
      count.classList.toggle('problem', filter.problem !== undefined);
      count.textContent = filter.problem ?? (filter.matches ? strings.found(found, total) : '');
      select.hidden = !filter.matches || found === 0;
    },
  };
}

/** 1 for each row that the filter finds. */
function foundMask({ matches }: ParticleFilter, total: number): Uint8Array {
  const mask = new Uint8Array(total);
  for (let row = 0; row < total; row++) if (matches?.(row)) mask[row] = 1;
  return mask;
}

function foundRows(filter: ParticleFilter, total: number): number[] {
  const rows: number[] = [];
  for (let row = 0; row < total; row++) if (filter.matches?.(row)) rows.push(row);
  return rows;
}
