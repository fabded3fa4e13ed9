import type { Dataset } from '../data/dataset';
import { ParticlizeError, throwIfCancelled, type Task } from '../graph/errors';
import { asFloat32, isFloat } from '../graph/numeric';
import { elementCount, type NdArray, type NumericArray } from '../graph/tensor';
import { targetArray, type Aim } from './aim';

/** Samples and targets that can be taken in any order. */
export interface Samples {
  readonly count: number;
  /** Inputs by name, and the targets, of these rows. */
  take(rows: Uint32Array): Promise<{ readonly inputs: Map<string, NdArray>; readonly targets: NdArray }>;
}

/**
 * Reads a data set for training: into memory where it takes at most a quarter of the budget, else row by row when wanted. Rejects
 * with a ParticlizeError when there is nothing to learn from: no samples, no labels, values that are not numbers.
 */
export async function openSamples(data: Dataset, aim: Aim, memoryBytes: number, task?: Task): Promise<Samples> {
  if (data.count === 0) throw new ParticlizeError({ file: data.title, place: 'split', cause: 'there are no samples to train on' });
  const [inputs, targets] = [await data.inputs(0, 1), await targetArray(aim, data, 0, 1)];
  const bytes = [...inputs.values(), targets].reduce((sum, array) => sum + array.data.byteLength, 0) * data.count;
  if (bytes > memoryBytes / 4) return rowByRow(data, aim);
  const whole = new Map<string, NdArray>([...inputs].map(([name, array]) => [name, grown(array, data.count)]));
  const answers = grown(targets, data.count);
  for (let from = 0; from < data.count; from += chunk) {
    throwIfCancelled(task);
    task?.progress?.(from, data.count, 'Reading samples');
    const to = Math.min(data.count, from + chunk);
    for (const [name, array] of await data.inputs(from, to)) place(whole.get(name)!, checked(array, data, from), from);
    place(answers, await targetArray(aim, data, from, to), from);
  }
  return {
    count: data.count,
    take: (rows) => Promise.resolve({ inputs: new Map([...whole].map(([name, array]) => [name, rowsAt(array, rows)])), targets: rowsAt(answers, rows) }),
  };
}

/** Some rows of a data set, as one of its own. */
export function subset(data: Dataset, rows: Uint32Array): Dataset {
  const at = async (from: number, to: number, read: (row: number) => Promise<NdArray | undefined>): Promise<NdArray | undefined> => {
    const parts: NdArray[] = [];
    for (const row of rows.subarray(from, to)) {
      const part = await read(row);
      if (!part) return undefined;
      parts.push(part);
    }
    return joined(parts);
  };
  return {
    ...data, count: rows.length,
    async inputs(from, to) {
      const all: Map<string, NdArray>[] = [];
      for (const row of rows.subarray(from, to)) all.push(await data.inputs(row, row + 1));
      return new Map([...all[0]!.keys()].map((name) => [name, joined(all.map((inputs) => inputs.get(name)!))]));
    },
    labels: (from, to) => at(from, to, (row) => data.labels(row, row + 1)),
    picture: data.picture && ((index) => data.picture!(rows[index]!)),
  };
}

const chunk = 512;

function rowByRow(data: Dataset, aim: Aim): Samples {
  return {
    count: data.count,
    async take(rows) {
      const part = subset(data, rows);
      const inputs = await part.inputs(0, rows.length);
      for (const array of inputs.values()) checked(array, data, rows[0]!);
      return { inputs, targets: await targetArray(aim, part, 0, rows.length) };
    },
  };
}

function checked(array: NdArray, data: Dataset, from: number): NdArray {
  if (!isFloat(array.dtype)) return array;
  const values = asFloat32(array);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return array;
  const row = from + Math.floor((bad * array.shape[0]!) / values.length);
  throw new ParticlizeError({ file: data.title, cause: `sample ${row} holds a value that is not a number`, action: 'Repair it or leave it out of the split' });
}

function grown({ dtype, shape, data }: NdArray, count: number): NdArray {
  const make = data.constructor as new (length: number) => NumericArray;
  return { dtype, shape: [count, ...shape.slice(1)], data: new make(elementCount(shape.slice(1)) * count) };
}

function place(whole: NdArray, part: NdArray, from: number): void {
  if (part.data.length !== elementCount(whole.shape.slice(1)) * part.shape[0]!) throw new Error('samples of one data set differ in size');
  whole.data.set(part.data as never, from * elementCount(whole.shape.slice(1)));
}

export function rowsAt({ dtype, shape, data }: NdArray, rows: Uint32Array): NdArray {
  const each = elementCount(shape.slice(1));
  const make = data.constructor as new (length: number) => NumericArray;
  const taken = new make(each * rows.length);
  rows.forEach((row, index) => taken.set(data.subarray(row * each, (row + 1) * each) as never, index * each));
  return { dtype, shape: [rows.length, ...shape.slice(1)], data: taken };
}

function joined(parts: readonly NdArray[]): NdArray {
  const whole = grown(parts[0]!, parts.length);
  parts.forEach((part, index) => place(whole, part, index));
  return whole;
}
