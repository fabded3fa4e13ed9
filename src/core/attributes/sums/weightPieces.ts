import { bytesPerElement, elementCount, type DType, type Tensor } from '../../graph/tensor';

/**
 * A part of a weight that one thread sums at a time. The stored elements are seen as [outer, size, inner], where `size`
 * is the sliced axis; sums are kept for a window of `entries` entries from `firstEntry` on.
 */
export type WeightPiece = RunPiece | ColumnPiece;

interface PieceCommon {
  readonly dtype: DType;
  /** Of the tensor in its file. */
  readonly offset: number;
  readonly firstEntry: number;
  readonly entries: number;
}

/** Elements [start, end) of the tensor; entries are indices of the sliced axis, whose runs of `inner` elements lie one behind the other. */
export interface RunPiece extends PieceCommon {
  readonly kind: 'runs';
  readonly size: number;
  readonly inner: number;
  readonly start: number;
  readonly end: number;
}

/** Columns [firstEntry, firstEntry + entries) of rows [firstRow, firstRow + rows) of `width` elements; entries are columns: index * inner + place in the run. */
export interface ColumnPiece extends PieceCommon {
  readonly kind: 'columns';
  readonly width: number;
  readonly firstRow: number;
  readonly rows: number;
}

export interface WeightGeometry {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** How the elements of an axis of a row-major array lie. */
export function geometryOf(shape: readonly number[], axis: number): WeightGeometry {
  return { outer: elementCount(shape.slice(0, axis)), size: shape[axis]!, inner: elementCount(shape.slice(axis + 1)) };
}

/** Whether the tensor's elements can be summed from its file as they lie there. */
export function summableInFile({ stored, dtype, shape }: Tensor): boolean {
  return stored !== undefined && isSummable(dtype) && stored.sizeBytes === elementCount(shape) * elementBytes(dtype);
}

export function elementBytes(dtype: DType): number {
  return bytesPerElement[dtype as Exclude<DType, 'string'>];
}

/** Cuts a weight into pieces of about `pieceElements`, such that no piece needs more than `mostEntries` sums. */
export function cutIntoPieces(
  common: { readonly dtype: DType; readonly offset: number }, { outer, size, inner }: WeightGeometry, pieceElements = 1 << 22,
): WeightPiece[] {
  const pieces: WeightPiece[] = [];
  if (outer * size * inner === 0) return pieces;
  if (outer === 1 || inner >= shortestRun) {
    // A piece of more entries than fit stays within one block, where its window is where its runs are.
    const whole = size <= mostEntries;
    const span = whole ? outer * size * inner : size * inner;
    const step = whole ? pieceElements : Math.min(pieceElements, mostEntries * inner);
    for (let block = 0; block < outer * size * inner; block += span) {
      for (let from = 0; from < span; from += step) {
        const [start, end] = [block + from, block + Math.min(from + step, span)];
        const window = windowOf(start, end, size, inner);
        pieces.push({ ...common, kind: 'runs', size, inner, start, end, ...window });
      }
    }
    return pieces;
  }
  const width = size * inner;
  for (let firstEntry = 0; firstEntry < width; firstEntry += mostEntries) {
    const entries = Math.min(mostEntries, width - firstEntry);
    const step = Math.max(1, Math.floor(pieceElements / entries));
    for (let firstRow = 0; firstRow < outer; firstRow += step) {
      pieces.push({ ...common, kind: 'columns', width, firstEntry, entries, firstRow, rows: Math.min(step, outer - firstRow) });
    }
  }
  return pieces;
}

export function pieceElementCount(piece: WeightPiece): number {
  return piece.kind === 'runs' ? piece.end - piece.start : piece.rows * piece.entries;
}

/** 8 MiB of sums. */
const mostEntries = 1 << 18;
/** Shorter runs are summed as columns, whose ends need no care of their own. */
const shortestRun = 32;

function windowOf(start: number, end: number, size: number, inner: number): { firstEntry: number; entries: number } {
  const [first, last] = [Math.floor(start / inner), Math.floor((end - 1) / inner)];
  const wraps = Math.floor(first / size) !== Math.floor(last / size);
  return wraps ? { firstEntry: 0, entries: size } : { firstEntry: first % size, entries: last - first + 1 };
}

function isSummable(dtype: DType): boolean {
  return dtype !== 'string' && dtype !== 'complex64' && dtype !== 'complex128' && Number.isInteger(bytesPerElement[dtype]);
}
