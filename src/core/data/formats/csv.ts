import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { inMemory, type ArraySource, type DataFile, type DataFormat } from '../arraySource';
import { wholeFile } from '../inflate';
import { categorical } from './npy';

/**
 * Comma- or tab-separated values (RFC 4180 quoting). Columns are arrays, named by the header, or '0', '1', ... when the
 * first row is all numbers; '2:785' and 'a:c' are tables of columns, from the first to before / up to the last.
 */
export const csv: DataFormat = {
  title: 'CSV',
  match: (name) => /\.(csv|tsv)(\.gz)?$/i.test(name),
  open: openCsv,
};

async function openCsv(source: ByteSource, memoryBytes: number): Promise<DataFile> {
  // Cells take several times the room of their text.
  const text = new TextDecoder().decode(await wholeFile(source, memoryBytes / 8)).replace(/^\uFEFF/, '');
  const separator = /\.tsv/i.test(source.name) ? '\t' : ',';
  const rows = parseRows(text, separator);
  const first = rows[0];
  if (!first) throw new ParticlizeError({ file: source.name, cause: 'it has no rows' });
  const headless = first.every((cell) => cell.trim() !== '' && Number.isFinite(Number(cell)));
  const names = headless ? first.map((_, column) => String(column)) : first.map((cell) => cell.trim());
  const body = headless ? rows : rows.slice(1);
  const odd = body.findIndex((row) => row.length !== names.length);
  if (odd >= 0) {
    throw new ParticlizeError({
      file: source.name, place: `row ${odd + (headless ? 1 : 2)}`,
      cause: `it has ${body[odd]!.length} cells where ${names.length} are wanted`,
    });
  }
  return {
    arrays: names,
    array: async (name) => columnsNamed(name, names, body, source.name),
  };
}

function columnsNamed(name: string, names: readonly string[], body: readonly string[][], file: string): ArraySource {
  const column = names.indexOf(name);
  if (column >= 0) return oneColumn(body.map((row) => row[column]!));
  const [first, last] = columnRange(name, names, file);
  const data = new Float32Array(body.length * (last - first));
  body.forEach((row, index) => {
    for (let at = first; at < last; at++) {
      const value = numberOf(row[at]!);
      if (value === undefined) {
        throw new ParticlizeError({
          file, place: `data row ${index}, column ${names[at]}`, cause: `'${row[at]}' is not a number`,
        });
      }
      data[index * (last - first) + at - first] = value;
    }
  });
  return inMemory({ dtype: 'float32', shape: [body.length, last - first], data });
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

function oneColumn(cells: readonly string[]): ArraySource {
  const numbers = cells.map(numberOf);
  if (numbers.some((value) => value === undefined)) return categorical(cells);
  const whole = numbers.every((value) => Number.isInteger(value) && Math.abs(value!) < 2 ** 31);
  const data = whole ? Int32Array.from(numbers as number[]) : Float64Array.from(numbers as number[]);
  return inMemory({ dtype: whole ? 'int32' : 'float64', shape: [cells.length], data });
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
    if (text[at] === '\r') at++;
    if (text[at] === '\n') at++;
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
  }
  return rows;
}
