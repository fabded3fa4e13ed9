import { ParticlizeError } from '../graph/errors';
import type { Shape, ValueInfo } from '../graph/modelGraph';
import { asFloat32, isFloat } from '../graph/numeric';
import { elementCount } from '../graph/tensor';
import type { ArraySource } from './arraySource';
import { fitInput, times } from './fitInput';
import type { IdLimit } from './idLimits';
import { guessRatings } from './guessRatings';
import { defaultMemoryBytes, loadDataset, openArrays, openData, type DataFiles } from './loadDataset';
import { parseRecipe, type InputRecipe } from './recipe';

/** What is known of a model when a recipe is to be written for it. */
export interface RecipeTarget {
  readonly inputs: readonly ValueInfo[];
  /** Of the output that is judged. */
  readonly output?: Shape;
  readonly idLimits: ReadonlyMap<string, IdLimit>;
}

/** One choice, in the order in which they were made. */
export interface Guess {
  /** Field of the recipe: 'inputs.x.scale'. */
  readonly field: string;
  readonly value: string;
  /** A clause that says what it was seen by. */
  readonly why: string;
}

export interface GuessedRecipe {
  /** The recipe, as it goes into the file. */
  readonly text: string;
  readonly guesses: readonly Guess[];
  /** Why the model does not take it as it is, in one sentence; undefined when it does. */
  readonly misfit?: string;
}

/** An array of the data, by the `from` that names it. */
export interface Candidate {
  readonly from: string;
  readonly file: string;
  readonly name: string;
  readonly array: ArraySource;
}

export type Draft = Record<string, unknown> & { inputs: Record<string, Record<string, unknown>> };

/** Looks at a model's inputs and at data files and writes the recipe that joins them. Rejects when nothing in the files fits an input. */
export async function guessRecipe(paths: readonly string[], target: RecipeTarget, files: DataFiles, memoryBytes = defaultMemoryBytes): Promise<GuessedRecipe> {
  const guesses: Guess[] = [];
  const say = (field: string, value: unknown, why: string): void => void guesses.push({ field, value: typeof value === 'string' ? value : JSON.stringify(value), why });
  const data = namesOf(paths);
  const candidates = await allArrays(data, files, memoryBytes);
  const draft: Draft = { task: 'classification', data, inputs: {} };
  for (const [name, path] of Object.entries(data)) say('data', name, `for ${path}, with ${candidates.filter(({ file }) => file === name).map(({ name: array, array: { shape } }) => `${array || 'values'} ${times(shape)}`).slice(0, 6).join(', ')}`);
  if (!await guessRatings(draft, candidates, target, say)) {
    const used = new Set<Candidate>();
    // An input takes what it fits best; labels are what is left.
    for (const input of target.inputs) await guessInput(draft, input, { target, candidates, used, say, files });
    if (draft.task !== 'nextToken') await guessLabels(draft, target, candidates, used, say);
  }
  guessSplit(draft, paths, say);
  const text = `${JSON.stringify({ task: draft.task, ...draft }, null, 2)}\n`;
  return { text, guesses, misfit: await misfitOf(text, target, files, memoryBytes) };
}

interface Guessing {
  readonly target: RecipeTarget;
  readonly candidates: readonly Candidate[];
  readonly used: Set<Candidate>;
  readonly files: DataFiles;
  say(field: string, value: unknown, why: string): void;
}

const plainSteps: InputRecipe = { from: '', scale: 1, mean: [0], std: [1], layout: 'auto' };

async function guessInput(draft: Draft, input: ValueInfo, guessing: Guessing): Promise<void> {
  const { target, candidates, used, say } = guessing;
  const key = target.inputs.length === 1 ? '*' : input.name;
  const field = `inputs.${key}`;
  const sample = input.shape?.slice(1);
  const free = candidates.filter((candidate) => !used.has(candidate));
  const steps: Record<string, unknown> = {};
  draft.inputs[key] = steps;
  const wants = `the model's input ${input.name} wants ${sample ? times(sample) : 'any shape'}${input.dtype ? ` of ${input.dtype}` : ''}`;
  const named = (candidate: Candidate): number => Number(candidate.name.toLowerCase() === input.name.toLowerCase());
  const pictures = free.find(({ array }) => array.pictures);
  if (pictures && sample?.length === 3) {
    const channelsFirst = sample[0] === 1 || sample[0] === 3;
    const [height, width] = channelsFirst ? [sample[1], sample[2]] : [sample[0], sample[1]];
    const channels = channelsFirst ? sample[0] : sample[2];
    used.add(pictures);
    Object.assign(steps, { from: pictures.from });
    say(`${field}.from`, pictures.from, `it is a folder of pictures, and ${wants}`);
    if (height && width) {
      steps['resize'] = [height, width];
      say(`${field}.resize`, [height, width], 'that is the size of the model\'s pictures');
    }
    if (channels === 1 || channels === 3) {
      steps['channels'] = channels;
      say(`${field}.channels`, channels, channels === 1 ? 'the model takes grey pictures' : 'the model takes colours');
    }
    steps['layout'] = channelsFirst ? 'NCHW' : 'NHWC';
    say(`${field}.layout`, steps['layout'], channelsFirst ? 'channels come first in the model\'s input' : 'channels come last in the model\'s input');
    steps['scale'] = 1 / 255;
    say(`${field}.scale`, '1/255', 'bytes become 0 to 1, as most models are trained; mean and std are not to be seen from here');
    return;
  }
  const limit = target.idLimits.get(input.name);
  const text = free.find(({ array }) => array.text && !array.pictures && (array.text.running || averageLength(array) > 12));
  if (text && sample && (limit || sample.length <= 2)) return guessText(draft, steps, { ...guessing, field, input, candidate: text, limit });
  const fitting = free.filter(({ array }) => !array.text && typeof fitInput(array.shape.slice(1), input, plainSteps, '') !== 'string' && elementCount(array.shape.slice(1)) >= 1)
    .filter(({ array }) => sample?.length !== 0 || array.shape.length === 1);
  const best = [...fitting].sort((a, b) => named(b) - named(a) || looksLikeLabels(a) - looksLikeLabels(b) || elementCount(b.array.shape.slice(1)) - elementCount(a.array.shape.slice(1)))[0];
  if (best && !(sample?.length && best.array.shape.length === 1 && elementCount(sample.map((dim) => dim ?? 1)) > 1)) {
    used.add(best);
    steps['from'] = best.from;
    say(`${field}.from`, best.from, `its samples of ${times(best.array.shape.slice(1))} fit: ${wants}`);
    return guessScale(steps, field, input, best, sample, say);
  }
  const columns = tableColumns(free, sample);
  if (columns) {
    columns.members.forEach((candidate) => used.add(candidate));
    steps['from'] = columns.from;
    return say(`${field}.from`, columns.from, `these ${columns.members.length} columns of numbers stand side by side, and ${wants}`);
  }
  throw new ParticlizeError({
    cause: `nothing in the data fits: ${wants}, and there are ${candidates.slice(0, 8).map(({ from, array }) => `${from} ${times(array.shape)}`).join(', ')}`,
    action: 'Name other files, or write the recipe by hand',
  });
}

function averageLength({ categories }: ArraySource): number {
  return categories?.length ? categories.reduce((sum, text) => sum + text.length, 0) / categories.length : 0;
}

async function guessText(
  draft: Draft, steps: Record<string, unknown>,
  { say, used, field, input, candidate, limit, target, files }: Guessing & { field: string; input: ValueInfo; candidate: Candidate; limit: IdLimit | undefined },
): Promise<void> {
  used.add(candidate);
  const { running } = candidate.array.text!;
  const sizes = input.shape!.slice(1);
  const vocabulary = limit?.limit ?? (sizes.length === 2 ? sizes[1] ?? undefined : undefined);
  steps['from'] = candidate.from;
  say(`${field}.from`, candidate.from, running ? 'it is text, and the model reads a sequence' : 'its cells are sentences, and the model reads a sequence');
  const tokenizer = await files.list?.('.').then((names) => names?.find((name) => name === 'tokenizer.json'), () => undefined);
  const distinct = new Set((await candidate.array.text!.read(0, Math.min(candidate.array.shape[0]!, 1000))).join('').slice(0, 1e6)).size;
  const characters = vocabulary === undefined || distinct <= vocabulary;
  if (tokenizer && !(characters && vocabulary !== undefined && vocabulary < 2 * distinct)) {
    steps['tokenise'] = tokenizer;
    say(`${field}.tokenise`, tokenizer, 'it lies beside the recipe');
  } else {
    const fits = characters && (vocabulary === undefined || vocabulary < 1000);
    steps['tokenise'] = fits ? 'characters' : 'words';
    say(`${field}.tokenise`, steps['tokenise'], vocabulary === undefined ? 'the model does not tell the size of its vocabulary'
      : `the model knows ${vocabulary} tokens, and the text has ${distinct} different characters`);
  }
  const window = sizes[0] ?? 32;
  steps['window'] = window;
  say(`${field}.window`, window, sizes[0] ? 'that is the length of the model\'s sequences' : 'the model takes any length');
  if (sizes.length === 2 && sizes[1] && !limit) {
    steps['oneHot'] = sizes[1];
    say(`${field}.oneHot`, sizes[1], `the model's input has ${sizes[1]} numbers for each token`);
  }
  const outputs = target.output?.[target.output.length - 1];
  if (running || (vocabulary !== undefined && outputs === vocabulary)) {
    draft.task = 'nextToken';
    say('task', 'nextToken', `each token is to be foretold from those before it${outputs ? `; the model gives ${outputs} numbers` : ''}`);
  }
}

/** Whole numbers that were pictures go to 0..1; others stay. */
async function guessScale(
  steps: Record<string, unknown>, field: string, input: ValueInfo, { array }: Candidate, sample: Shape | undefined, say: Guessing['say'],
): Promise<void> {
  if (sample && sample.length === 3) {
    const layout = sample[0] === 1 || sample[0] === 3 ? 'NCHW' : 'NHWC';
    steps['layout'] = layout;
    say(`${field}.layout`, layout, `the model's pictures are ${times(sample)}`);
  }
  if (isFloat(array.dtype) || !isFloat(input.dtype ?? 'float32') || (sample?.length ?? 0) < 1) return;
  const values = asFloat32(await array.rows(0, Math.min(array.shape[0]!, 256)));
  const most = values.reduce((largest, value) => Math.max(largest, value), 0);
  if (most <= 1) return;
  const divisor = most <= 16 ? 16 : most <= 255 ? 255 : undefined;
  if (!divisor) return;
  steps['scale'] = 1 / divisor;
  say(`${field}.scale`, `1/${divisor}`, `its whole numbers go up to ${most}, and most models are trained on 0 to 1`);
}

/** A run of number columns of one table, as many as the input wants; columns that look like labels are left out. */
function tableColumns(free: readonly Candidate[], sample: Shape | undefined): { from: string; members: readonly Candidate[] } | undefined {
  const wanted = sample && elementCount(sample.map((dim) => dim ?? 1));
  if (!wanted) return undefined;
  for (const file of new Set(free.map((candidate) => candidate.file))) {
    const columns = free.filter((candidate) => candidate.file === file && candidate.array.shape.length === 1);
    for (let first = 0; first + wanted <= columns.length; first++) {
      const members = columns.slice(first, first + wanted);
      const rest = columns.filter((candidate) => !members.includes(candidate));
      if (members.some(({ array }) => array.text) || (rest.length > 0 && members.some((candidate) => looksLikeLabels(candidate) === 1))) continue;
      const [start, end] = [members[0]!.name, members[members.length - 1]!.name];
      return { from: /^\d+$/.test(start) ? `${file}.${start}:${Number(end) + 1}` : `${file}.${start}:${end}`, members };
    }
  }
  return undefined;
}

function looksLikeLabels({ name, file }: Candidate): number {
  return Number(/^(y|labels?|class(es)?|targets?|species|category|categories|answers?)$/i.test(name) || (name === '' && /label|target/i.test(file)));
}

async function guessLabels(draft: Draft, { output }: RecipeTarget, candidates: readonly Candidate[], used: ReadonlySet<Candidate>, say: Guessing['say']): Promise<void> {
  const rows = [...used][0]?.array.shape[0];
  const numbers = output?.slice(1).reduce<number | undefined>((product, dim) => (product === undefined || dim === null ? undefined : product * dim), 1);
  const classes = numbers === 1 ? 2 : numbers;
  const free = candidates.filter((candidate) => !used.has(candidate) && candidate.array.shape[0] === rows && !candidate.array.pictures)
    .sort((a, b) => looksLikeLabels(b) - looksLikeLabels(a));
  for (const candidate of free) {
    const { array, from } = candidate;
    const width = elementCount(array.shape.slice(1));
    if (width === 1 && (array.categories || !isFloat(array.dtype))) {
      const values = asFloat32(await array.rows(0, array.shape[0]!));
      const distinct = new Set(values).size;
      const most = values.reduce((largest, value) => Math.max(largest, value), -Infinity);
      const least = values.reduce((smallest, value) => Math.min(smallest, value), Infinity);
      if (least < 0 || (classes !== undefined && (most >= classes || (array.categories && distinct !== classes)))) continue;
      draft['labels'] = { from };
      say('labels.from', from, array.categories ? `it has ${distinct} different names` : `it has whole numbers from ${least} to ${most}${classes === undefined ? '' : `, and the model gives ${numbers === 1 ? 'one number' : `${classes} numbers`}`}`);
      if (array.categories) {
        draft['classes'] = [...array.categories];
        say('classes', array.categories.slice(0, 8).join(', '), 'in the order of the alphabet: check that the model was trained with the same order');
      }
      return say('task', 'classification', 'labels are class numbers');
    }
    if (numbers !== undefined && width === numbers && isFloat(array.dtype)) {
      draft.task = 'regression';
      draft['labels'] = { from };
      say('labels.from', from, `it has ${width === 1 ? 'one number' : `${width} numbers`} a sample, as the model gives`);
      return say('task', 'regression', 'labels are numbers of any size');
    }
  }
  const inputs = [...used][0];
  if (inputs && numbers !== undefined && numbers === elementCount(inputs.array.shape.slice(1)) && numbers > 1) {
    draft.task = 'reconstruction';
    return say('task', 'reconstruction', 'the model gives as many numbers as it takes, and there are no labels');
  }
  say('labels', 'none', 'nothing in the data has a label for each sample, so loss and metrics cannot be computed');
}

function guessSplit(draft: Draft, paths: readonly string[], say: Guessing['say']): void {
  if (paths.some((path) => /(^|[^a-z])(test|t10k|val|valid|validation|heldout)([^a-z]|$)/i.test(path))) {
    return say('split', 'none', 'the file\'s name says that it is test data, so all of it is used');
  }
  draft['split'] = { train: 0.8, test: 0.2 };
  say('split', '80 % train, 20 % test', 'nothing tells which rows the model was trained on: put in its own split if there is one, or the test rows may be known to it');
}

/** Short names of files, for `from`. */
function namesOf(paths: readonly string[]): Record<string, string> {
  const names: Record<string, string> = {};
  for (const path of paths) {
    const last = path.replace(/[/\\]+$/, '').split(/[/\\]/).pop()!;
    const stem = last.replace(/\.(gz)$/i, '').replace(/\.[a-z0-9]+$/i, '').replace(/[^\p{L}\p{N}_-]+/gu, '_') || 'data';
    let name = stem;
    for (let number = 2; Object.hasOwn(names, name); number++) name = `${stem}${number}`;
    names[name] = path;
  }
  return names;
}

/** A table may have thousands of columns; those behind these are not looked at. */
const mostArrays = 2000;

async function allArrays(data: Readonly<Record<string, string>>, files: DataFiles, memoryBytes: number): Promise<readonly Candidate[]> {
  const recipe = parseRecipe(JSON.stringify({ task: 'classification', data, inputs: { '*': { from: Object.keys(data)[0] } } }), 'new recipe');
  const open = openArrays(recipe, files, memoryBytes);
  const result: Candidate[] = [];
  for (const [file, path] of Object.entries(data)) {
    for (const name of (await openData(path, files, memoryBytes)).arrays.slice(0, mostArrays)) {
      const from = name === '' ? file : `${file}.${name}`;
      result.push({ from, file, name, array: await open(from, 'data') });
    }
  }
  return result;
}

async function misfitOf(text: string, { inputs, output, idLimits }: RecipeTarget, files: DataFiles, memoryBytes: number): Promise<string | undefined> {
  try {
    await loadDataset(parseRecipe(text, 'new recipe'), files, inputs, { output, idLimits, memoryBytes, samples: 64 });
    return undefined;
  } catch (error) {
    if (error instanceof ParticlizeError) return error.message;
    throw error;
  }
}
