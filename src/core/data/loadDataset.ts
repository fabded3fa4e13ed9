import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import type { Shape, ValueInfo } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import { gatherRows, type ArraySource, type DataFile } from './arraySource';
import { checkCandidates, checkLabels, checkNumbers, checkTokens, withoutUnreadable } from './checkSamples';
import { openDataFile } from './dataFormats';
import type { Dataset } from './dataset';
import { applyFit, fitInput, type InputFit } from './fitInput';
import type { IdLimit } from './idLimits';
import { classCount, openLabels, scaledLabels } from './labels';
import { openSamples } from './openSamples';
import { drawSamples, splitRows } from './picks';
import { openPictureFolder } from './pictureFolder';
import { candidateRows, captionOf, openRanking } from './rankingCandidates';
import { dataNameOf, type Recipe } from './recipe';
import { pictureOf, tokensOf } from './showSamples';
import type { TokenWindows } from './textWindows';

/** Opens what the recipe names, by paths relative to it. */
export interface DataFiles {
  open(path: string): Promise<ByteSource>;
  /** Files in a folder and its subfolders, by path inside it, sorted; undefined when the path is no folder. */
  list?(path: string): Promise<readonly string[] | undefined>;
}

export interface LoadOptions {
  /** Split to use; 'test', else 'validation', else all rows when undefined. */
  readonly split?: string;
  /** At most this many samples: the first ones, so that runs are comparable. */
  readonly samples?: number;
  readonly memoryBytes?: number;
  /** Shape of the model's output that is judged, to check labels against. */
  readonly output?: Shape;
  /** Numbers of ids that the model's embeddings have, by input. */
  readonly idLimits?: ReadonlyMap<string, IdLimit>;
}

export interface LoadedDataset {
  readonly dataset: Dataset;
  /** Name of the split in use, or undefined for all rows. */
  readonly split?: string;
  readonly findings: readonly Finding[];
}

export const defaultMemoryBytes = 2 ** 30;

/**
 * A recipe's samples, fitted to a model's inputs. Rejects with a ParticlizeError that names recipe, place and cause
 * when arrays do not fit the inputs, a split leaves the data, labels are out of range or a value is not a number.
 */
export async function loadDataset(
  recipe: Recipe, files: DataFiles, modelInputs: readonly ValueInfo[], options: LoadOptions = {},
): Promise<LoadedDataset> {
  const memoryBytes = options.memoryBytes ?? defaultMemoryBytes;
  const arrays = openArrays(recipe, files, memoryBytes);
  const findings: Finding[] = [];
  const samples = openSamples(recipe, files, arrays, memoryBytes);
  const inputs = await fitInputs(recipe, modelInputs, samples);
  const first = inputs[0]!;
  const rows = first.array.shape[0]!;
  for (const { place, from, array } of inputs) checkRowCount(recipe, place, from, array, rows, first.from);
  const outputs = classCount(recipe, options.output);
  const labels = await openLabels(recipe, arrays, inputs, options.output);
  if (labels) checkRowCount(recipe, 'labels', recipe.labels?.from ?? first.from, labels, rows, first.from);
  const groups = recipe.groups && await arrays(recipe.groups.from, 'groups.from');
  if (groups) checkRowCount(recipe, 'groups', recipe.groups!.from, groups, rows, first.from);
  const split = chosenSplit(recipe, options.split);
  let chosen = splitRows(recipe, split, rows, inputs.some(({ tokens }) => tokens?.running));
  const ranking = recipe.task === 'ranking' ? await openRanking(recipe, arrays, inputs, chosen, (finding) => findings.push(finding)) : undefined;
  if (ranking) chosen = ranking.rows;
  if (recipe.sample) {
    const classes = recipe.sample.balance && labels ? asFloat32(await gatherRows(labels, chosen)) : undefined;
    const drawn = drawSamples(chosen, recipe.sample, classes);
    chosen = drawn.rows;
    findings.push(...drawn.findings);
  }
  chosen = chosen.subarray(0, options.samples ?? Infinity);
  chosen = await withoutUnreadable(recipe, inputs, chosen);
  if (!chosen.length) throw new ParticlizeError({ file: recipe.file, place: split && `split.${split}`, cause: 'there is no sample to use' });
  for (const input of inputs) await checkNumbers(recipe, input, chosen, options.idLimits?.get(input.model.name));
  if (ranking) await checkCandidates(recipe, ranking, options.idLimits);
  if (labels) {
    if (recipe.task === 'classification') await checkLabels(recipe, labels, chosen, outputs);
    else if (recipe.task === 'nextToken') await checkTokens(recipe, labels, chosen, outputs);
  } else if (recipe.task !== 'reconstruction' && !ranking) {
    findings.push({ severity: 'info', place: recipe.file, message: 'The recipe has no labels, so loss and metrics cannot be computed.' });
  }
  for (const { array } of inputs) findings.push(...array.findings?.() ?? []);
  const classes = recipe.classes ?? labels?.categories ?? inputs.find(({ tokens }) => tokens && recipe.task === 'nextToken')?.tokens?.vocabulary ?? numbered(outputs, recipe);
  const rowsOf = (start: number, stop: number): Float64Array => chosen.subarray(start, stop);
  const dataset: Dataset = {
    title: recipe.title, task: recipe.task, count: chosen.length, seed: recipe.seed, synthetic: false, classes, output: recipe.output, metric: recipe.metric,
    ...(ranking && { rowsPerSample: recipe.ranking!.negatives + 1, ranking: { k: recipe.ranking!.k, loss: recipe.loss ?? 'bce' } }),
    async inputs(start, stop) {
      const picked = rowsOf(start, stop);
      const entries = inputs.map(async (input) => {
        const found = ranking ? await candidateRows(input, ranking, picked) : await gatherRows(input.array, picked);
        return [input.model.name, applyFit(found, input.fit)] as const;
      });
      return new Map(await Promise.all(entries));
    },
    // Of a ranking's candidates the first is the right one.
    labels: async (start, stop) => (ranking ? zeros(stop - start) : labels && scaledLabels(await gatherRows(labels, rowsOf(start, stop)), recipe)),
    ...(groups && { groups: async (start: number, stop: number) => Int32Array.from(asFloat32(await gatherRows(groups, rowsOf(start, stop)))) }),
    ...(ranking && { caption: (index: number) => captionOf(inputs, chosen[index]!) }),
    tokens: tokensOf(first, chosen),
    picture: pictureOf(first, chosen),
  };
  return { dataset, split, findings };
}

/** Opens each file once, arrays by their `from`. */
export function openArrays(recipe: Recipe, files: DataFiles, memoryBytes: number): (from: string, place: string) => Promise<ArraySource> {
  const opened = new Map<string, Promise<DataFile>>();
  return async (from, place) => {
    const { name, array } = dataNameOf(from, recipe.data)!;
    let pending = opened.get(name);
    if (!pending) opened.set(name, (pending = openData(recipe.data[name]!, files, memoryBytes)));
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
    if (source.shape[0] === 0) throw new ParticlizeError({ file: recipe.file, place, cause: `${from} has no rows` });
    return source;
  };
}

export async function openData(path: string, files: DataFiles, memoryBytes: number): Promise<DataFile> {
  const inside = await files.list?.(path);
  if (!inside) return openDataFile(await files.open(path), memoryBytes);
  const folder = path.replace(/[/\\]+$/, '');
  return openPictureFolder(folder, inside, (file) => files.open(`${folder}/${file}`), memoryBytes);
}

export interface FittedInput {
  readonly model: ValueInfo;
  readonly place: string;
  readonly from: string;
  readonly array: ArraySource;
  readonly fit: InputFit;
  /** When it is text. */
  readonly tokens?: TokenWindows;
}

async function fitInputs(
  recipe: Recipe, modelInputs: readonly ValueInfo[], samples: ReturnType<typeof openSamples>,
): Promise<FittedInput[]> {
  const fitted: FittedInput[] = [];
  for (const [name, steps] of Object.entries(recipe.inputs)) {
    const place = `inputs.${name}`;
    const model = modelInput(recipe, name, modelInputs);
    const { array, tokens } = await samples(steps, place);
    const fit = fitInput(array.shape.slice(1), model, steps, steps.from);
    if (typeof fit === 'string') throw new ParticlizeError({ file: recipe.file, place, cause: fit });
    fitted.push({ model, place, from: steps.from, array, fit, tokens });
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

function zeros(count: number): NdArray {
  return { dtype: 'int32', shape: [count], data: new Int32Array(count) };
}

function numbered(count: number | undefined, { task }: Recipe): readonly string[] | undefined {
  return task === 'classification' && count !== undefined && count > 1 ? Array.from({ length: count }, (_, index) => String(index)) : undefined;
}

function shortList(names: readonly string[]): string {
  return names.slice(0, 8).join(', ') + (names.length > 8 ? `, ... (${names.length})` : '');
}

