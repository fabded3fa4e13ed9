import { ParticlizeError, type Finding, type Task } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import { elementCount } from '../graph/tensor';
import type { ArraySource } from './arraySource';
import { kolmogorovSmirnov, shifted, type FeatureDrift } from './drift';
import { openLabels } from './labels';
import { defaultMemoryBytes, openArrays, type DataFiles } from './loadDataset';
import { openSamples } from './openSamples';
import { splitRows } from './picks';
import type { Recipe } from './recipe';
import { findDuplicates, leakedRows } from './rowHash';
import { outside, scanArray, type Scan } from './scanInputs';

/** What a recipe's data looks like, before any model is involved. */
export interface DataReport {
  readonly recipe: string;
  readonly title: string;
  readonly task: string;
  readonly rows: number;
  readonly arrays: readonly ArrayReport[];
  readonly splits: readonly SplitReport[];
  readonly classes?: readonly { readonly name: string; readonly count: number }[];
  /** Rows whose inputs are equal to those of an earlier row, and how many of them have another label. */
  readonly duplicates: { readonly rows: number; readonly otherLabel: number };
  readonly findings: readonly Finding[];
}

export interface ArrayReport {
  readonly role: string;
  readonly from: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of the stored values, before preprocessing; of text the token numbers. */
  readonly minimum: number;
  readonly maximum: number;
  readonly mean: number;
  readonly deviation: number;
  /** Rows with a value that is missing or not a finite number, and the number of such values. */
  readonly badRows: number;
  readonly badValues: number;
}

export interface SplitReport {
  readonly name: string;
  /** First row and the one behind the last, when the rows follow one another. */
  readonly from?: number;
  readonly to?: number;
  readonly rows: number;
  /** Rows of each class, in the order of `classes`. */
  readonly perClass?: readonly number[];
  /** Against the split 'train' (or the first). */
  readonly drift?: SplitDrift;
}

export interface SplitDrift {
  readonly comparedWith: string;
  /** Shift of the mean in deviations of the rows' means. */
  readonly meanShift: number;
  /** Total variation of the classes, 0..1. */
  readonly classes?: number;
  /** Rows whose inputs are equal to those of a row of the other split. */
  readonly leakedRows: number;
  readonly inputs: readonly InputDrift[];
}

export interface InputDrift {
  readonly role: string;
  readonly featuresTested: number;
  readonly shifted: number;
  /** Those that differ most, significant or not. */
  readonly most: readonly FeatureDrift[];
  /** Rows with a value outside the range that the other split has of that feature, and the number of such values. */
  readonly outsideRows: number;
  readonly outsideValues: number;
}

interface Input {
  readonly place: string;
  readonly from: string;
  readonly array: ArraySource;
  readonly scan: Scan;
}

type Note = (severity: Finding['severity'], place: string, message: string) => void;

/** Reads everything once or twice. Rejects with a ParticlizeError when a file or array is missing; odd values become findings. */
export async function dataReport(
  recipe: Recipe, files: DataFiles, options: { memoryBytes?: number; task?: Task } = {},
): Promise<DataReport> {
  const { memoryBytes = defaultMemoryBytes, task } = options;
  const open = openArrays(recipe, files, memoryBytes);
  const samples = openSamples(recipe, files, open, memoryBytes);
  const findings: Finding[] = [];
  const note: Note = (severity, place, message) => void findings.push({ severity, place, message });
  const opened: { place: string; from: string; array: ArraySource; running: boolean; tokens?: Awaited<ReturnType<typeof samples>>['tokens'] }[] = [];
  for (const [name, steps] of Object.entries(recipe.inputs)) {
    const { array, tokens } = await samples(steps, `inputs.${name}`);
    opened.push({ place: `inputs.${name}`, from: steps.from, array, running: tokens?.running ?? false, tokens });
  }
  const rows = opened[0]!.array.shape[0]!;
  const splits = Object.keys(recipe.split).map((name) => ({ name, rows: rowsOfSplit(recipe, name, rows, opened.some(({ running }) => running), note) }));
  const keys = new Float64Array(rows);
  const inputs: Input[] = [];
  for (const { place, from, array } of opened) {
    const fits = array.shape[0] === rows;
    if (!fits) note('error', place, `${from} has ${array.shape[0]} rows, but ${opened[0]!.from} has ${rows}.`);
    const scan = await scanArray(array, fits ? splits.map((split) => split.rows) : [], { keys: fits ? keys : undefined, seed: recipe.seed, task });
    inputs.push({ place, from, array, scan });
    if (scan.badRows) note('error', `${place}, row ${scan.firstBad}`, `${scan.badRows} rows hold NaN or infinite values; the first is row ${scan.firstBad}.`);
    if (scan.minimum === scan.maximum) note('warning', place, `Every value of ${from} is ${scan.minimum}.`);
    const missing = array.categories?.indexOf('') ?? -1;
    if (missing >= 0) note('warning', place, `${scan.rowMeans.filter((value) => value === missing).length} rows of ${from} are empty.`);
    findings.push(...array.findings?.() ?? []);
  }
  const arrays: ArrayReport[] = inputs.map(({ place, from, array, scan }) => arrayReport(place, from, array, scan));
  const labels = recipe.labels && recipe.task !== 'nextToken' ? await openLabels(withoutClassCheck(recipe), open, [], undefined) : undefined;
  let classOf: Int32Array | undefined;
  let values: Float64Array | undefined;
  if (labels) {
    const scan = await scanArray(labels, [], { seed: recipe.seed, task });
    arrays.push(arrayReport('labels', recipe.labels!.from, labels, scan));
    values = scan.rowMeans;
    if (labels.shape[0] !== rows) note('error', 'labels', `${recipe.labels!.from} has ${labels.shape[0]} rows, but ${opened[0]!.from} has ${rows}.`);
    if (scan.badRows) note('error', `labels, row ${scan.firstBad}`, `${scan.badRows} labels are missing or not finite; the first is of row ${scan.firstBad}.`);
    if (recipe.task === 'classification') classOf = namedClasses(await classesOf(labels), labels, recipe);
  }
  const names = classOf && classNames(recipe, labels!, classOf);
  if (classOf) noteOddLabels(classOf, names!, labels!, recipe, note);
  const duplicates = findDuplicates(keys, classOf ?? values);
  if (duplicates.first && recipe.task !== 'ranking') noteDuplicates(duplicates, note);
  const measured: Measured = { inputs, keys, classOf, classCount: names?.length ?? 0, seed: recipe.seed };
  const reports = await splitReports(recipe, splits, measured, note, task);
  const counts = new Array<number>(names?.length ?? 0).fill(0);
  classOf?.forEach((label) => {
    if (label >= 0 && label < counts.length) counts[label]!++;
  });
  const classes = names?.map((name, index) => ({ name, count: counts[index]! }));
  for (const { name, count } of classes ?? []) if (count === 0) note('warning', 'labels', `No sample has the class ${name}.`);
  noteBalance(classes, note);
  return {
    recipe: recipe.file, title: recipe.title, task: recipe.task, rows, arrays, splits: reports, classes,
    duplicates: { rows: duplicates.rows, otherLabel: duplicates.otherLabel }, findings,
  };
}

function arrayReport(role: string, from: string, { dtype, shape }: ArraySource, scan: Scan): ArrayReport {
  const { minimum, maximum, mean, deviation, badRows, badValues } = scan;
  return { role, from, dtype, shape, minimum, maximum, mean, deviation, badRows, badValues };
}

/** Splits that leave the data are cut and noted: a report is to show as much as it can. */
function rowsOfSplit(recipe: Recipe, name: string, rows: number, running: boolean, note: Note): Float64Array {
  const part = recipe.split[name]!;
  if (typeof part === 'number') return splitRows(recipe, name, rows, running);
  const [from, to] = part;
  if (to > rows) note('error', `split.${name}`, `The split ${name} ends at row ${to}, but there are only ${rows} rows.`);
  if (from >= rows) return new Float64Array(0);
  return splitRows({ ...recipe, split: { [name]: [from, Math.min(to, rows)] } }, name, rows, running);
}

/** Labels in the file's own words: unknown ones are counted here, not refused. */
function withoutClassCheck(recipe: Recipe): Recipe {
  return { ...recipe, classes: undefined };
}

/** Class of each row; one-hot labels by their largest column; -1 where it is no class. */
export async function classesOf(labels: ArraySource): Promise<Int32Array> {
  const values = asFloat32(await labels.rows(0, labels.shape[0]!));
  const width = elementCount(labels.shape.slice(1));
  if (width <= 1) return Int32Array.from(values, (value) => (Number.isInteger(value) ? value : -1));
  return Int32Array.from({ length: labels.shape[0]! }, (_, row) => {
    const cells = values.subarray(row * width, (row + 1) * width);
    return cells.indexOf(cells.reduce((most, value) => Math.max(most, value), -Infinity));
  });
}

function namedClasses(classOf: Int32Array, { categories }: ArraySource, { classes }: Recipe): Int32Array {
  if (!categories || !classes) return classOf;
  const numbers = categories.map((name) => classes.indexOf(name));
  return classOf.map((label) => numbers[label] ?? -1);
}

function classNames(recipe: Recipe, labels: ArraySource, classOf: Int32Array): readonly string[] {
  const given = recipe.classes ?? labels.categories;
  if (given) return given;
  const count = classOf.reduce((most, label) => Math.max(most, label + 1), 0);
  if (count > 100_000) throw new ParticlizeError({ file: recipe.file, place: 'labels', cause: `a label of ${count - 1} is no class number` });
  return Array.from({ length: count }, (_, index) => String(index));
}

function noteOddLabels(classOf: Int32Array, names: readonly string[], labels: ArraySource, { labels: recipe, classes }: Recipe, note: Note): void {
  const odd = (label: number): boolean => label < 0 || label >= names.length;
  const first = classOf.findIndex(odd);
  if (first < 0) return;
  const count = classOf.filter(odd).length;
  if (labels.categories && classes) {
    const unknown = labels.categories.filter((name) => !classes.includes(name));
    note('error', `labels, row ${first}`, `${count} rows have a label that is not among the classes: ${unknown.slice(0, 5).join(', ')}${unknown.length > 5 ? ', ...' : ''}.`);
  } else {
    const more = count > 1 ? ` ${count} rows have such labels.` : '';
    note('error', `labels, row ${first}`, `Row ${first} of ${recipe!.from} has the label ${classOf[first]}, but there are ${names.length} classes.${more}`);
  }
}

function noteDuplicates({ rows, first, otherLabel }: ReturnType<typeof findDuplicates>, note: Note): void {
  note('warning', `row ${first![0]}`, `${rows} rows repeat an earlier row; the first is row ${first![0]}, which is equal to row ${first![1]}.`);
  if (otherLabel) note('warning', 'labels', `${otherLabel} of the repeated rows have another label than the row that they repeat.`);
}

/** A class that has ten times the rows of another decides the accuracy by itself. */
const unbalanced = 10;

function noteBalance(classes: DataReport['classes'], note: Note): void {
  const present = (classes ?? []).filter(({ count }) => count > 0).sort((a, b) => a.count - b.count);
  const [least, most] = [present[0], present[present.length - 1]];
  if (least && most && most.count >= unbalanced * least.count) {
    note('warning', 'labels', `The classes are unbalanced: ${most.name} has ${most.count} rows, ${least.name} only ${least.count}.`);
  }
}

interface Measured {
  readonly inputs: readonly Input[];
  readonly keys: Float64Array;
  readonly classOf?: Int32Array;
  readonly classCount: number;
  readonly seed: number;
}

interface Split {
  readonly name: string;
  readonly rows: Float64Array;
}

async function splitReports(
  recipe: Recipe, splits: readonly Split[], measured: Measured, note: Note, task: Task | undefined,
): Promise<readonly SplitReport[]> {
  splits.forEach((left, index) => splits.slice(index + 1).forEach((right) => {
    const own = new Set(left.rows);
    const shared = right.rows.reduce((count, row) => count + Number(own.has(row)), 0);
    if (shared > 0) note('warning', `split.${right.name}`, `${shared} rows are in both ${left.name} and ${right.name}.`);
  }));
  const base = splits.find(({ name }) => name === 'train') ?? splits[0];
  const reports: SplitReport[] = [];
  for (const [index, split] of splits.entries()) {
    const { name, rows } = split;
    const range = recipe.split[name]!;
    const perClass = measured.classOf && countClasses(rows, measured);
    const report = { name, ...(typeof range !== 'number' && { from: range[0], to: range[1] }), rows: rows.length, perClass };
    if (!rows.length) note('error', `split.${name}`, `The split ${name} has no row.`);
    perClass?.forEach((count, label) => {
      if (count === 0 && rows.length && splits.some((other) => countClasses(other.rows, measured)[label]! > 0)) {
        note('warning', `split.${name}`, `The split ${name} has no sample of the class ${recipe.classes?.[label] ?? label}.`);
      }
    });
    reports.push(!base || split === base || !rows.length || !base.rows.length ? report : { ...report, drift: await driftOf(split, index, base, splits.indexOf(base), { perClass, measured, note, task, recipe }) });
  }
  return reports;
}

async function driftOf(
  { name, rows }: Split, index: number, base: Split, baseIndex: number,
  { perClass, measured, note, task, recipe }: { perClass?: readonly number[]; measured: Measured; note: Note; task?: Task; recipe: Recipe },
): Promise<SplitDrift> {
  const place = `split.${name}`;
  const { rowMeans } = measured.inputs[0]!.scan;
  const [own, other] = [meanOf(rows, rowMeans), meanOf(base.rows, rowMeans)];
  const meanShift = other.deviation > 0 ? Math.abs(own.mean - other.mean) / other.deviation : 0;
  const classes = perClass && variation(perClass, countClasses(base.rows, measured));
  if (meanShift > 0.5) note('warning', place, `Its values differ from those of ${base.name} by ${meanShift.toFixed(2)} deviations on average.`);
  if (classes !== undefined && classes > 0.1) {
    note('warning', place, `Its classes are distributed otherwise than in ${base.name} (${(100 * classes).toFixed(0)} % of the rows would have to change class).`);
  }
  const leaked = leakedRows(measured.keys, base.rows, rows);
  if (leaked.rows && recipe.task !== 'ranking') note('warning', place, `${leaked.rows} of its ${rows.length} rows are also in ${base.name} (the first is row ${leaked.first}): what is measured on them is no proof.`);
  const inputs: InputDrift[] = [];
  for (const { place: role, array, scan } of measured.inputs) {
    const [left, right] = [scan.splits[baseIndex], scan.splits[index]];
    // Ids are names, not sizes; their ranges are checked against the model instead.
    if (!left || !right || array.categories) continue;
    const tested = scan.features.map((feature, at) => ({ feature, ...kolmogorovSmirnov(left.samples[at]!, right.samples[at]!) }));
    const strong = shifted(tested);
    const beyond = await outside(array, scan, rows, left, task);
    inputs.push({
      role, featuresTested: tested.length, shifted: strong.length, most: [...tested].sort((a, b) => b.statistic - a.statistic).slice(0, 10),
      outsideRows: beyond.rows, outsideValues: beyond.values,
    });
    if (strong.length) {
      const worst = strong[0]!;
      note('warning', `${place}, ${role}`, `${strong.length} of ${tested.length} features are distributed otherwise than in ${base.name}; most of all feature ${worst.feature} (Kolmogorov-Smirnov distance ${worst.statistic.toFixed(2)}, chance ${worst.pValue.toExponential(0)}).`);
    }
    // Of rows drawn alike 2 of n + 1 values lie outside the range of n others, on average.
    const expected = (2 * rows.length * tested.length) / (base.rows.length + 1);
    if (beyond.values > 3 * expected + 10) {
      note('warning', `${place}, ${role}`, `${beyond.rows} rows have values outside the range that ${base.name} has of the same feature (${beyond.values} values; about ${Math.ceil(expected)} at most are to be expected).`);
    }
  }
  return { comparedWith: base.name, meanShift, classes, leakedRows: leaked.rows, inputs };
}

function meanOf(rows: Float64Array, means: Float64Array): { mean: number; deviation: number } {
  const part = rows.map((row) => means[row]!).filter((value) => !Number.isNaN(value));
  const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
  return { mean, deviation: Math.sqrt(part.reduce((sum, value) => sum + (value - mean) ** 2, 0) / part.length) };
}

function countClasses(rows: Float64Array, { classOf, classCount }: Measured): number[] {
  const perClass = new Array<number>(classCount).fill(0);
  for (const row of rows) {
    const label = classOf![row]!;
    if (label >= 0 && label < classCount) perClass[label]!++;
  }
  return perClass;
}

function variation(left: readonly number[], right: readonly number[]): number {
  const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0) || 1;
  const [leftTotal, rightTotal] = [total(left), total(right)];
  return left.reduce((sum, count, index) => sum + Math.abs(count / leftTotal - right[index]! / rightTotal), 0) / 2;
}
