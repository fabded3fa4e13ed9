import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import type { ValueInfo } from '../graph/modelGraph';
import { asFloat32, isFloat } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ArraySource, DataFile } from './arraySource';
import { openDataFile } from './dataFormats';
import type { Dataset } from './dataset';
import { applyFit, fitInput, times, type InputFit } from './fitInput';
import { dataNameOf, type Recipe } from './recipe';

/** Opens a data file by the path that the recipe names, relative to the recipe. */
export interface DataFiles {
  open(path: string): Promise<ByteSource>;
}

export interface LoadOptions {
  /** Split to use; 'test', else 'validation', else all rows when undefined. */
  readonly split?: string;
  /** At most this many samples: the first ones, so that runs are comparable. */
  readonly samples?: number;
  readonly memoryBytes?: number;
  /** Width of the model's output, to check labels against. */
  readonly classCount?: number;
}

export interface LoadedDataset {
  readonly dataset: Dataset;
  /** Name of the split in use, or undefined for all rows. */
  readonly split?: string;
  readonly findings: readonly Finding[];
}

export const defaultMemoryBytes = 2 ** 30;

/** Rows whose values are looked at in one go. */
const checkRows = 1024;

/**
 * A recipe's samples, fitted to a model's inputs. Rejects with a ParticlizeError that names recipe, place and cause
 * when arrays do not fit the inputs, a split leaves the data, labels are out of range or a value is not a number.
 */
export async function loadDataset(
  recipe: Recipe, files: DataFiles, modelInputs: readonly ValueInfo[], options: LoadOptions = {},
): Promise<LoadedDataset> {
  const arrays = openArrays(recipe, files, options.memoryBytes ?? defaultMemoryBytes);
  const findings: Finding[] = [];
  const inputs = await fitInputs(recipe, modelInputs, arrays);
  const first = inputs[0]!;
  const rows = first.array.shape[0]!;
  for (const { place, from, array } of inputs) checkRowCount(recipe, place, from, array, rows, first.from);
  const split = chosenSplit(recipe, options.split);
  const [from, end] = rangeOf(recipe, split, rows);
  const to = Math.min(end, from + (options.samples ?? Infinity));
  for (const input of inputs) await checkNumbers(recipe, input, from, to);
  const labels = recipe.labels && await arrays(recipe.labels.from, 'labels.from');
  if (labels) {
    checkRowCount(recipe, 'labels', recipe.labels!.from, labels, rows, first.from);
    if (recipe.task === 'classification') await checkLabels(recipe, labels, from, to, options.classCount);
  } else if (recipe.task !== 'reconstruction') {
    findings.push({ severity: 'info', place: recipe.file, message: 'The recipe has no labels, so loss and metrics cannot be computed.' });
  }
  const classes = recipe.classes ?? labels?.categories ?? numbered(options.classCount, recipe);
  const dataset: Dataset = {
    title: recipe.title, task: recipe.task, count: to - from, seed: recipe.seed, synthetic: false, classes, output: recipe.output, metric: recipe.metric,
    async inputs(start, stop) {
      const entries = inputs.map(async ({ model, array, fit }) =>
        [model.name, applyFit(await array.rows(from + start, from + stop), fit)] as const);
      return new Map(await Promise.all(entries));
    },
    labels: async (start, stop) => labels?.rows(from + start, from + stop),
    picture: pictureOf(first, from),
  };
  return { dataset, split, findings };
}

/** Opens each file once, arrays by their `from`. */
export function openArrays(recipe: Recipe, files: DataFiles, memoryBytes: number): (from: string, place: string) => Promise<ArraySource> {
  const opened = new Map<string, Promise<DataFile>>();
  return async (from, place) => {
    const { name, array } = dataNameOf(from, recipe.data)!;
    let pending = opened.get(name);
    if (!pending) opened.set(name, (pending = files.open(recipe.data[name]!).then((source) => openDataFile(source, memoryBytes))));
    const file = await pending;
    const wanted = array || (file.arrays.length === 1 ? file.arrays[0]! : '');
    if (array === '' && !file.arrays.includes(wanted)) {
      throw new ParticlizeError({
        file: recipe.file, place, cause: `${recipe.data[name]} has several arrays`,
        action: `Name one of ${shortList(file.arrays.map((candidate) => `${name}.${candidate}`))}`,
      });
    }
    // A range of columns is not among the names; the format itself says whether it has it.
    if (!file.arrays.includes(wanted) && !wanted.includes(':')) {
      throw new ParticlizeError({
        file: recipe.file, place, cause: `${recipe.data[name]} has no array '${wanted}'`,
        action: `It has ${shortList(file.arrays)}`,
      });
    }
    const source = await file.array(wanted);
    if (source.shape.length === 0) {
      throw new ParticlizeError({ file: recipe.file, place, cause: `the array ${from} is a single number, not a list of samples` });
    }
    return source;
  };
}

export interface FittedInput {
  readonly model: ValueInfo;
  readonly place: string;
  readonly from: string;
  readonly array: ArraySource;
  readonly fit: InputFit;
}

async function fitInputs(
  recipe: Recipe, modelInputs: readonly ValueInfo[], arrays: (from: string, place: string) => Promise<ArraySource>,
): Promise<FittedInput[]> {
  const fitted: FittedInput[] = [];
  for (const [name, steps] of Object.entries(recipe.inputs)) {
    const place = `inputs.${name}`;
    const model = modelInput(recipe, name, modelInputs);
    const array = await arrays(steps.from, `${place}.from`);
    const fit = fitInput(array.shape.slice(1), model, steps, steps.from);
    if (typeof fit === 'string') throw new ParticlizeError({ file: recipe.file, place, cause: fit });
    fitted.push({ model, place, from: steps.from, array, fit });
  }
  const missing = modelInputs.filter((input) => !fitted.some(({ model }) => model.name === input.name));
  if (missing.length) {
    throw new ParticlizeError({
      file: recipe.file, place: 'inputs',
      cause: `nothing feeds the model's input ${missing.map(({ name }) => name).join(', ')}`,
    });
  }
  return fitted;
}

function modelInput(recipe: Recipe, name: string, modelInputs: readonly ValueInfo[]): ValueInfo {
  const exact = modelInputs.find((input) => input.name === name);
  if (exact) return exact;
  if (name === '*' && modelInputs.length === 1) return modelInputs[0]!;
  const names = modelInputs.map((input) => input.name).join(', ');
  throw new ParticlizeError({
    file: recipe.file, place: `inputs.${name}`,
    cause: name === '*' ? `'*' stands for the only input, but the model has ${modelInputs.length}` : 'the model has no such input',
    action: `Its inputs are ${names}`,
  });
}

function checkRowCount(recipe: Recipe, place: string, from: string, array: ArraySource, rows: number, first: string): void {
  if (array.shape[0] === rows) return;
  throw new ParticlizeError({
    file: recipe.file, place, cause: `the array ${from} has ${array.shape[0]} rows, but ${first} has ${rows}`,
  });
}

export function chosenSplit(recipe: Recipe, wanted: string | undefined): string | undefined {
  if (wanted === undefined) return ['test', 'validation'].find((name) => recipe.split[name]);
  if (recipe.split[wanted]) return wanted;
  throw new ParticlizeError({
    file: recipe.file, place: 'split', cause: `there is no split '${wanted}'`,
    action: `It has ${Object.keys(recipe.split).join(', ') || 'none'}`,
  });
}

function rangeOf(recipe: Recipe, split: string | undefined, rows: number): readonly [number, number] {
  if (split === undefined) return [0, rows];
  const range = recipe.split[split]!;
  if (range[1] <= rows) return range;
  throw new ParticlizeError({
    file: recipe.file, place: `split.${split}`, cause: `it ends at row ${range[1]}, but there are only ${rows} rows`,
  });
}

async function checkNumbers(recipe: Recipe, { array, from, fit, place }: FittedInput, first: number, end: number): Promise<void> {
  const { oneHot } = fit.steps;
  if (!isFloat(array.dtype) && oneHot === undefined) return;
  for (let start = first; start < end; start += checkRows) {
    const rows = await array.rows(start, Math.min(end, start + checkRows));
    const values = asFloat32(rows);
    const perRow = values.length / rows.shape[0]!;
    const bad = values.findIndex((value) => !Number.isFinite(value) || (oneHot !== undefined && !(value >= 0 && value < oneHot)));
    if (bad < 0) continue;
    const value = values[bad]!;
    throw new ParticlizeError({
      file: recipe.file, place,
      cause: Number.isFinite(value)
        ? `row ${start + Math.floor(bad / perRow)} of ${from} holds ${value}, which oneHot ${oneHot} has no place for`
        : `row ${start + Math.floor(bad / perRow)} of ${from} holds ${Number.isNaN(value) ? 'NaN' : 'an infinite value'}`,
      action: 'Repair that row or leave it out of the split',
    });
  }
}

async function checkLabels(recipe: Recipe, labels: ArraySource, from: number, to: number, classCount: number | undefined): Promise<void> {
  const width = labels.shape.length === 2 && labels.shape[1]! > 1 ? labels.shape[1]! : undefined;
  if (labels.shape.length > 2) {
    throw new ParticlizeError({
      file: recipe.file, place: 'labels', cause: `a class label is one number, but ${recipe.labels!.from} has ${times(labels.shape.slice(1))}`,
    });
  }
  // One output means two classes: below and above one half.
  const outputs = classCount === 1 ? 2 : classCount;
  const limit = outputs ?? recipe.classes?.length ?? Infinity;
  if (width !== undefined) {
    if (width === limit || limit === Infinity) return;
    throw new ParticlizeError({
      file: recipe.file, place: 'labels', cause: `${recipe.labels!.from} has ${width} columns for ${limit} classes`,
    });
  }
  const values = asFloat32(await labels.rows(from, to));
  const bad = values.findIndex((value) => !(Number.isInteger(value) && value >= 0 && value < limit));
  if (bad < 0) return;
  const why = limit === Infinity ? 'a class is a whole number from 0 up' : `the model has ${limit} classes, 0 to ${limit - 1}`;
  throw new ParticlizeError({
    file: recipe.file, place: 'labels', cause: `row ${from + bad} of ${recipe.labels!.from} is ${values[bad]}, but ${why}`,
  });
}

function numbered(count: number | undefined, { task }: Recipe): readonly string[] | undefined {
  return task === 'classification' && count !== undefined && count > 1 ? Array.from({ length: count }, (_, index) => String(index)) : undefined;
}

/** Pictures are 2-D samples, or 3-D ones with one or three channels on either side. */
function pictureOf({ array, fit }: FittedInput, offset: number): Dataset['picture'] {
  const stored = fit.steps.shape ?? array.shape.slice(1);
  const flat = stored.length === 1 && fit.shape.length === 3 ? fit.shape : stored;
  const [first, , last] = flat;
  const plain = flat.length === 2;
  const channelsLast = flat.length === 3 && (last === 1 || last === 3);
  const channelsFirst = flat.length === 3 && !channelsLast && (first === 1 || first === 3);
  if (!plain && !channelsLast && !channelsFirst) return undefined;
  return async (index): Promise<NdArray> => {
    const values = asFloat32(await array.rows(offset + index, offset + index + 1));
    const [height, width, channels] = plain ? [flat[0]!, flat[1]!, 1] : channelsLast ? [flat[0]!, flat[1]!, last!] : [flat[1]!, flat[2]!, first!];
    const low = values.reduce((least, value) => Math.min(least, value), Infinity);
    const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
    const top = array.dtype === 'uint8' && high > 16 ? 255 : high;
    const bottom = Math.min(low, 0);
    const data = new Float32Array(values.length);
    for (let place = 0; place < height * width; place++) {
      for (let channel = 0; channel < channels; channel++) {
        const value = values[channelsFirst ? channel * height * width + place : place * channels + channel]!;
        data[place * channels + channel] = top > bottom ? (value - bottom) / (top - bottom) : 0;
      }
    }
    return { dtype: 'float32', shape: channels === 1 ? [height, width] : [height, width, channels], data };
  };
}

function shortList(names: readonly string[]): string {
  return names.slice(0, 8).join(', ') + (names.length > 8 ? `, ... (${names.length})` : '');
}

