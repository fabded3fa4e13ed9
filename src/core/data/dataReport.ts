import { ParticlizeError, throwIfCancelled, type Finding, type Task } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import { elementCount } from '../graph/tensor';
import type { ArraySource } from './arraySource';
import { defaultMemoryBytes, openArrays, type DataFiles } from './loadDataset';
import type { Recipe } from './recipe';

/** What a recipe's data looks like, before any model is involved. */
export interface DataReport {
  readonly recipe: string;
  readonly title: string;
  readonly task: string;
  readonly rows: number;
  readonly arrays: readonly ArrayReport[];
  readonly splits: readonly SplitReport[];
  readonly classes?: readonly { readonly name: string; readonly count: number }[];
  readonly findings: readonly Finding[];
}

export interface ArrayReport {
  readonly role: string;
  readonly from: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of the stored values, before preprocessing. */
  readonly minimum: number;
  readonly maximum: number;
  readonly mean: number;
  readonly deviation: number;
  /** Rows with a value that is not a finite number. */
  readonly badRows: number;
}

export interface SplitReport {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  /** Rows of each class, in the order of `classes`. */
  readonly perClass?: readonly number[];
  /** Against the split 'train' (or the first): shift of the mean in deviations, and total variation of the classes, 0..1. */
  readonly drift?: { readonly comparedWith: string; readonly meanShift: number; readonly classes?: number };
}

const chunkRows = 1024;

/** Reads everything once. Rejects with a ParticlizeError when a file or array is missing; odd values become findings. */
export async function dataReport(
  recipe: Recipe, files: DataFiles, options: { memoryBytes?: number; task?: Task } = {},
): Promise<DataReport> {
  const open = openArrays(recipe, files, options.memoryBytes ?? defaultMemoryBytes);
  const findings: Finding[] = [];
  const note = (severity: Finding['severity'], place: string, message: string): void => void findings.push({ severity, place, message });
  const arrays: ArrayReport[] = [];
  const means: RowMeans[] = [];
  const sources = new Map<string, ArraySource>();
  for (const [name, input] of Object.entries(recipe.inputs)) {
    const place = `inputs.${name}`;
    const array = await open(input.from, `${place}.from`);
    sources.set(place, array);
    const scan = await scanArray(array, options.task);
    arrays.push({ role: place, from: input.from, dtype: array.dtype, shape: array.shape, ...scan.report });
    means.push(scan.rowMeans);
    if (scan.report.badRows) note('error', `${place}, row ${scan.firstBad}`, `${scan.report.badRows} rows hold NaN or infinite values; the first is row ${scan.firstBad}.`);
    if (scan.report.minimum === scan.report.maximum) note('warning', place, `Every value of ${input.from} is ${scan.report.minimum}.`);
  }
  const rows = arrays[0]!.shape[0]!;
  for (const array of arrays) {
    if (array.shape[0] !== rows) note('error', array.role, `${array.from} has ${array.shape[0]} rows, but ${arrays[0]!.from} has ${rows}.`);
  }
  const labels = recipe.labels && await open(recipe.labels.from, 'labels.from');
  let classOf: Int32Array | undefined;
  if (labels) {
    const scan = await scanArray(labels, options.task);
    arrays.push({ role: 'labels', from: recipe.labels!.from, dtype: labels.dtype, shape: labels.shape, ...scan.report });
    if (labels.shape[0] !== rows) note('error', 'labels', `${recipe.labels!.from} has ${labels.shape[0]} rows, but ${arrays[0]!.from} has ${rows}.`);
    if (recipe.task === 'classification') classOf = await classesOf(labels);
  }
  const names = classOf && classNames(recipe, labels!, classOf);
  const outOfRange = classOf?.findIndex((label) => label < 0 || label >= names!.length) ?? -1;
  if (outOfRange >= 0) {
    note('error', `labels, row ${outOfRange}`, `Row ${outOfRange} of ${recipe.labels!.from} has the label ${classOf![outOfRange]}, but there are ${names!.length} classes.`);
  }
  const splits = splitReports(recipe, rows, { means: means[0]!, classOf, classCount: names?.length ?? 0 }, note);
  const classes = names?.map((name, index) => ({ name, count: classOf!.filter((label) => label === index).length }));
  for (const { name, count } of classes ?? []) if (count === 0) note('warning', 'labels', `No sample has the class ${name}.`);
  return { recipe: recipe.file, title: recipe.title, task: recipe.task, rows, arrays, splits, classes, findings };
}

type RowMeans = Float64Array;

interface Scan {
  readonly report: Pick<ArrayReport, 'minimum' | 'maximum' | 'mean' | 'deviation' | 'badRows'>;
  readonly firstBad: number;
  readonly rowMeans: RowMeans;
}

async function scanArray(array: ArraySource, task: Task | undefined): Promise<Scan> {
  const rows = array.shape[0]!;
  const perRow = elementCount(array.shape.slice(1));
  const rowMeans = new Float64Array(rows);
  let [minimum, maximum, sum, squares, count, badRows, firstBad] = [Infinity, -Infinity, 0, 0, 0, 0, -1];
  for (let start = 0; start < rows; start += chunkRows) {
    throwIfCancelled(task);
    task?.progress?.(start, rows, 'Reading the data');
    const stop = Math.min(rows, start + chunkRows);
    const values = asFloat32(await array.rows(start, stop));
    for (let row = start; row < stop; row++) {
      let [rowSum, rowCount] = [0, 0];
      for (let at = (row - start) * perRow; at < (row - start + 1) * perRow; at++) {
        const value = values[at]!;
        if (!Number.isFinite(value)) continue;
        rowSum += value;
        rowCount++;
        squares += value * value;
        if (value < minimum) minimum = value;
        if (value > maximum) maximum = value;
      }
      if (rowCount < perRow) {
        badRows++;
        if (firstBad < 0) firstBad = row;
      }
      rowMeans[row] = rowCount ? rowSum / rowCount : NaN;
      sum += rowSum;
      count += rowCount;
    }
  }
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  return { report: { minimum, maximum, mean, deviation, badRows }, firstBad, rowMeans };
}

/** Class of each row; one-hot labels by their largest column. */
export async function classesOf(labels: ArraySource): Promise<Int32Array> {
  const values = asFloat32(await labels.rows(0, labels.shape[0]!));
  const width = elementCount(labels.shape.slice(1));
  if (width <= 1) return Int32Array.from(values, (value) => (Number.isInteger(value) ? value : -1));
  return Int32Array.from({ length: labels.shape[0]! }, (_, row) => {
    const cells = values.subarray(row * width, (row + 1) * width);
    return cells.indexOf(cells.reduce((most, value) => Math.max(most, value), -Infinity));
  });
}

function classNames(recipe: Recipe, labels: ArraySource, classOf: Int32Array): readonly string[] {
  const given = recipe.classes ?? labels.categories;
  if (given) return given;
  const count = classOf.reduce((most, label) => Math.max(most, label + 1), 0);
  if (count > 100_000) throw new ParticlizeError({ file: recipe.file, place: 'labels', cause: `a label of ${count - 1} is no class number` });
  return Array.from({ length: count }, (_, index) => String(index));
}

interface Measured {
  readonly means: RowMeans;
  readonly classOf?: Int32Array;
  readonly classCount: number;
}

function splitReports(
  recipe: Recipe, rows: number, measured: Measured, note: (severity: Finding['severity'], place: string, message: string) => void,
): readonly SplitReport[] {
  const names = Object.keys(recipe.split);
  const reference = names.includes('train') ? 'train' : names[0];
  const parts = names.map((name) => {
    const [from, to] = recipe.split[name]!;
    if (to > rows) note('error', `split.${name}`, `The split ${name} ends at row ${to}, but there are only ${rows} rows.`);
    return { name, from, to, ...describe(Math.min(from, rows), Math.min(to, rows), measured) };
  });
  parts.forEach((left, index) => parts.slice(index + 1).forEach((right) => {
    const shared = Math.min(left.to, right.to) - Math.max(left.from, right.from);
    if (shared > 0) note('warning', `split.${right.name}`, `${shared} rows are in both ${left.name} and ${right.name}.`);
  }));
  const base = parts.find(({ name }) => name === reference);
  return parts.map(({ mean, deviation: _own, ...part }) => {
    const plain = { name: part.name, from: part.from, to: part.to, rows: Math.max(0, Math.min(part.to, rows) - part.from), perClass: part.perClass };
    if (!base || part.name === base.name) return plain;
    const meanShift = base.deviation > 0 ? Math.abs(mean - base.mean) / base.deviation : 0;
    const classes = part.perClass && base.perClass && variation(part.perClass, base.perClass);
    if (meanShift > 0.5) note('warning', `split.${part.name}`, `Its values differ from those of ${base.name} by ${meanShift.toFixed(2)} deviations on average.`);
    if (classes !== undefined && classes > 0.1) {
      note('warning', `split.${part.name}`, `Its classes are distributed otherwise than in ${base.name} (${(100 * classes).toFixed(0)} % of the rows would have to change class).`);
    }
    return { ...plain, drift: { comparedWith: base.name, meanShift, classes } };
  });
}

function describe(from: number, to: number, { means, classOf, classCount }: Measured): {
  mean: number; deviation: number; perClass?: readonly number[];
} {
  const part = means.subarray(from, to).filter((value) => !Number.isNaN(value));
  const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
  const deviation = Math.sqrt(part.reduce((sum, value) => sum + (value - mean) ** 2, 0) / part.length);
  if (!classOf) return { mean, deviation };
  const perClass = new Array<number>(classCount).fill(0);
  for (const label of classOf.subarray(from, to)) if (label >= 0 && label < classCount) perClass[label]!++;
  return { mean, deviation, perClass };
}

function variation(left: readonly number[], right: readonly number[]): number {
  const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0) || 1;
  const [leftTotal, rightTotal] = [total(left), total(right)];
  return left.reduce((sum, count, index) => sum + Math.abs(count / leftTotal - right[index]! / rightTotal), 0) / 2;
}

