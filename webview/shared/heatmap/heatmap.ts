import type { ParticleLayer } from '../../../src/core/charts/particleLayers';
import { fill, h, uniqueId } from '../dom';
import { strings } from '../strings';
import type { Theme } from '../theme';
import type { Tooltip, TooltipLine } from '../tooltip';
import { clamped, panned, revealing, wholeWidth, zoomed, type Camera, type ViewSize } from './camera';
import { blockOfRow, cellOf, labelHeight, layOut, moved, rowAt, rowsIn, type Layout, type Move, type Rectangle } from './layout';
import { HeatmapPainter, type CellColours } from './painter';

export interface HeatmapOptions {
  readonly label: string;
  readonly theme: Theme;
  readonly tooltip: Tooltip;
  /** What tooltip and screen reader say of a particle. */
  readonly describe: (row: number) => { readonly title: string; readonly lines: readonly TooltipLine[] };
  /** The user selected; `active` is the row that was clicked or focused last. */
  readonly selected?: (rows: readonly number[], active: number) => void;
  readonly layerChosen?: (name: string) => void;
}

/**
 * Cells of particles, a block a layer, on a canvas. Click, shift-click, Ctrl-click and dragging select; the wheel
 * scrolls, with Ctrl it zooms; the middle button drags. Arrows move a focus cell that screen readers follow: a real
 * grid cell element lies over it.
 */
export class Heatmap {
  readonly element: HTMLElement;
  private readonly canvas = h('canvas', { class: 'heatmap-canvas', attributes: { 'aria-hidden': 'true' } });
  private readonly labels = h('div', { class: 'heatmap-labels' });
  private readonly cell = h('div', { class: 'heatmap-cell', id: uniqueId('cell'), attributes: { role: 'gridcell' } });
  private readonly line = h('div', { attributes: { role: 'row' } }, this.cell);
  private readonly grid: HTMLElement;
  private readonly status = h('div', { class: 'heatmap-status', attributes: { role: 'status' } });
  private readonly painter = new HeatmapPainter(this.canvas);
  private readonly resizes = new ResizeObserver(() => this.resized());

  private layers: readonly ParticleLayer[] = [];
  private layout: Layout = layOut([], 0);
  private camera: Camera = wholeWidth;
  private view: ViewSize = { width: 0, height: 0 };
  private theme: Theme;
  private selected = new Set<number>();
  private hatched: ReadonlySet<number> = new Set();
  private focused = 0;
  private anchor = 0;
  private band: Rectangle | undefined;
  private drag: Drag | undefined;
  /** Labels in sight, by index of their layer; kept while they stay in sight so that the keyboard focus stays too. */
  private readonly labelOf = new Map<number, HTMLElement>();
  private frame = 0;

  constructor(private readonly options: HeatmapOptions) {
    this.theme = options.theme;
    this.grid = h(
      'div',
      {
        class: 'heatmap-grid',
        tabIndex: 0,
        attributes: {
          role: 'grid',
          'aria-label': options.label,
          'aria-multiselectable': 'true',
          'aria-activedescendant': this.cell.id,
        },
        on: { keydown: (event) => this.keyDown(event), focus: () => this.focusMoved(), blur: () => this.redraw() },
      },
      this.canvas,
      this.line,
    );
    const zoom = (factor: number) => () => this.zoom(factor, this.view.width / 2, this.view.height / 2);
    const button = (text: string, label: string, click: () => void) =>
      h('button', { class: 'icon-button', type: 'button', title: label, attributes: { 'aria-label': label }, on: { click } }, text);
    this.element = h(
      'div',
      { class: 'heatmap' },
      h(
        'div',
        { class: 'heatmap-view' },
        this.grid,
        this.labels,
        h(
          'div',
          { class: 'heatmap-zoom' },
          button('−', strings.zoomOut, zoom(1 / 1.5)),
          button('+', strings.zoomIn, zoom(1.5)),
          button('⤢', strings.zoomReset, () => this.setCamera(wholeWidth)),
        ),
      ),
      this.status,
    );
    this.canvas.addEventListener('pointerdown', (event) => this.pointerDown(event));
    this.canvas.addEventListener('pointermove', (event) => this.pointerMove(event));
    this.canvas.addEventListener('pointerup', (event) => this.pointerUp(event));
    this.canvas.addEventListener('pointercancel', () => this.endDrag());
    this.canvas.addEventListener('pointerleave', () => this.options.tooltip.hide());
    // Not passive: at the edge the page scrolls, elsewhere the map does.
    this.grid.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    this.labels.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    this.resizes.observe(this.element);
  }

  setLayers(layers: readonly ParticleLayer[]): void {
    this.layers = layers;
    this.labelOf.clear();
    fill(this.labels);
    this.focused = layers[0]?.firstRow ?? 0;
    this.anchor = this.focused;
    this.layOut();
    this.grid.setAttribute('aria-rowcount', String(layers.length));
    this.grid.setAttribute('aria-colcount', String(Math.max(0, ...layers.map((layer) => layer.count))));
    this.grid.dataset.cells = String(layers.reduce((sum, layer) => sum + layer.count, 0));
    this.describeFocus();
  }

  setColours(colours: CellColours): void {
    this.painter.setColours(colours);
    this.describeFocus();
    this.redraw();
  }

  setSelection(rows: readonly number[]): void {
    this.selected = new Set(rows);
    this.describeFocus();
    this.redraw();
  }

  setHatched(rows: readonly number[]): void {
    this.hatched = new Set(rows);
    this.grid.dataset.hatched = String(rows.length);
    this.redraw();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.painter.layoutChanged();
    this.redraw();
  }

  /** Brings a particle into sight and makes it the focus cell, without moving the keyboard focus. */
  reveal(row: number): void {
    const cell = cellOf(this.layout, row);
    if (!cell) return;
    this.focused = row;
    this.setCamera(revealing(this.camera, cell, this.layout, this.view));
    this.describeFocus();
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.resizes.disconnect();
  }

  private layOut(): void {
    this.layout = layOut(this.layers, this.view.width);
    this.painter.layoutChanged();
    const most = Math.max(220, Math.round(innerHeight * 0.58));
    const height = Math.max(labelHeight * 2, Math.min(this.layout.height + 6, most));
    this.view = { width: this.view.width, height };
    this.grid.style.height = `${height}px`;
    this.setCamera(this.camera);
  }

  private resized(): void {
    const width = this.grid.clientWidth;
    if (width === 0 || width === this.view.width) return;
    this.view = { ...this.view, width };
    this.layOut();
  }

  private setCamera(camera: Camera): void {
    this.camera = clamped(camera, this.layout, this.view);
    this.placeLabels();
    this.placeCell();
    this.redraw();
  }

  private zoom(factor: number, x: number, y: number): void {
    this.setCamera(zoomed(this.camera, factor, x, y, this.layout, this.view));
  }

  private redraw(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.view.width === 0) return;
      this.painter.draw(
        this.layout,
        this.camera,
        this.view,
        {
          selected: this.selected,
          hatched: this.hatched,
          ...(document.activeElement === this.grid ? { focused: this.focused } : {}),
          ...(this.band ? { band: this.band } : {}),
        },
        this.theme,
      );
    });
  }

  /** Labels are real buttons; only those in sight exist. */
  private placeLabels(): void {
    const { scale, top } = this.camera;
    const visible = this.layout.blocks.filter((block) => {
      const y = block.cellsTop * scale - top;
      return y > 0 && y - labelHeight < this.view.height;
    });
    const kept = new Set<number>();
    for (const block of visible) {
      kept.add(block.layer);
      let label = this.labelOf.get(block.layer);
      if (!label) {
        this.labelOf.set(block.layer, (label = this.makeLabel(this.layers[block.layer]!)));
        this.labels.append(label);
      }
      label.style.transform = `translateY(${Math.round(block.cellsTop * scale - top - labelHeight)}px)`;
    }
    for (const [layer, label] of this.labelOf) {
      if (kept.has(layer)) continue;
      label.remove();
      this.labelOf.delete(layer);
    }
  }

  private makeLabel(layer: ParticleLayer): HTMLElement {
    const { layerChosen } = this.options;
    const text = [h('span', { class: 'heatmap-layer' }, layer.name), h('span', { class: 'muted' }, strings.particleCount(layer.count, layer.kind))];
    if (!layerChosen) return h('div', { class: 'heatmap-label' }, ...text);
    const title = strings.showLayer(layer.name);
    return h('button', { class: 'heatmap-label', type: 'button', title, on: { click: () => layerChosen(layer.name) } }, ...text);
  }

  private placeCell(): void {
    const cell = cellOf(this.layout, this.focused);
    if (!cell) return;
    const { scale, left, top } = this.camera;
    const side = `${cell.width * scale}px`;
    this.cell.style.transform = `translate(${cell.left * scale - left}px, ${cell.top * scale - top}px)`;
    this.cell.style.width = side;
    this.cell.style.height = side;
  }

  /** The text of the focus cell, for screen readers and (when focused) the line below the map. */
  private describeFocus(): void {
    this.placeCell();
    const block = blockOfRow(this.layout, this.focused);
    this.grid.dataset.row = String(this.focused);
    if (!block) return;
    const text = this.text(this.focused);
    this.line.setAttribute('aria-rowindex', String(block.layer + 1));
    this.cell.setAttribute('aria-colindex', String(this.focused - block.firstRow + 1));
    this.cell.setAttribute('aria-selected', String(this.selected.has(this.focused)));
    this.cell.textContent = text;
    const selected = this.selected.size > 1 ? ` · ${strings.selectedCount(this.selected.size)}` : '';
    this.status.textContent = document.activeElement === this.grid ? text + selected : selected.slice(3);
  }

  private text(row: number): string {
    const { title, lines } = this.options.describe(row);
    return [title, ...lines.map(({ label, value }) => `${label} ${value}`)].join(', ');
  }

  private focusMoved(): void {
    this.describeFocus();
    this.redraw();
  }

  private keyDown(event: KeyboardEvent): void {
    const move = moves[event.key];
    if (move) {
      this.focused = moved(this.layout, this.focused, event.ctrlKey && move === 'home' ? 'previousLayer' : move);
      if (event.shiftKey) this.select(range(this.anchor, this.focused));
      this.reveal(this.focused);
    } else if (event.key === 'Enter' || event.key === ' ') {
      if (event.ctrlKey || event.metaKey) this.toggle(this.focused);
      else if (event.shiftKey) this.select(range(this.anchor, this.focused));
      else {
        this.anchor = this.focused;
        this.select([this.focused]);
      }
    } else if (event.key === 'Escape') {
      this.select([]);
    } else if (event.key === '+' || event.key === '=') {
      this.zoom(1.5, this.view.width / 2, this.view.height / 2);
    } else if (event.key === '-') {
      this.zoom(1 / 1.5, this.view.width / 2, this.view.height / 2);
    } else if (event.key === '0') {
      this.setCamera(wholeWidth);
    } else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      this.select(this.layers.flatMap((layer) => range(layer.firstRow, layer.firstRow + layer.count - 1)));
    } else {
      return;
    }
    event.preventDefault();
  }

  private select(rows: readonly number[]): void {
    this.setSelection(rows);
    this.options.selected?.(rows, this.focused);
  }

  private toggle(row: number): void {
    const rows = new Set(this.selected);
    if (!rows.delete(row)) rows.add(row);
    this.select([...rows].sort((a, b) => a - b));
  }

  private pointerDown(event: PointerEvent): void {
    const pan = event.button === 1;
    if (!pan && event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { pan, x: event.offsetX, y: event.offsetY, lastX: event.offsetX, lastY: event.offsetY, moved: false };
    if (pan) event.preventDefault();
  }

  private pointerMove(event: PointerEvent): void {
    const { drag } = this;
    if (!drag) {
      this.hover(event);
      return;
    }
    const far = Math.abs(event.offsetX - drag.x) + Math.abs(event.offsetY - drag.y) > 4;
    if (!drag.moved && !far) return;
    drag.moved = true;
    this.options.tooltip.hide();
    if (drag.pan) {
      this.setCamera(panned(this.camera, drag.lastX - event.offsetX, drag.lastY - event.offsetY, this.layout, this.view));
    } else {
      const [x1, y1] = this.toLayout(Math.min(drag.x, event.offsetX), Math.min(drag.y, event.offsetY));
      const [x2, y2] = this.toLayout(Math.max(drag.x, event.offsetX), Math.max(drag.y, event.offsetY));
      this.band = { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
      this.redraw();
    }
    drag.lastX = event.offsetX;
    drag.lastY = event.offsetY;
  }

  private pointerUp(event: PointerEvent): void {
    const { drag, band } = this;
    this.endDrag();
    if (!drag || drag.pan) return;
    const adding = event.ctrlKey || event.metaKey;
    if (drag.moved && band) {
      const rows = rowsIn(this.layout, band);
      this.select(adding || event.shiftKey ? [...new Set([...this.selected, ...rows])].sort((a, b) => a - b) : rows);
      return;
    }
    const row = rowAt(this.layout, ...this.toLayout(event.offsetX, event.offsetY));
    if (row === undefined) {
      if (!adding && !event.shiftKey) this.select([]);
      return;
    }
    this.focused = row;
    if (event.shiftKey) {
      this.select(range(this.anchor, row));
    } else {
      this.anchor = row;
      if (adding) this.toggle(row);
      else this.select([row]);
    }
    this.describeFocus();
  }

  private endDrag(): void {
    this.drag = undefined;
    this.band = undefined;
    this.redraw();
  }

  private hover(event: PointerEvent): void {
    const row = rowAt(this.layout, ...this.toLayout(event.offsetX, event.offsetY));
    if (row === undefined) {
      this.options.tooltip.hide();
      return;
    }
    const { title, lines } = this.options.describe(row);
    this.options.tooltip.show(event.clientX, event.clientY, title, lines);
  }

  private wheel(event: WheelEvent): void {
    this.options.tooltip.hide();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const box = this.grid.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * 0.004), event.clientX - box.left, event.clientY - box.top);
      return;
    }
    const before = this.camera;
    const dx = event.shiftKey ? event.deltaY : event.deltaX;
    this.setCamera(panned(before, dx, event.shiftKey ? 0 : event.deltaY, this.layout, this.view));
    if (this.camera.left !== before.left || this.camera.top !== before.top) event.preventDefault();
  }

  private toLayout(x: number, y: number): [number, number] {
    const { scale, left, top } = this.camera;
    return [(x + left) / scale, (y + top) / scale];
  }
}

interface Drag {
  readonly pan: boolean;
  readonly x: number;
  readonly y: number;
  lastX: number;
  lastY: number;
  moved: boolean;
}

const moves: Readonly<Record<string, Move>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
  Home: 'home',
  End: 'end',
  PageUp: 'previousLayer',
  PageDown: 'nextLayer',
};

function range(a: number, b: number): number[] {
  const from = Math.min(a, b);
  return Array.from({ length: Math.abs(a - b) + 1 }, (_, i) => from + i);
}
