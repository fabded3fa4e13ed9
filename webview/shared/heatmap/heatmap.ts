import type { ParticleLayer } from '../../../src/core/charts/particleLayers';
import { h, uniqueId } from '../dom';
import { strings } from '../strings';
import type { Theme } from '../theme';
import type { Tooltip, TooltipLine } from '../tooltip';
import { clamped, panned, revealing, wholeWidth, zoomed, type Camera, type ViewSize } from './camera';
import { blockIndexAt, blockOfRow, cellOf, labelHeight, layOut, moved, rowAt, rowsIn, rowsInside, type Layout, type Point, type Rectangle } from './layout';
import { moves, range } from './keys';
import { LayerLabels } from './layerLabels';
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
 * scrolls, with Ctrl it zooms; zooming out beyond the usual size wraps smaller cells until the whole model is in sight; the
 * middle button drags. With Alt (or the lasso button) dragging draws a line around cells. Arrows move a focus cell that screen readers follow: a real
 * grid cell element lies over it.
 */
export class Heatmap {
  readonly element: HTMLElement;
  private readonly canvas = h('canvas', { class: 'heatmap-canvas', attributes: { 'aria-hidden': 'true' } });
  private readonly labels: LayerLabels;
  private readonly cell = h('div', { class: 'heatmap-cell', id: uniqueId('cell'), attributes: { role: 'gridcell' } });
  private readonly line = h('div', { attributes: { role: 'row' } }, this.cell);
  private readonly grid: HTMLElement;
  private readonly status = h('div', { class: 'heatmap-status', attributes: { role: 'status' } });
  private readonly lassoButton = h('button', { class: 'icon-button', type: 'button', title: strings.lasso, attributes: { 'aria-label': strings.lasso, 'aria-pressed': 'false' }, on: { click: () => this.setLasso(!this.lassoMode) } }, '◌');
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
  private lasso: Point[] | undefined;
  /** Whether dragging draws a line around cells instead of a rectangle. */
  private lassoMode = false;
  /** How often cells were halved to see more of the model. */
  private density = 0;
  private zoomingOut = 1;
  private drag: Drag | undefined;
  private frame = 0;
  private cells = 0;

  constructor(private readonly options: HeatmapOptions) {
    this.theme = options.theme;
    this.labels = new LayerLabels(options.layerChosen);
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
        this.labels.element,
        h(
          'div',
          { class: 'heatmap-zoom' },
          this.lassoButton,
          button('−', strings.zoomOut, zoom(1 / 1.5)),
          button('+', strings.zoomIn, zoom(1.5)),
          button('⤢', strings.zoomReset, () => this.setDensity(this.mostDense())),
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
    this.labels.element.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    this.resizes.observe(this.element);
  }

  setLayers(layers: readonly ParticleLayer[]): void {
    this.layers = layers;
    this.labels.show(layers);
    this.focused = layers[0]?.firstRow ?? 0;
    this.anchor = this.focused;
    this.layOut();
    this.grid.setAttribute('aria-rowcount', String(layers.length));
    this.grid.setAttribute('aria-colcount', String(Math.max(0, ...layers.map((layer) => layer.count))));
    this.grid.dataset.cells = String(layers.reduce((sum, layer) => sum + layer.count, 0));
    this.describeFocus();
  }

  setColours(colours: CellColours): void {
    const grown = colours.length !== this.cells;
    this.cells = colours.length;
    this.painter.setColours(colours);
    if (grown) this.painter.setMarks(this.selected, this.hatched);
    this.describeFocus();
    this.redraw();
  }

  setSelection(rows: readonly number[]): void {
    this.selected = new Set(rows);
    this.painter.setMarks(this.selected, this.hatched);
    this.describeFocus();
    this.redraw();
  }

  setHatched(rows: readonly number[]): void {
    this.hatched = new Set(rows);
    this.painter.setMarks(this.selected, this.hatched);
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
    this.layout = this.layoutAt(this.density);
    this.painter.layoutChanged();
    const height = Math.max(labelHeight * 2, Math.min(this.layout.height + 6, mostHeight()));
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
    this.labels.place(this.layout, this.camera, this.view);
    this.placeCell();
    this.redraw();
  }

  private setLasso(on: boolean): void {
    this.lassoMode = on;
    this.lassoButton.setAttribute('aria-pressed', String(on));
  }

  private layoutAt(density: number): Layout {
    const compact = density > 0 && this.layers.length * labelHeight > mostHeight() / 3;
    return layOut(this.layers, this.view.width, density, compact);
  }

  /** The density at which the whole model is in sight; 0 when it already is. */
  private mostDense(): number {
    for (let density = 0; density < mostHalvings; density++) {
      if (this.layoutAt(density).height <= mostHeight()) return density;
    }
    return mostHalvings;
  }

  /** Larger or smaller cells, wrapped anew; what is at `y` stays there. */
  private setDensity(density: number, y = 0): void {
    this.zoomingOut = 1;
    const row = rowAt(this.layout, ...this.toLayout(1, y)) ?? this.layout.blocks[blockIndexAt(this.layout, this.toLayout(0, y)[1])]?.firstRow;
    this.density = density;
    this.grid.dataset.density = String(density);
    this.camera = wholeWidth;
    this.layOut();
    const cell = row === undefined ? undefined : cellOf(this.layout, row);
    if (cell) this.setCamera({ ...wholeWidth, top: cell.top - y });
  }

  private zoom(factor: number, x: number, y: number): void {
    if (this.camera.scale === 1 && (factor < 1 || this.density > 0)) {
      this.zoomingOut *= factor;
      if (this.zoomingOut < 0.7 && this.density < this.mostDense()) this.setDensity(this.density + 1, y);
      else if (this.zoomingOut > 1.4 && this.density > 0) this.setDensity(this.density - 1, y);
      if (this.density > 0 || factor < 1) return;
    }
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
          ...(this.lasso ? { lasso: this.lasso } : {}),
        },
        this.theme,
      );
    });
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
      this.setDensity(0);
    } else if (event.key === '9') {
      this.setDensity(this.mostDense());
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
    } else if (this.lassoMode || event.altKey || this.lasso) {
      const [x, y] = this.toLayout(event.offsetX, event.offsetY);
      this.lasso ??= [pointOf(this.toLayout(drag.x, drag.y))];
      this.lasso.push({ x, y });
      this.redraw();
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
    const { drag, band, lasso } = this;
    this.endDrag();
    if (!drag || drag.pan) return;
    const adding = event.ctrlKey || event.metaKey;
    if (drag.moved && (band || lasso)) {
      const rows = lasso ? rowsInside(this.layout, lasso) : rowsIn(this.layout, band!);
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
    this.lasso = undefined;
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

/** 4 pixels to a 32nd of one: more than 16 million cells in sight. */
const mostHalvings = 7;

function pointOf([x, y]: [number, number]): Point {
  return { x, y };
}

/** The map leaves room for its legend and what comes next. */
function mostHeight(): number {
  return Math.max(220, Math.round(innerHeight * 0.58));
}

interface Drag {
  readonly pan: boolean;
  readonly x: number;
  readonly y: number;
  lastX: number;
  lastY: number;
  moved: boolean;
}
