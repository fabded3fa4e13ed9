import type { Theme } from '../theme';
import type { Camera, ViewSize } from './camera';
import { cellOf, type Block, type Layout, type Rectangle } from './layout';

export interface Decorations {
  readonly selected: ReadonlySet<number>;
  /** Rows drawn hatched: what a suggestion would remove. */
  readonly hatched: ReadonlySet<number>;
  readonly focused?: number;
  /** The rectangle being dragged, in layout pixels. */
  readonly band?: Rectangle;
}

/** Colour of each row as 0xAABBGGRR; alpha 0 is "no value". */
export type CellColours = Uint32Array;

/**
 * Draws cells. Few and large ones are drawn one by one with round corners; many become pictures with one pixel a cell
 * (tiles, kept until colours change) that the canvas scales, so that cost follows the screen, not the model.
 */
export class HeatmapPainter {
  private readonly context: CanvasRenderingContext2D;
  private readonly tiles = new Map<string, HTMLCanvasElement>();
  private colours: CellColours = new Uint32Array();

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser has no 2-D canvas.');
    this.context = context;
  }

  setColours(colours: CellColours): void {
    this.colours = colours;
    this.tiles.clear();
  }

  /** Tiles belong to one way of wrapping. */
  layoutChanged(): void {
    this.tiles.clear();
  }

  draw(layout: Layout, camera: Camera, view: ViewSize, decorations: Decorations, theme: Theme): void {
    const ratio = devicePixelRatio || 1;
    const width = Math.round(view.width * ratio);
    const height = Math.round(view.height * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    const cell = layout.cell * camera.scale;
    const visible = layout.blocks.filter((block) => {
      const top = block.cellsTop * camera.scale - camera.top;
      return top < view.height && top + block.lines * cell > 0;
    });
    for (const block of visible) {
      const lines = visibleLines(block, layout, camera, view);
      const cells = (lines.to - lines.from) * block.columns;
      if (cell >= 6 && cells <= maxSingleCells) this.drawCells(block, lines, layout, camera, view, theme);
      else this.drawTiles(block, lines, layout, camera, theme);
    }
    this.drawDecorations(layout, camera, view, decorations, theme);
  }

  private drawCells(block: Block, lines: Span, layout: Layout, camera: Camera, view: ViewSize, theme: Theme): void {
    const { context } = this;
    const side = layout.cell * camera.scale;
    const gap = side >= 14 ? 2 : 1;
    const radius = side >= 14 ? Math.min(4, side / 8) : 0;
    const from = Math.max(0, Math.floor(camera.left / side));
    const to = Math.min(block.columns, Math.ceil((camera.left + view.width) / side));
    for (let line = lines.from; line < lines.to; line++) {
      const y = (block.cellsTop + line * layout.cell) * camera.scale - camera.top;
      for (let column = from; column < to; column++) {
        const index = line * block.columns + column;
        if (index >= block.count) break;
        const colour = this.colours[block.firstRow + index] ?? 0;
        const x = column * side - camera.left;
        context.beginPath();
        if (radius > 0) context.roundRect(x, y, side - gap, side - gap, radius);
        else context.rect(x, y, side - gap, side - gap);
        if (colour >>> 24 === 0) {
          drawMissing(context, x, y, side - gap, theme);
        } else {
          context.fillStyle = css(colour);
          context.fill();
        }
      }
    }
  }

  private drawTiles(block: Block, lines: Span, layout: Layout, camera: Camera, theme: Theme): void {
    const { context } = this;
    const side = layout.cell * camera.scale;
    context.imageSmoothingEnabled = side < 1.5;
    for (let tile = Math.floor(lines.from / tileLines); tile * tileLines < lines.to; tile++) {
      const first = tile * tileLines;
      const count = Math.min(tileLines, block.lines - first);
      const picture = this.tile(block, tile, count, theme);
      const y = (block.cellsTop + first * layout.cell) * camera.scale - camera.top;
      context.drawImage(picture, -camera.left, y, block.columns * side, count * side);
    }
    if (side < 5) return;
    // Thin lines of background keep cells apart.
    context.fillStyle = theme.background;
    const top = (block.cellsTop + lines.from * layout.cell) * camera.scale - camera.top;
    const height = (lines.to - lines.from) * side;
    for (let column = 1; column <= block.columns; column++) context.fillRect(column * side - camera.left - 1, top, 1, height);
    for (let line = 1; line <= lines.to - lines.from; line++) {
      context.fillRect(-camera.left, top + line * side - 1, block.columns * side, 1);
    }
  }

  private tile(block: Block, index: number, lines: number, theme: Theme): HTMLCanvasElement {
    const key = `${block.layer}:${index}`;
    const known = this.tiles.get(key);
    if (known) return known;
    const picture = document.createElement('canvas');
    picture.width = block.columns;
    picture.height = lines;
    const context = picture.getContext('2d')!;
    const image = context.createImageData(block.columns, lines);
    const pixels = new Uint32Array(image.data.buffer);
    const first = index * tileLines * block.columns;
    const count = Math.min(block.count - first, lines * block.columns);
    const missing = parseGrey(theme.grid);
    for (let i = 0; i < count; i++) {
      const colour = this.colours[block.firstRow + first + i] ?? 0;
      pixels[i] = colour >>> 24 === 0 ? missing : colour;
    }
    context.putImageData(image, 0, 0);
    this.tiles.set(key, picture);
    return picture;
  }

  private drawDecorations(layout: Layout, camera: Camera, view: ViewSize, decorations: Decorations, theme: Theme): void {
    const { context } = this;
    const side = layout.cell * camera.scale;
    const gap = side >= 14 ? 2 : side >= 5 ? 1 : 0;
    const place = (row: number): Rectangle | undefined => {
      const cell = cellOf(layout, row);
      if (!cell) return undefined;
      const left = cell.left * camera.scale - camera.left;
      const top = cell.top * camera.scale - camera.top;
      if (left > view.width || top > view.height || left + side < 0 || top + side < 0) return undefined;
      return { left, top, width: side - gap, height: side - gap };
    };
    for (const row of decorations.hatched) {
      const cell = place(row);
      if (cell) hatch(context, cell, theme);
    }
    context.lineWidth = side >= 10 ? 2 : 1;
    context.strokeStyle = theme.selection;
    for (const row of decorations.selected) {
      const cell = place(row);
      if (cell) context.strokeRect(cell.left, cell.top, cell.width, cell.height);
    }
    const focused = decorations.focused === undefined ? undefined : place(decorations.focused);
    if (focused) {
      // Two lines: one of them shows on every cell colour.
      context.lineWidth = 4;
      context.strokeStyle = theme.background;
      context.strokeRect(focused.left - 1, focused.top - 1, focused.width + 2, focused.height + 2);
      context.lineWidth = 2;
      context.strokeStyle = theme.focus;
      context.strokeRect(focused.left - 1, focused.top - 1, focused.width + 2, focused.height + 2);
    }
    if (decorations.band) {
      const { left, top, width, height } = decorations.band;
      const x = left * camera.scale - camera.left;
      const y = top * camera.scale - camera.top;
      context.lineWidth = 1;
      context.strokeStyle = theme.focus;
      context.fillStyle = `${theme.focus}33`;
      context.fillRect(x, y, width * camera.scale, height * camera.scale);
      context.strokeRect(x + 0.5, y + 0.5, width * camera.scale, height * camera.scale);
    }
  }
}

interface Span {
  readonly from: number;
  readonly to: number;
}

const tileLines = 256;
/** Up to here drawing cells one by one takes a few milliseconds. */
const maxSingleCells = 4000;

function visibleLines(block: Block, layout: Layout, camera: Camera, view: ViewSize): Span {
  const side = layout.cell * camera.scale;
  const top = block.cellsTop * camera.scale - camera.top;
  return {
    from: Math.max(0, Math.floor(-top / side)),
    to: Math.min(block.lines, Math.ceil((view.height - top) / side)),
  };
}

/** A cell without value: an outline with a stroke through it, told apart from any colour. */
function drawMissing(context: CanvasRenderingContext2D, x: number, y: number, side: number, theme: Theme): void {
  context.strokeStyle = `${theme.muted}99`;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
  context.beginPath();
  context.moveTo(x + side * 0.3, y + side * 0.7);
  context.lineTo(x + side * 0.7, y + side * 0.3);
  context.stroke();
}

function hatch(context: CanvasRenderingContext2D, cell: Rectangle, theme: Theme): void {
  context.save();
  context.beginPath();
  context.rect(cell.left, cell.top, cell.width, cell.height);
  context.clip();
  context.fillStyle = `${theme.background}b0`;
  context.fillRect(cell.left, cell.top, cell.width, cell.height);
  context.strokeStyle = theme.foreground;
  context.lineWidth = cell.width >= 10 ? 1.5 : 1;
  const step = Math.max(3, Math.min(6, cell.width / 3));
  context.beginPath();
  for (let offset = -cell.height; offset < cell.width; offset += step) {
    context.moveTo(cell.left + offset, cell.top + cell.height);
    context.lineTo(cell.left + offset + cell.height, cell.top);
  }
  context.stroke();
  context.restore();
}

function css(colour: number): string {
  return `rgb(${colour & 255} ${(colour >>> 8) & 255} ${(colour >>> 16) & 255})`;
}

function parseGrey(colour: string): number {
  const number = Number.parseInt(colour.slice(1), 16);
  return ((0xff << 24) | ((number & 255) << 16) | (number & 0xff00) | ((number >> 16) & 255)) >>> 0;
}
