import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { elementCount, type NdArray } from '../../graph/tensor';
import { checkSize, inMemory, type ArraySource, type DataFile, type DataFormat } from '../arraySource';
import { inflated } from '../inflate';
import { nestedNumbers } from '../nestedNumbers';
import { categorical } from './npy';

/**
 * JSON lines: an object a line. Its fields are arrays: numbers, lists of numbers of one size (nested as well), or text. Opening
 * passes over the file once to find the lines; a list field is read by ranges of lines, numbers and text by one pass.
 */
export const jsonLines: DataFormat = {
  title: 'JSON lines',
  match: (name) => /\.(jsonl|ndjson)(\.gz)?$/i.test(name),
  open: openJsonLines,
};

const pieceBytes = 4 * 2 ** 20;
const longestLineBytes = 64 * 2 ** 20;
/** Lines looked at for names of fields. */
const namedLines = 32;

type Row = Readonly<Record<string, unknown>>;

async function openJsonLines(packed: ByteSource, memoryBytes: number): Promise<DataFile> {
  const source = await inflated(packed, memoryBytes / 2);
  const starts = await findLines(source);
  const count = starts.length - 1;
  const lines = async (from: number, to: number): Promise<Row[]> => {
    if (from >= to) return [];
    checkSize((starts[to]! - starts[from]!) * 4, memoryBytes, source.name);
    const bytes = await source.read(starts[from]!, starts[to]! - starts[from]!);
    const decoder = new TextDecoder();
    return Array.from({ length: to - from }, (_, index) => {
      const text = decoder.decode(bytes.subarray(starts[from + index]! - starts[from]!, starts[from + index + 1]! - starts[from]!));
      return parseLine(text, source.name, from + index);
    });
  };
  if (count === 0) throw new ParticlizeError({ file: source.name, cause: 'it has no rows' });
  const names = [...new Set((await lines(0, Math.min(count, namedLines))).flatMap((row) => Object.keys(row)))];
  const fields = new Map<string, Promise<ArraySource>>();
  return {
    arrays: names,
    array(name) {
      let field = fields.get(name);
      if (!field) fields.set(name, (field = openField(name, { count, lines, file: source.name, memoryBytes })));
      return field;
    },
  };
}

function parseLine(text: string, file: string, row: number): Row {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new ParticlizeError({ file, place: `line ${row + 1}`, cause: 'this is not valid JSON' }, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  throw new ParticlizeError({ file, place: `line ${row + 1}`, cause: 'a line should be an object with named fields' });
}

interface Lines {
  readonly count: number;
  readonly file: string;
  readonly memoryBytes: number;
  lines(from: number, to: number): Promise<Row[]>;
}

const blockLines = 1024;

async function openField(name: string, table: Lines): Promise<ArraySource> {
  const { count, file, memoryBytes, lines } = table;
  const first = (await lines(0, Math.min(count, namedLines))).map((row) => field(row, name)).find((value) => value !== null && value !== undefined);
  if (typeof first === 'string') {
    const texts: string[] = [];
    let characters = 0;
    for (let from = 0; from < count; from += blockLines) {
      for (const [index, row] of (await lines(from, Math.min(count, from + blockLines))).entries()) {
        const value = field(row, name) ?? '';
        if (typeof value !== 'string') throw wrong(file, from + index, name, 'is not text, as in other lines');
        texts.push(value);
        checkSize((characters += value.length + 16) * 2, memoryBytes, file, name);
      }
    }
    return categorical(texts);
  }
  const shape = nestedNumbers(first)?.shape;
  if (!shape) throw wrong(file, 0, name, 'is neither a number nor a list of numbers nor text');
  const rows = async (from: number, to: number): Promise<NdArray> => {
    const each = elementCount(shape);
    checkSize((to - from) * each * 8, memoryBytes, file, name);
    const data = new Float64Array((to - from) * each);
    for (const [index, row] of (await lines(from, to)).entries()) {
      const found = nestedNumbers(field(row, name) ?? NaN);
      const missing = found?.shape.length === 0 && Number.isNaN(found.values[0]);
      if (missing) data.fill(NaN, index * each, (index + 1) * each);
      else if (found && found.shape.join() === shape.join()) data.set(found.values, index * each);
      else throw wrong(file, from + index, name, `should be ${shape.length ? `a list of ${shape.join('×')} numbers` : 'a number'}, as in the first line`);
    }
    return { dtype: 'float64', shape: [to - from, ...shape], data };
  };
  if (shape.length) return { dtype: 'float64', shape: [count, ...shape], rows };
  checkSize(count * 8, memoryBytes, file, name);
  const values = new Float64Array(count);
  for (let from = 0; from < count; from += blockLines) {
    values.set((await rows(from, Math.min(count, from + blockLines))).data as Float64Array, from);
  }
  const whole = values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31);
  return inMemory({ dtype: whole ? 'int32' : 'float64', shape: [count], data: whole ? Int32Array.from(values) : values });
}

function field(row: Row, name: string): unknown {
  const value = Object.hasOwn(row, name) ? row[name] : undefined;
  return typeof value === 'boolean' ? Number(value) : value;
}

function wrong(file: string, row: number, name: string, cause: string): ParticlizeError {
  return new ParticlizeError({ file, place: `line ${row + 1}`, cause: `its field '${name}' ${cause}` });
}

/** Where lines that are not empty begin, and the end of the last. */
async function findLines(source: ByteSource): Promise<number[]> {
  const starts: number[] = [];
  let [lineStart, empty, end] = [0, true, 0];
  for (let offset = 0; offset < source.sizeBytes; offset += pieceBytes) {
    const bytes = await source.read(offset, Math.min(pieceBytes, source.sizeBytes - offset));
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === 10) {
        lineStart = offset + at + 1;
        empty = true;
      } else if (empty && byte > 32) {
        empty = false;
        starts.push(lineStart);
      }
      if (byte > 32) end = offset + at + 1;
    }
    if (offset + bytes.length - lineStart > longestLineBytes) {
      throw new ParticlizeError({
        file: source.name, place: `line ${starts.length}`, cause: `it is longer than ${longestLineBytes / 2 ** 20} MB`, action: 'Write one object a line',
      });
    }
  }
  return [...starts, end];
}
