import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import type { NdArray } from '../../graph/tensor';
import { checkSize, inMemory, type ArraySource, type DataFile, type DataFormat } from '../arraySource';
import { inflated } from '../inflate';
import { categorical } from './npy';

/**
 * Comma- or tab-separated values (RFC 4180 quoting). Columns are arrays, named by the header, or '0', '1', ... when the
 * first row is all numbers; '2:785' and 'a:c' are tables of columns, from the first to before / up to the last. Opening passes over the
 * file once to find the rows; one column is read by a second pass and kept; tables of columns are read by ranges of rows.
 */
export const csv: DataFormat = {
  title: 'CSV',
  match: (name) => /\.(csv|tsv)(\.gz)?$/i.test(name),
  open: openCsv,
};

/** Rows between two known places in the file. */
const stepRows = 256;
const pieceBytes = 4 * 2 ** 20;
const longestRowBytes = 64 * 2 ** 20;

async function openCsv(packed: ByteSource, memoryBytes: number): Promise<DataFile> {
  const source = await inflated(packed, memoryBytes / 2);
  const table = new Table(source, /\.tsv/i.test(source.name) ? '\t' : ',', await findRows(source), memoryBytes);
  const first = (await table.rawRows(0, 1))[0];
  if (!first) throw new ParticlizeError({ file: source.name, cause: 'it has no rows' });
  const headless = first.every((cell) => cell.trim() !== '' && Number.isFinite(Number(cell)));
  table.names = headless ? first.map((_, column) => String(column)) : first.map((cell) => cell.trim());
  table.header = headless ? 0 : 1;
  await table.rows(0, Math.min(table.count, stepRows - 1));
  const columns = new Map<string, Promise<ArraySource>>();
  return {
    arrays: table.names,
    array(name) {
      let array = columns.get(name);
      if (!array) columns.set(name, (array = columnsNamed(name, table)));
      return array;
    },
  };
}

interface RowIndex {
  readonly count: number;
  /** Where rows 0, 256, 512, ... begin, and the end of the file. */
  readonly starts: readonly number[];
}

/** Finds rows as `parseRows` does: line ends outside quoted cells; empty lines are none. */
async function findRows(source: ByteSource): Promise<RowIndex> {
  const starts: number[] = [];
  let [count, rowStart] = [0, 0];
  let [quoted, closed, cellStart, empty] = [false, false, true, true];
  const separator = /\.tsv/i.test(source.name) ? 9 : 44;
  for (let offset = 0; offset < source.sizeBytes; offset += pieceBytes) {
    const bytes = await source.read(offset, Math.min(pieceBytes, source.sizeBytes - offset));
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (quoted) {
        if (byte === 34) [quoted, closed] = [false, true];
        continue;
      }
      if (byte === 10 || byte === 13) {
        if (!empty) {
          if (count % stepRows === 0) starts.push(rowStart);
          count++;
        }
        rowStart = offset + at + 1;
        [cellStart, empty, closed] = [true, true, false];
        continue;
      }
      if (byte === 34 && (cellStart || closed)) quoted = true;
      closed = false;
      cellStart = byte === separator;
      if (empty && offset + at - rowStart > longestRowBytes) throw tooLong(source, count);
      empty = false;
    }
    if (offset + bytes.length - rowStart > longestRowBytes) throw tooLong(source, count);
  }
  if (!empty) {
    if (count % stepRows === 0) starts.push(rowStart);
    count++;
  }
  return { count, starts: [...starts, source.sizeBytes] };
}

function tooLong(source: ByteSource, row: number): ParticlizeError {
  return new ParticlizeError({
    file: source.name, place: `row ${row + 1}`, cause: `it is longer than ${longestRowBytes / 2 ** 20} MB`, action: 'Look for a quote that is not closed',
  });
}

class Table {
  names: readonly string[] = [];
  header = 0;

  constructor(readonly source: ByteSource, private readonly separator: string, private readonly index: RowIndex, readonly memoryBytes: number) {}

  get count(): number {
    return this.index.count - this.header;
  }

  /** Cells of data rows [from, to). */
  async rows(from: number, to: number): Promise<string[][]> {
    const rows = await this.rawRows(from + this.header, to + this.header);
    const odd = rows.findIndex((row) => row.length !== this.names.length);
    if (odd < 0) return rows;
    throw new ParticlizeError({
      file: this.source.name, place: `row ${from + odd + this.header + 1}`,
      cause: `it has ${rows[odd]!.length} cells where ${this.names.length} are wanted`,
    });
  }

  async rawRows(from: number, to: number): Promise<string[][]> {
    const { starts } = this.index;
    const first = Math.floor(from / stepRows);
    const start = starts[first] ?? this.source.sizeBytes;
    const end = starts[Math.min(starts.length - 1, Math.ceil(to / stepRows))]!;
    // Cells take several times the room of their text.
    checkSize((end - start) * 8, this.memoryBytes, this.source.name);
    const text = new TextDecoder().decode(await this.source.read(start, end - start)).replace(/^\uFEFF/, '');
    return parseRows(text, this.separator).slice(from - first * stepRows, to - first * stepRows);
  }

  /** Rows in blocks, in order. */
  async forEach(visit: (rows: string[][], from: number) => void): Promise<void> {
    const block = stepRows * 16;
    // Blocks begin where a known place is, so that no row is read twice.
    for (let from = 0; from < this.count;) {
      const to = Math.min(this.count, Math.ceil((from + this.header + block) / stepRows) * stepRows - this.header);
      visit(await this.rows(from, to), from);
      from = to;
    }
  }
}

async function columnsNamed(name: string, table: Table): Promise<ArraySource> {
  const { names, source, count, memoryBytes } = table;
  const column = names.indexOf(name);
  if (column >= 0) return oneColumn(table, column);
  const [first, last] = columnRange(name, names, source.name);
  const array: ArraySource = {
    dtype: 'float32', shape: [count, last - first],
    async rows(from, to): Promise<NdArray> {
      checkSize((to - from) * (last - first) * 4, memoryBytes, source.name);
      const data = new Float32Array((to - from) * (last - first));
      (await table.rows(from, to)).forEach((row, index) => {
        for (let at = first; at < last; at++) {
          const value = numberOf(row[at]!);
          if (value === undefined) {
            throw new ParticlizeError({ file: source.name, place: `data row ${from + index}, column ${names[at]}`, cause: `'${row[at]}' is not a number` });
          }
          data[index * (last - first) + at - first] = value;
        }
      });
      return { dtype: 'float32', shape: [to - from, last - first], data };
    },
  };
  // A column of text among them shows in the first row already.
  await array.rows(0, Math.min(1, count));
  return array;
}

function columnRange(name: string, names: readonly string[], file: string): readonly [number, number] {
  const [from = '', to = ''] = name.split(':');
  const first = from === '' ? 0 : names.includes(from) ? names.indexOf(from) : Number(from);
  const last = to === '' ? names.length : names.includes(to) && !/^\d+$/.test(to) ? names.indexOf(to) + 1 : Number(to);
  const valid = name.includes(':') && Number.isInteger(first) && Number.isInteger(last);
  if (!valid || first < 0 || first >= last || last > names.length) {
    const known = names.slice(0, 8).join(', ') + (names.length > 8 ? `, ... (${names.length})` : '');
    throw new ParticlizeError({ file, cause: `it has no column '${name}'`, action: `Its columns are ${known}` });
  }
  return [first, last];
}

/** Numbers as long as every cell is one; else text. */
async function oneColumn(table: Table, column: number): Promise<ArraySource> {
  checkSize(table.count * 8, table.memoryBytes, table.source.name);
  const numbers = new Float64Array(table.count);
  let [numeric, whole] = [true, true];
  await table.forEach((rows, from) => rows.forEach((row, index) => {
    const value = numberOf(row[column]!);
    if (value === undefined) numeric = false;
    else if (!Number.isInteger(value) || Math.abs(value) >= 2 ** 31) whole = false;
    numbers[from + index] = value ?? NaN;
  }));
  if (numeric) return inMemory({ dtype: whole ? 'int32' : 'float64', shape: [table.count], data: whole ? Int32Array.from(numbers) : numbers });
  const texts: string[] = [];
  let characters = 0;
  await table.forEach((rows) => rows.forEach((row) => {
    texts.push(row[column]!);
    checkSize((characters += row[column]!.length + 16) * 2, table.memoryBytes, table.source.name, `column ${table.names[column]}`);
  }));
  return categorical(texts);
}

/** An empty cell is a missing number. */
function numberOf(cell: string): number | undefined {
  const text = cell.trim();
  if (text === '') return NaN;
  const value = Number(text);
  return Number.isNaN(value) && !/^nan$/i.test(text) ? undefined : value;
}

function parseRows(text: string, separator: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  let rowStart = 0;
  while (at < text.length) {
    let cell = '';
    if (text[at] === '"') {
      // Quoted: everything up to a quote that is not doubled.
      for (at++; at < text.length; at++) {
        if (text[at] !== '"') cell += text[at];
        else if (text[at + 1] === '"') cell += text[at++];
        else break;
      }
      at++;
    }
    const start = at;
    while (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r') at++;
    row.push(cell + text.slice(start, at));
    if (text[at] === separator) {
      at++;
      if (at < text.length && text[at] !== '\n' && text[at] !== '\r') continue;
      row.push('');
    }
    if (at > rowStart) rows.push(row);
    if (text[at] === '\r') at++;
    if (text[at] === '\n') at++;
    rowStart = at;
    row = [];
  }
  return rows;
}
