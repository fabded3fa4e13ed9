import type { Span } from './definition';

/** The code cells of a notebook as one program. */
export interface JoinedCells {
  readonly text: string;
  /** Where a span of the text is; undefined when it does not lie in one cell. */
  placeOf(span: Span): CellPlace | undefined;
}

export interface CellPlace {
  /** Index of the cell in the list that was given. */
  readonly cell: number;
  readonly span: Span;
}

/**
 * One text of a notebook's code cells, in their order, so that a definition in one cell sees the constants of another. Lines
 * that only notebooks understand (`%matplotlib inline`, `!pip install`) become comments of the same length.
 */
export function joinCells(cells: readonly string[]): JoinedCells {
  const starts: number[] = [];
  let text = '';
  for (const cell of cells) {
    starts.push(text.length);
    const magic = cell.startsWith('%%') && !/^%%(time|timeit|capture|prun)\b/.test(cell);
    text += `${cell.split('\n').map((line) => (magic || /^\s*[%!?]/.test(line) ? hidden(line) : line)).join('\n')}\n`;
  }
  return {
    text,
    placeOf: ({ start, end }) => {
      let cell = starts.length - 1;
      while (cell > 0 && starts[cell]! > start) cell--;
      const from = starts[cell];
      if (from === undefined || start < from || end > from + cells[cell]!.length) return undefined;
      return { cell, span: { start: start - from, end: end - from } };
    },
  };
}

/** A line as a comment of the same length; in the middle of a block it stands where it stood. */
function hidden(line: string): string {
  const indent = line.length - line.trimStart().length;
  return line.length === indent ? line : `${line.slice(0, indent)}#${line.slice(indent + 1)}`;
}
