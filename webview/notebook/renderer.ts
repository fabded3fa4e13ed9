import type { RendererApi } from 'vscode-notebook-renderer';
import { charts } from '../../src/core/charts/registry';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName } from '../../src/core/charts/particleLayers';
import { Legend } from '../shared/legend';
import { pictureGrid } from '../shared/pictureGrid';
import { weightPicture } from '../shared/weightPictures';
import { fill, h } from '../shared/dom';
import { colourCells } from '../shared/heatmap/cellColours';
import { Heatmap } from '../shared/heatmap/heatmap';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';
import { readTheme, watchTheme, type Theme } from '../shared/theme';
import { Tooltip } from '../shared/tooltip';
import { VegaHost } from '../shared/vegaHost';
import { readPayload, type Payload } from './payload';
import sharedCss from '../shared/shared.css' with { type: 'text' };
import css from './renderer.css' with { type: 'text' };

/** Draws outputs of MIME type application/vnd.particlize.v1+json in a notebook. */
export function activate(): RendererApi {
  const outputs = new Map<string, () => void>();
  const dispose = (id: string) => {
    outputs.get(id)?.();
    outputs.delete(id);
  };
  return {
    renderOutputItem(item, element) {
      dispose(item.id);
      adoptStyles();
      const body = h('div', { class: 'particlize-output' });
      fill(element, body);
      try {
        outputs.set(item.id, draw(readPayload(item.json()), body));
      } catch (error) {
        const text = error instanceof SyntaxError ? 'This Particlize output is not valid JSON.' : error instanceof Error ? error.message : String(error);
        fill(body, h('p', { class: 'particlize-error', attributes: { role: 'alert' } }, text));
      }
    },
    disposeOutputItem(id) {
      if (id === undefined) [...outputs.keys()].forEach(dispose);
      else dispose(id);
    },
  };
}

let sheet: CSSStyleSheet | undefined;

/** Renderers get a script only: the styles come along as text. */
function adoptStyles(): void {
  if (sheet) return;
  sheet = new CSSStyleSheet();
  sheet.replaceSync(`${sharedCss}\n${css}`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}

/** Draws, and again when the theme changes; returns how to clean up. */
function draw(payload: Payload, body: HTMLElement): () => void {
  const tooltip = new Tooltip();
  const content = h('div');
  fill(body, payload.title ? h('h4', {}, payload.title) : null, content);
  let clear = drawKind(payload, content, readTheme(), tooltip);
  const stop = watchTheme((theme) => {
    clear();
    clear = drawKind(payload, content, theme, tooltip);
  });
  return () => {
    stop();
    clear();
    tooltip.dispose();
    body.remove();
  };
}

function drawKind(payload: Payload, content: HTMLElement, theme: Theme, tooltip: Tooltip): () => void {
  switch (payload.kind) {
    case 'heatmap':
      return drawHeatmap(payload, content, theme, tooltip);
    case 'kernels':
      return drawKernels(payload, content, theme);
    case 'distribution': {
      const { column, values, layers } = payload;
      return drawChart(charts.distribution.draw({ column: { ...column, values }, layers }, { theme }), content, tooltip);
    }
    case 'scatter': {
      const { x, y, layers } = payload;
      const columns = { x: { ...x.column, values: x.values }, y: { ...y.column, values: y.values } };
      return drawChart(charts.scatter.draw({ ...columns, layers }, { theme }), content, tooltip);
    }
  }
}

function drawHeatmap(payload: Extract<Payload, { kind: 'heatmap' | 'distribution' }>, content: HTMLElement, theme: Theme, tooltip: Tooltip): () => void {
  const { layers, column, values } = payload;
  const map = new Heatmap({
    label: payload.title || column.title,
    theme,
    tooltip,
    describe: (row) => {
      const value = values[row] ?? NaN;
      const text = Number.isNaN(value) ? strings.notComputed : formatNumber(value, column.unit);
      return { title: particleName(layers, row), lines: [{ label: column.title, value: text }] };
    },
  });
  const legend = new Legend();
  const { colours, domain, missing } = colourCells({ values, scale: column.scale, layers }, theme);
  fill(content, map.element, legend.element);
  map.setLayers(layers);
  map.setColours(colours);
  legend.show({ title: column.title, unit: column.unit, scale: column.scale, missing, ...(domain ? { domain } : {}) }, theme);
  return () => map.dispose();
}

const maxKernels = 512;

function drawKernels(payload: Extract<Payload, { kind: 'kernels' }>, content: HTMLElement, theme: Theme): () => void {
  const { shape, values, layer } = payload;
  const count = Math.min(shape[0]!, maxKernels);
  const pictures = Array.from({ length: count }, (_, i) => weightPicture({ shape, values }, i, 'mean'));
  const most = Math.max(1e-12, ...pictures.map((picture) => extent(picture.values)).map(({ min, max }) => Math.max(-min, max)));
  const items = pictures.map((picture, i) => ({ picture, caption: String(i), label: `${layer}/kernel:${i}` }));
  const leftOut = count < shape[0]! ? ` ${count} of ${shape[0]} are shown.` : '';
  fill(
    content,
    pictureGrid(items, { scale: 'diverging', min: -most, max: most }, theme),
    h('p', { class: 'note' }, strings.weightsRange(formatNumber(most)) + leftOut),
  );
  return () => undefined;
}

function drawChart(chart: Parameters<VegaHost['show']>[0], content: HTMLElement, tooltip: Tooltip): () => void {
  const host = new VegaHost({ tooltip });
  fill(content, host.element);
  host.show(chart);
  return () => host.dispose();
}
