import type { Theme } from '../theme';
import type { Camera, ViewSize } from './camera';
import { parseColour } from '../../../src/core/charts/colourScales';
import { cellOf, type Block, type Layout, type Point, type Rectangle } from './layout';

export interface Decorations {
  readonly selected: ReadonlySet<number>;
  /** Rows drawn hatched: what a suggestion would remove. */
  readonly hatched: ReadonlySet<number>;
  readonly focused?: number;
  /** The rectangle being dragged, in layout pixels. */
  readonly band?: Rectangle;
  /** The line being drawn around cells, in layout pixels. */
  readonly lasso?: readonly Point[];
}

/** Colour of each row as 0xAABBGGRR; alpha 0 is "no value". */
export type CellColours = Uint32Array;

/**
 * Draws cells. Few and large ones are drawn one by one with round corners; many become pictures with one pixel a cell
 * (tiles, kept until colours change) that the canvas scales, so that cost follows the screen, not the model. Where cells are
 * smaller than a pixel, a pixel of a tile is the mean of those it stands for. Selection shows as an outline, on cells too
 * small for one as a tint of the tile.
 */
export class HeatmapPainter {
  private readonly context: CanvasRenderingContext2D;
  private readonly tiles = new Map<string, HTMLCanvasElement>();
  private colours: CellColours = new Uint32Array();
  private marks: Uint8Array | undefined;

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser has no 2-D canvas.');
    this.context = context;
  }

  setColours(colours: CellColours): void {
    this.colours = colours;
    this.tiles.clear();
  }

  /** Rows to tint where cells are too small for outlines and hatching. */
  setMarks(selected: ReadonlySet<number>, hatched: ReadonlySet<number>): void {
    const had = this.marks !== undefined;
    this.marks = undefined;
    if (selected.size > 0 || hatched.size > 0) {
      const marks = new Uint8Array(this.colours.length);
      for (const row of selected) marks[row] = selectedMark;
      for (const row of hatched) marks[row] = hatchedMark;
      this.marks = marks;
    }
    if (had || this.marks) for (const key of this.tiles.keys()) if (key.startsWith(smallTile)) this.tiles.delete(key);
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
    const level = Math.max(0, Math.floor(Math.log2(1 / (side * (devicePixelRatio || 1))) + 0.01));
    const step = tileLines << level;
    context.imageSmoothingEnabled = side < 1.5;
    for (let tile = Math.floor(lines.from / step); tile * step < lines.to; tile++) {
      const first = tile * step;
      const count = Math.min(step, block.lines - first);
      const picture = this.tile(block, first, count, level, side < smallCell, theme);
      const y = (block.cellsTop + first * layout.cell) * camera.scale - camera.top;
      context.drawImage(picture, -camera.left, y, (picture.width << level) * side, (picture.height << level) * side);
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

  /** A picture of some lines of a block, a pixel for each square of 2^level by 2^level cells. */
  private tile(block: Block, firstLine: number, lines: number, level: number, small: boolean, theme: Theme): HTMLCanvasElement {
    const key = `${small ? smallTile : ''}${block.layer}:${firstLine}:${level}`;
    const known = this.tiles.get(key);
    if (known) return known;
    const picture = document.createElement('canvas');
    picture.width = Math.ceil(block.columns / (1 << level));
    picture.height = Math.ceil(lines / (1 << level));
    const context = picture.getContext('2d')!;
    const image = context.createImageData(picture.width, picture.height);
    const pixels = new Uint32Array(image.data.buffer);
    const first = firstLine * block.columns;
    const count = Math.min(block.count - first, lines * block.columns);
    const at = this.colourReader(small, theme);
    const firstRow = block.firstRow + first;
    if (level === 0) {
      for (let i = 0; i < count; i++) pixels[i] = at(firstRow + i);
    } else {
      const { columns } = block;
      const sums = new Float32Array(pixels.length * 4);
      for (let i = 0; i < count; i++) {
        const colour = at(firstRow + i);
        const pixel = ((Math.floor(i / columns) >> level) * picture.width + ((i % columns) >> level)) * 4;
        sums[pixel] = sums[pixel]! + (colour & 255);
        sums[pixel + 1] = sums[pixel + 1]! + ((colour >>> 8) & 255);
        sums[pixel + 2] = sums[pixel + 2]! + ((colour >>> 16) & 255);
        sums[pixel + 3] = sums[pixel + 3]! + 1;
      }
      for (let pixel = 0; pixel < pixels.length; pixel++) {
        const cells = sums[pixel * 4 + 3]!;
        if (cells > 0) pixels[pixel] = packed(sums[pixel * 4]! / cells, sums[pixel * 4 + 1]! / cells, sums[pixel * 4 + 2]! / cells);
      }
    }
    context.putImageData(image, 0, 0);
    this.tiles.set(key, picture);
    return picture;
  }

  private colourReader(small: boolean, theme: Theme): (row: number) => number {
    const { colours, marks } = this;
    const missing = packed(...parseColour(theme.grid));
    const plain = (row: number): number => {
      const colour = colours[row] ?? 0;
      return colour >>> 24 === 0 ? missing : colour;
    };
    if (!small || !marks) return plain;
    const tints: Readonly<Record<number, readonly number[]>> = { [selectedMark]: parseColour(theme.selection), [hatchedMark]: parseColour(theme.background) };
    return (row) => {
      const colour = plain(row);
      const tint = tints[marks[row]!];
      if (!tint) return colour;
      const mixed = (shift: number, channel: number) => ((colour >>> shift) & 255) * 0.35 + tint[channel]! * 0.65;
      return packed(mixed(0, 0), mixed(8, 1), mixed(16, 2));
    };
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
    // Smaller ones are tinted in their tile.
    if (side >= smallCell) {
      for (const row of seen(decorations.hatched, layout, camera, view)) {
        const cell = place(row);
        if (cell) hatch(context, cell, theme);
      }
      context.lineWidth = side >= 10 ? 2 : 1;
      context.strokeStyle = theme.selection;
      for (const row of seen(decorations.selected, layout, camera, view)) {
        const cell = place(row);
        if (cell) context.strokeRect(cell.left, cell.top, cell.width, cell.height);
      }
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
    if (decorations.lasso) {
      context.lineWidth = 1.5;
      context.strokeStyle = theme.focus;
      context.fillStyle = `${theme.focus}33`;
      context.beginPath();
      for (const { x, y } of decorations.lasso) context.lineTo(x * camera.scale - camera.left, y * camera.scale - camera.top);
      context.closePath();
      context.fill();
      context.stroke();
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
/** Below this side an outline would hide the cell. */
const smallCell = 3;
const smallTile = 'small:';
const selectedMark = 1;
const hatchedMark = 2;

/** Rows of a set that may be in sight: of a large set only what the visible lines hold. */
function* seen(rows: ReadonlySet<number>, layout: Layout, camera: Camera, view: ViewSize): Iterable<number> {
  if (rows.size <= maxSingleCells) {
    yield* rows;
    return;
  }
  for (const block of layout.blocks) {
    const { from, to } = visibleLines(block, layout, camera, view);
    for (let index = from * block.columns; index < Math.min(block.count, to * block.columns); index++) {
      if (rows.has(block.firstRow + index)) yield block.firstRow + index;
    }
  }
}

function packed(red: number, green: number, blue: number): number {
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}
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
