import type { ColumnData } from '../../src/compute/protocol';
import { categoricalColours } from '../../src/core/charts/colourScales';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName, type ParticleLayer } from '../../src/core/charts/particleLayers';
import { fill, h, uniqueId } from '../shared/dom';
import { extent } from '../shared/picture';
import { strings } from '../shared/strings';
import { columnGroups } from './columnText';
import { reportTo, type PanelContext, type View } from './panelContext';

/**
 * Several columns of a layer against each other, a small scatter for each two. Dragging over points selects them, here, in
 * the map and in every other plot; a click selects one.
 */
export function pairPlot({ store, client, tooltip, pulls }: PanelContext, layer: ParticleLayer): View {
  const pickers = h('div', { class: 'pair-columns', attributes: { role: 'group', 'aria-label': strings.pairColumns } });
  const grid = h('div', { class: 'pair-grid' });
  const element = h('section', { class: 'block' }, h('h3', {}, strings.pairPlot), pickers, h('p', { class: 'note' }, strings.brushHint), grid);
  let shownColumns = '';

  const chosen = (): ColumnData[] => {
    const { columns, pairColumns } = store.state;
    const usable = usableColumns(columns);
    const named = pairColumns.flatMap((name) => usable.find((column) => column.name === name) ?? []);
    return named.length > 0 ? named : usable.filter((column) => varies(column, layer)).slice(-3);
  };
  const select = (rows: readonly number[], adding: boolean): void => {
    const selection = adding ? [...new Set([...store.state.selection, ...rows])].sort((a, b) => a - b) : rows;
    store.set({ selection, ...(selection.length === 1 ? { particle: selection[0]! } : {}) });
    void client.host('select', { rows: selection }).catch(reportTo(store));
  };
  const draw = (): void => {
    const { columns, theme, selection, layers } = store.state;
    const picked = chosen();
    for (const { name } of picked) pulls.need(name, layer.firstRow, layer.firstRow + layer.count);
    const key = JSON.stringify([[...columns.keys()], picked.map(({ name }) => name)]);
    if (key !== shownColumns) {
      shownColumns = key;
      fill(pickers, ...usableColumns(columns).map((column) => pickBox(column, picked.includes(column), (on) => {
        const names = chosen().map(({ name }) => name).filter((name) => name !== column.name);
        store.set({ pairColumns: (on ? [...names, column.name] : names).slice(-mostColumns) });
      })));
    }
    const selected = new Set(selection);
    grid.style.gridTemplateColumns = `repeat(${Math.max(1, picked.length - 1)}, minmax(0, 1fr))`;
    const colours = { point: categoricalColours(theme.kind)[0]!, chosen: categoricalColours(theme.kind)[1]!, line: theme.grid, faint: theme.muted };
    const cells: HTMLElement[] = [];
    for (let up = 1; up < picked.length; up++) {
      for (let across = 0; across < picked.length - 1; across++) {
        if (across >= up) cells.push(h('div', {}));
        else cells.push(smallScatter(picked[across]!, picked[up]!));
      }
    }
    fill(grid, ...(cells.length > 0 ? cells : [h('p', { class: 'empty' }, strings.pairTooFew)]));

    function smallScatter(x: ColumnData, y: ColumnData): HTMLElement {
      const canvas = h('canvas', { width: side, height: side, attributes: { role: 'img', 'aria-label': strings.against(y.title, x.title) } });
      const context = canvas.getContext('2d')!;
      const range = (column: ColumnData) => extent(column.values.subarray(layer.firstRow, layer.firstRow + layer.count));
      const [rx, ry] = [range(x), range(y)];
      const place = (value: number, { min, max }: { min: number; max: number }) => (max > min ? (value - min) / (max - min) : 0.5) * (side - 2 * inset) + inset;
      const places: { row: number; x: number; y: number }[] = [];
      for (let row = layer.firstRow; row < layer.firstRow + layer.count; row++) {
        const [a, b] = [x.values[row]!, y.values[row]!];
        if (Number.isFinite(a) && Number.isFinite(b)) places.push({ row, x: place(a, rx), y: side - place(b, ry) });
      }
      const paint = (band?: Band): void => {
        context.clearRect(0, 0, side, side);
        context.strokeStyle = colours.line;
        context.strokeRect(0.5, 0.5, side - 1, side - 1);
        // Selected ones last, so that they lie on top.
        for (const top of [false, true]) {
          context.fillStyle = top ? colours.chosen : colours.point;
          context.globalAlpha = top || selected.size === 0 ? 0.85 : 0.4;
          for (const point of places) if (selected.has(point.row) === top) context.fillRect(point.x - (top ? 4 : 3), point.y - (top ? 4 : 3), top ? 8 : 6, top ? 8 : 6);
        }
        context.globalAlpha = 1;
        if (band) {
          context.strokeStyle = colours.faint;
          context.strokeRect(Math.min(band.x1, band.x2), Math.min(band.y1, band.y2), Math.abs(band.x2 - band.x1), Math.abs(band.y2 - band.y1));
        }
      };
      const nearest = (px: number, py: number) => places.reduce<(typeof places)[number] | undefined>((best, point) =>
        Math.hypot(point.x - px, point.y - py) < (best ? Math.hypot(best.x - px, best.y - py) : 14) ? point : best, undefined);
      brush(canvas, {
        moved: paint,
        ended: (band, adding) => {
          const [left, right, top, bottom] = [Math.min(band.x1, band.x2), Math.max(band.x1, band.x2), Math.min(band.y1, band.y2), Math.max(band.y1, band.y2)];
          select(places.filter((point) => point.x >= left && point.x <= right && point.y >= top && point.y <= bottom).map(({ row }) => row), adding);
        },
        clicked: (px, py, adding) => {
          const point = nearest(px, py);
          select(point ? [point.row] : [], adding);
        },
        hovered: (event, px, py) => {
          const point = nearest(px, py);
          if (!point) tooltip.hide();
          else tooltip.show(event.clientX, event.clientY, particleName(layers, point.row), [x, y].map((column) => ({ label: column.title, value: formatNumber(column.values[point.row]!, column.unit) })));
        },
        left: () => tooltip.hide(),
      });
      paint();
      return h('figure', { class: 'pair-cell' }, canvas, h('figcaption', {}, strings.against(y.title, x.title)));
    }
  };
  const stops = [store.watch(['columns', 'pairColumns', 'selection', 'theme'], draw)];
  return { element, dispose: () => stops.forEach((stop) => stop()) };
}

/** Canvas pixels; the style sheet scales them to the place there is. */
const side = 220;
const inset = 12;
const mostColumns = 5;

interface Band {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

interface BrushHandlers {
  moved(band: Band): void;
  ended(band: Band, adding: boolean): void;
  clicked(x: number, y: number, adding: boolean): void;
  hovered(event: PointerEvent, x: number, y: number): void;
  left(): void;
}

function brush(canvas: HTMLCanvasElement, { moved, ended, clicked, hovered, left }: BrushHandlers): void {
  let from: { x: number; y: number } | undefined;
  const at = (event: PointerEvent) => ({ x: (event.offsetX / canvas.clientWidth) * side, y: (event.offsetY / canvas.clientHeight) * side });
  const band = (event: PointerEvent): Band => ({ x1: from!.x, y1: from!.y, x2: at(event).x, y2: at(event).y });
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    from = at(event);
  });
  canvas.addEventListener('pointermove', (event) => (from ? moved(band(event)) : hovered(event, at(event).x, at(event).y)));
  canvas.addEventListener('pointerup', (event) => {
    if (!from) return;
    const drawn = band(event);
    from = undefined;
    const adding = event.shiftKey || event.ctrlKey || event.metaKey;
    if (Math.abs(drawn.x2 - drawn.x1) + Math.abs(drawn.y2 - drawn.y1) > 6) ended(drawn, adding);
    else clicked(drawn.x2, drawn.y2, adding);
  });
  canvas.addEventListener('pointerleave', left);
}

function usableColumns(columns: ReadonlyMap<string, ColumnData>): ColumnData[] {
  return columnGroups(columns).flatMap((group) => group.columns).filter((column) => column.scale !== 'categorical');
}

function varies({ values }: ColumnData, { firstRow, count }: ParticleLayer): boolean {
  const { min, max } = extent(values.subarray(firstRow, firstRow + count));
  return max > min;
}

function pickBox(column: ColumnData, on: boolean, changed: (on: boolean) => void): HTMLElement {
  const id = uniqueId('pair');
  const box = h('input', { type: 'checkbox', id, checked: on, on: { change: () => changed(box.checked) } });
  return h('label', { class: 'check small', htmlFor: id, title: column.meaning }, box, column.title);
}
