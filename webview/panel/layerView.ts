import type { ColumnData, LayerSummary } from '../../src/compute/protocol';
import { charts } from '../../src/core/charts/registry';
import { formatCount } from '../../src/core/charts/numberFormat';
import type { ParticleLayer } from '../../src/core/charts/particleLayers';
import { fill, h } from '../shared/dom';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';
import { VegaHost } from '../shared/vegaHost';
import { activationMaps } from './activationMaps';
import { closeUps } from './closeUps';
import { ColumnSelect } from './columnSelect';
import { pairPlot } from './pairPlot';
import { reportTo, type PanelContext, type View } from './panelContext';
import { weightImages } from './weightImages';

/** One layer: what it is, its weights as pictures, how its columns spread, what it does on a sample. */
export function layerView(context: PanelContext): View {
  const { store } = context;
  const element = h('div', { class: 'layer-view' });
  let parts: View[] = [];
  const clear = () => {
    parts.forEach((part) => part.dispose());
    parts = [];
  };
  let shown = '';
  const stop = store.watch(['layer', 'snapshot'], ({ layer: name, snapshot }) => {
    const layer = snapshot?.summary.layers.find((candidate) => candidate.name === name);
    const key = JSON.stringify([snapshot?.summary.model, layer, snapshot?.linkedLayers.includes(name)]);
    if (key === shown) return;
    shown = key;
    clear();
    if (!layer) {
      fill(element, h('p', { class: 'empty' }, strings.chooseLayer));
      return;
    }
    const linked = snapshot?.linkedLayers.includes(layer.name) ?? false;
    if (layer.particles) parts = [weightImages(context, layer), layerCharts(context, layer), pairPlot(context, { name: layer.name, ...layer.particles }), activationMaps(context, layer), closeUps(context, layer)];
    fill(element, layerHead(context, layer, linked), ...parts.map((part) => part.element));
  });
  return {
    element,
    dispose: () => {
      stop();
      clear();
    },
  };
}

function layerHead({ store, client }: PanelContext, layer: LayerSummary, linked: boolean): HTMLElement {
  const report = reportTo(store);
  const go = async (): Promise<void> => {
    const { found, message } = await client.host('goToDefinition', { layer: layer.name });
    if (!found) store.set({ message: { level: 'info', text: message ?? strings.noDefinition(layer.name) } });
  };
  const fact = (label: string, ...value: (Node | string)[]) => h('div', {}, h('dt', {}, label), h('dd', {}, ...value));
  const next = layer.next.flatMap((name, i) => [
    ...(i > 0 ? [', '] : []),
    h('button', { type: 'button', class: 'link', on: { click: () => store.set({ layer: name }) } }, name),
  ]);
  const { particles } = layer;
  return h(
    'div',
    { class: 'detail-head' },
    h(
      'div',
      { class: 'block-head' },
      h('h2', {}, layer.name),
      linked ? h('button', { type: 'button', class: 'button secondary small', on: { click: () => void go().catch(report) } }, strings.goToDefinition) : null,
    ),
    h(
      'dl',
      { class: 'facts small' },
      fact(strings.type, layer.type),
      particles ? fact(strings.particles, strings.particleCount(particles.count, particles.kind)) : '',
      layer.outputShape ? fact(strings.outputShape, layer.outputShape.map((size, axis) => size ?? (axis === 0 ? strings.batchSize : strings.unknownSize)).join(' × ')) : '',
      fact(strings.parameters, formatCount(layer.parameters)),
      layer.macs === undefined ? '' : fact(strings.macs, formatCount(layer.macs)),
      fact(strings.nextLayers, ...(next.length > 0 ? next : [strings.noNext])),
    ),
    layer.note ? h('p', { class: 'note-box' }, layer.note) : null,
  );
}

/** The column to hold against another at first: the last one (behaviour, where there is some) that differs in the layer. */
function telling(columns: readonly ColumnData[], layer: ParticleLayer, except: ColumnData | undefined): ColumnData | undefined {
  const varies = ({ values }: ColumnData) => {
    const { min, max } = extent(values.subarray(layer.firstRow, layer.firstRow + layer.count));
    return max > min;
  };
  return columns.filter((column) => column !== except && varies(column)).pop() ?? except;
}

/** The map's column as a distribution, and any column against another; points can be clicked. */
function layerCharts({ store, client, tooltip, pulls }: PanelContext, layer: LayerSummary): View {
  const particles = layer.particles!;
  const mine = [{ name: layer.name, ...particles }];
  const spread = new VegaHost({ tooltip });
  const points = new VegaHost({
    tooltip,
    clicked: ({ row }) => {
      if (typeof row !== 'number') return;
      store.set({ selection: [row], particle: row });
      void client.host('select', { rows: [row] }).catch(reportTo(store));
    },
  });
  const heading = h('h3');
  const x = new ColumnSelect(strings.horizontal, (scatterX) => store.set({ scatterX }));
  const y = new ColumnSelect(strings.vertical, (scatterY) => store.set({ scatterY }));
  const stops = [
    store.watch(['columns', 'column', 'theme'], ({ columns, column: name, theme }) => {
      const column = columns.get(name);
      if (!column) return;
      pulls.need(column.name, particles.firstRow, particles.firstRow + particles.count);
      heading.textContent = strings.distributionOf(column.title);
      spread.show(charts.distribution.draw({ column, layers: mine }, { theme }));
    }),
    store.watch(['columns', 'column', 'scatterX', 'scatterY', 'theme', 'selection'], (state) => {
      const { columns, theme, selection } = state;
      const usable = [...columns.values()].filter((column) => column.refersTo === undefined && column.scale !== 'categorical');
      const across = columns.get(state.scatterX) ?? columns.get(state.column) ?? usable[0];
      const up = columns.get(state.scatterY) ?? telling(usable, mine[0]!, across);
      if (!across || !up) return;
      for (const { name } of [across, up]) pulls.need(name, particles.firstRow, particles.firstRow + particles.count);
      x.show(columns, across.name);
      y.show(columns, up.name);
      points.show(charts.scatter.draw({ x: across, y: up, layers: mine, selected: new Set(selection) }, { theme }));
    }),
  ];
  return {
    element: h(
      'div',
      {},
      h('section', { class: 'block' }, heading, spread.element),
      h('section', { class: 'block' }, h('h3', {}, strings.scatterTitle), h('div', { class: 'toolbar tight' }, x.element, y.element), points.element),
    ),
    dispose: () => {
      stops.forEach((stop) => stop());
      spread.dispose();
      points.dispose();
    },
  };
}
