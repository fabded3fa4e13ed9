import { ParticlizeError } from '../graph/errors';
import { elementCount, type NdArray } from '../graph/tensor';
import { checkSize, type ArraySource } from './arraySource';
import { categorical } from './formats/npy';
import { nestedNumbers } from './nestedNumbers';

/** A column of a table whose cells are JavaScript values: numbers, text, dates, lists. */
export interface ColumnReader {
  readonly file: string;
  readonly name: string;
  readonly count: number;
  readonly memoryBytes: number;
  /** Rows that are best read together. */
  readonly block: number;
  values(from: number, to: number): Promise<ArrayLike<unknown>>;
}

/** Numbers and lists of numbers stay in the file; text is read as a whole, for its categories. Missing cells are NaN or ''. */
export async function columnArray(reader: ColumnReader): Promise<ArraySource> {
  const { file, name, count, memoryBytes, block } = reader;
  const first = await firstValue(reader);
  if (typeof first === 'string') return textColumn(reader);
  const shape = first instanceof Date || first === undefined ? [] : nestedNumbers(first)?.shape;
  if (!shape) {
    throw new ParticlizeError({ file, place: `column ${name}`, cause: 'its cells are neither numbers nor text nor lists of numbers', action: 'Save them as numbers' });
  }
  const each = elementCount(shape);
  let dtype: 'int32' | 'float64' = typeof first === 'bigint' || typeof first === 'boolean' || Number.isInteger(first) ? 'int32' : 'float64';
  const convert = (values: ArrayLike<unknown>, from: number): Float64Array => {
    checkSize(values.length * each * 8, memoryBytes, file, name);
    const data = new Float64Array(values.length * each);
    for (let index = 0; index < values.length; index++) {
      const value = values[index];
      if (value === null || value === undefined) data.fill(NaN, index * each, (index + 1) * each);
      else if (each === 1 && shape.length === 0) data[index] = value instanceof Date ? value.getTime() : Number(value);
      else {
        const found = nestedNumbers(value);
        if (found?.shape.join() !== shape.join()) {
          throw new ParticlizeError({ file, place: `column ${name}, row ${from + index}`, cause: `it should be a list of ${shape.join('×')} numbers, as in the first row` });
        }
        data.set(found.values, index * each);
      }
    }
    return data;
  };
  // The last block is kept: rows are mostly asked for in order, fewer at a time than are read.
  let kept: { readonly index: number; readonly values: Float64Array } | undefined;
  const blockOf = async (index: number): Promise<Float64Array> => {
    if (kept?.index !== index) kept = { index, values: convert(await reader.values(index * block, Math.min(count, (index + 1) * block)), index * block) };
    return kept.values;
  };
  const rows = async (from: number, to: number): Promise<NdArray> => {
    checkSize((to - from) * each * 8, memoryBytes, file, name);
    const data = new Float64Array((to - from) * each);
    for (let at = from; at < to;) {
      const index = Math.floor(at / block);
      const stop = Math.min(to, (index + 1) * block);
      data.set((await blockOf(index)).subarray((at - index * block) * each, (stop - index * block) * each), (at - from) * each);
      at = stop;
    }
    return { dtype, shape: [to - from, ...shape], data: dtype === 'int32' ? Int32Array.from(data) : data };
  };
  if (shape.length) dtype = 'float64';
  if (dtype === 'int32') {
    // Whole numbers only when all are, and none is missing: only then they are ids or classes.
    dtype = 'float64';
    for (let from = 0; from < count; from += block) {
      const { data } = await rows(from, Math.min(count, from + block));
      if (!(data as Float64Array).every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31)) return { dtype: 'float64', shape: [count], rows };
    }
    dtype = 'int32';
  }
  return { dtype, shape: [count, ...shape], rows };
}

async function firstValue({ count, block, values }: ColumnReader): Promise<unknown> {
  for (let from = 0; from < count; from += block) {
    const cells = await values(from, Math.min(count, from + block));
    for (let index = 0; index < cells.length; index++) if (cells[index] !== null && cells[index] !== undefined) return cells[index];
  }
  return undefined;
}

async function textColumn({ file, name, count, block, memoryBytes, values }: ColumnReader): Promise<ArraySource> {
  const texts: string[] = [];
  let characters = 0;
  for (let from = 0; from < count; from += block) {
    const cells = await values(from, Math.min(count, from + block));
    for (let index = 0; index < cells.length; index++) {
      const text = cells[index] === null || cells[index] === undefined ? '' : String(cells[index]);
      texts.push(text);
      checkSize((characters += text.length + 16) * 2, memoryBytes, file, `column ${name}`);
    }
  }
  return categorical(texts);
}
