import type { ParticleLayer } from '../../../src/core/charts/particleLayers';

/** Where a layer's cells lie, in pixels before zooming. */
export interface Block {
  /** Index of the layer. */
  readonly layer: number;
  readonly firstRow: number;
  readonly count: number;
  /** Top of the label; cells begin `labelHeight` below. */
  readonly top: number;
  readonly cellsTop: number;
  readonly columns: number;
  readonly lines: number;
}

export interface Layout {
  readonly blocks: readonly Block[];
  /** Side of a cell. */
  readonly cell: number;
  readonly width: number;
  readonly height: number;
  /** Labels lie over the cells, where there is room. */
  readonly compact: boolean;
}

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const labelHeight = 22;
const blockGap = 10;

/**
 * Layers one below the other, their particles in lines that wrap at `width`. Many particles get small cells; each step of
 * `density` halves them, down to a fraction of a pixel, so that all of a large model can be seen at once. `compact` leaves no room for labels: there are more layers than lines of text.
 */
export function layOut(layers: readonly ParticleLayer[], width: number, density = 0, compact = false): Layout {
  const total = layers.reduce((sum, layer) => sum + layer.count, 0);
  // Few enough to be looked at one by one: as large as lets 32 stand in a line.
  const roomy = Math.max(14, Math.min(24, Math.floor(width / 32)));
  const whole = total <= 400 ? roomy : total <= 2000 ? 16 : total <= 12_000 ? 11 : total <= 60_000 ? 7 : 4;
  const cell = whole / 2 ** density;
  const fits = Math.max(1, Math.floor(width / cell));
  // Widths of layers are mostly multiples of 8: lines that are too line up from layer to layer.
  const columns = fits >= 16 ? fits - (fits % 8) : fits;
  const [above, below] = compact ? [0, 2] : [labelHeight, blockGap];
  let top = 0;
  const blocks = layers.map((layer, index) => {
    const lines = Math.ceil(layer.count / columns);
    const block: Block = {
      layer: index,
      firstRow: layer.firstRow,
      count: layer.count,
      top,
      cellsTop: top + above,
      columns,
      lines,
    };
    top += above + lines * cell + below;
    return block;
  });
  return { blocks, cell, width, height: Math.max(0, top - below), compact };
}

/** The row at a point, or undefined between cells. */
export function rowAt(layout: Layout, x: number, y: number): number | undefined {
  const block = layout.blocks[blockIndexAt(layout, y)];
  if (!block || x < 0 || y < block.cellsTop) return undefined;
  const column = Math.floor(x / layout.cell);
  const line = Math.floor((y - block.cellsTop) / layout.cell);
  if (column >= block.columns || line >= block.lines) return undefined;
  const index = line * block.columns + column;
  return index < block.count ? block.firstRow + index : undefined;
}

export function cellOf(layout: Layout, row: number): Rectangle | undefined {
  const block = blockOfRow(layout, row);
  if (!block) return undefined;
  const index = row - block.firstRow;
  return {
    left: (index % block.columns) * layout.cell,
    top: block.cellsTop + Math.floor(index / block.columns) * layout.cell,
    width: layout.cell,
    height: layout.cell,
  };
}

/** Rows whose cells a rectangle touches. */
export function rowsIn(layout: Layout, area: Rectangle): number[] {
  const rows: number[] = [];
  const right = area.left + area.width;
  const bottom = area.top + area.height;
  for (const block of layout.blocks) {
    const from = Math.max(0, Math.floor((area.top - block.cellsTop) / layout.cell));
    const to = Math.min(block.lines - 1, Math.floor((bottom - block.cellsTop) / layout.cell));
    const first = Math.max(0, Math.floor(area.left / layout.cell));
    const last = Math.min(block.columns - 1, Math.floor(right / layout.cell));
    for (let line = from; line <= to; line++) {
      for (let column = first; column <= last; column++) {
        const index = line * block.columns + column;
        if (index < block.count) rows.push(block.firstRow + index);
      }
    }
  }
  return rows;
}

/** Rows whose cells have their middle inside a closed line. */
export function rowsInside(layout: Layout, line: readonly Point[]): number[] {
  const [xs, ys] = [line.map(({ x }) => x), line.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const bounds = { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
  return rowsIn(layout, bounds).filter((row) => {
    const cell = cellOf(layout, row)!;
    return isInside(line, cell.left + cell.width / 2, cell.top + cell.height / 2);
  });
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A ray to the right crosses the line an odd number of times. */
function isInside(line: readonly Point[], x: number, y: number): boolean {
  let inside = false;
  line.forEach((a, i) => {
    const b = line[(i + 1) % line.length]!;
    if (a.y > y !== b.y > y && x < a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x)) inside = !inside;
  });
  return inside;
}

export type Move = 'left' | 'right' | 'up' | 'down' | 'home' | 'end' | 'previousLayer' | 'nextLayer';

/** Where a key leads from a row; the same row where there is nothing further. */
export function moved(layout: Layout, row: number, move: Move): number {
  const block = blockOfRow(layout, row);
  const at = block?.layer ?? -1;
  if (!block) return layout.blocks[0]?.firstRow ?? 0;
  const index = row - block.firstRow;
  const column = index % block.columns;
  const previous = layout.blocks[at - 1];
  const next = layout.blocks[at + 1];
  switch (move) {
    case 'left':
      return index > 0 ? row - 1 : previous ? previous.firstRow + previous.count - 1 : row;
    case 'right':
      return index < block.count - 1 ? row + 1 : (next?.firstRow ?? row);
    case 'home':
      return block.firstRow;
    case 'end':
      return block.firstRow + block.count - 1;
    case 'previousLayer':
      return previous?.firstRow ?? block.firstRow;
    case 'nextLayer':
      return next?.firstRow ?? block.firstRow + block.count - 1;
    case 'up': {
      if (index >= block.columns) return row - block.columns;
      if (!previous) return row;
      const lastLine = (previous.lines - 1) * previous.columns;
      const above = lastLine + column < previous.count ? lastLine + column : previous.count - 1;
      return previous.firstRow + above;
    }
    case 'down': {
      if (index + block.columns < block.count) return row + block.columns;
      // The line below is shorter: its last cell.
      if (Math.floor(index / block.columns) < block.lines - 1) return block.firstRow + block.count - 1;
      return next ? next.firstRow + Math.min(column, next.count - 1) : row;
    }
  }
}

export function blockOfRow(layout: Layout, row: number): Block | undefined {
  const block = layout.blocks[lastIndex(layout.blocks, (candidate) => candidate.firstRow <= row)];
  return block && row >= block.firstRow && row < block.firstRow + block.count ? block : undefined;
}

/** Index of the last block that begins at or above y. */
export function blockIndexAt(layout: Layout, y: number): number {
  return lastIndex(layout.blocks, (block) => block.top <= y);
}

/** Binary search; `holds` is true up to some block and false from there on. */
function lastIndex(blocks: readonly Block[], holds: (block: Block) => boolean): number {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (holds(blocks[middle]!)) low = middle;
    else high = middle - 1;
  }
  return low;
}
