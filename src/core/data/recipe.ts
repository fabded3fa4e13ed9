import { ParticlizeError } from '../graph/errors';
import type { TaskKind } from './dataset';

/** A `*.particlize.json`: where the data is and how it becomes the model's inputs. media/recipe.schema.json says the same. */
export interface Recipe {
  /** File name, for messages. */
  readonly file: string;
  readonly title: string;
  readonly task: TaskKind;
  /** Data files by the name that `from` uses; paths relative to the recipe. */
  readonly data: Readonly<Record<string, string>>;
  /** By model input name; '*' when the model has one input. */
  readonly inputs: Readonly<Record<string, InputRecipe>>;
  readonly labels?: LabelRecipe;
  /** Whole numbers by which results are told apart, e.g. the noise level of each sample. */
  readonly groups?: { readonly from: string };
  /** By split name: rows [from, to), or a share of all rows. All are of one kind. */
  readonly split: Readonly<Record<string, SplitRecipe>>;
  /** Which samples of the split are used; all of them when absent. */
  readonly sample?: SampleRecipe;
  readonly ranking?: RankingRecipe;
  readonly classes?: readonly string[];
  /** Only ranking has a choice. */
  readonly loss?: RankingLoss;
  /** The model's output that is judged; found by itself when absent. */
  readonly output?: string;
  /** Decisive metric; by task when absent. */
  readonly metric?: string;
  readonly seed: number;
}

/** Rows [from, to), or a share of the rows: drawn by the recipe's seed, or consecutive where samples are windows of one text. */
export type SplitRecipe = readonly [number, number] | number;

export interface LabelRecipe {
  readonly from: string;
  /** Tokens further along in the text: the label of a token is the one this many places later. */
  readonly shift?: number;
  /** Targets become `(value * scale - mean) / std`, as inputs do. */
  readonly scale: number;
  readonly mean: number;
  readonly std: number;
}

export interface SampleRecipe {
  readonly count?: number;
  /** As many of each class, as far as there are that many. */
  readonly balance: boolean;
  readonly seed: number;
}

/** Each sample is one held-out item of a user among items that this user never rated. */
export interface RankingRecipe {
  readonly negatives: number;
  readonly seed: number;
  /** Places that count as found. */
  readonly k: number;
  /** Ratings from here up are held-out positives; all rows when absent. */
  readonly positive?: number;
  /** Columns; 'user', 'item' and 'rating' of the inputs' file when absent. */
  readonly user?: string;
  readonly item?: string;
  readonly rating?: string;
}

export type RankingLoss = 'bce' | 'bpr';
export const rankingLosses: readonly RankingLoss[] = ['bce', 'bpr'];

export type Layout = 'NCHW' | 'NHWC' | 'auto';

/** Values become `(value * scale - mean) / std`; then the layout, then one-hot or a cast to the model's type. */
export interface InputRecipe {
  /** 'file' or 'file.array' or 'table.column'. */
  readonly from: string;
  readonly scale: number;
  /** One number, or one for each channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** What the model's input wants. */
  readonly layout: Layout;
  /** Shape that each sample is given first (a row of pixels becomes a picture). */
  readonly shape?: readonly number[];
  /** Whole numbers become vectors of this many classes. */
  readonly oneHot?: number;
  /** Height and width that pictures are brought to, bilinearly. */
  readonly resize?: readonly [number, number];
  /** Grey or colour, of image files; as in the file when absent. */
  readonly channels?: 1 | 3;
  readonly text?: TextRecipe;
}

/** How text becomes token numbers. Fields of the input itself in the file. */
export interface TextRecipe {
  /** 'characters', 'words', or the path of a Hugging Face tokenizer.json. */
  readonly tokenise: string;
  /** Path of a JSON list of tokens (or of an object token -> number); the sorted distinct tokens of the data when absent. */
  readonly vocabulary?: string;
  /** Tokens a sample; lines of text are filled up or cut. */
  readonly window: number;
  /** Tokens from one window of a running text to the next. */
  readonly stride: number;
  /** Token that fills up; '<pad>' or '[PAD]' of the vocabulary when absent. */
  readonly pad?: string;
  /** Token that stands for unseen ones; '<unk>' or '[UNK]' of the vocabulary when absent. */
  readonly unknown?: string;
  /** Side on which short lines are filled up. */
  readonly padding: 'end' | 'start';
}

export const taskKinds: readonly TaskKind[] = ['classification', 'regression', 'nextToken', 'ranking', 'reconstruction'];

/** Reads a recipe. Throws a ParticlizeError naming the file, the place in it and what is wrong there. */
export function parseRecipe(text: string, file: string): Recipe {
  const root = new Place(file, '', parseJson(text, file));
  root.only([
    '$schema', 'title', 'task', 'data', 'inputs', 'labels', 'groups', 'split', 'sample', 'ranking', 'classes', 'output', 'loss', 'metric', 'seed',
    'comment', 'source', 'licence',
  ]);
  const data = root.required('data').entries((place) => place.text());
  if (Object.keys(data).length === 0) root.required('data').fail('it names no data file');
  const inputs = root.required('inputs').entries((place) => parseInput(place, data));
  if (Object.keys(inputs).length === 0) root.required('inputs').fail('it names no model input');
  const task = root.required('task').oneOf(taskKinds);
  const groups = root.optional('groups');
  groups?.only(['from']);
  const seed = root.optional('seed')?.whole() ?? 0;
  const loss = root.optional('loss');
  if (task !== 'ranking') for (const name of ['loss', 'ranking']) root.optional(name)?.fail(`it belongs to the task ranking, not to ${task}`);
  return {
    file,
    title: root.optional('title')?.text() ?? file.replace(/\.particlize\.json$/i, ''),
    task, data, inputs,
    labels: optionally(root.optional('labels'), (place) => parseLabels(place, data)),
    groups: groups && { from: parseFrom(groups.required('from'), data) },
    split: optionally(root.optional('split'), parseSplit) ?? {},
    sample: optionally(root.optional('sample'), (place) => parseSample(place, seed)),
    ranking: task === 'ranking' ? parseRanking(root.optional('ranking'), data, seed) : undefined,
    classes: root.optional('classes')?.list((place) => place.text()),
    output: root.optional('output')?.text(),
    loss: loss?.oneOf(rankingLosses),
    metric: root.optional('metric')?.text(),
    seed,
  };
}

function optionally<T>(place: Place | undefined, read: (place: Place) => T): T | undefined {
  return place && read(place);
}

function parseLabels(place: Place, data: Readonly<Record<string, string>>): LabelRecipe {
  place.only(['from', 'shift', 'scale', 'mean', 'std']);
  const std = place.optional('std')?.number() ?? 1;
  if (std === 0) place.required('std').fail('a deviation of 0 would divide by zero');
  return {
    from: parseFrom(place.required('from'), data), shift: place.optional('shift')?.whole(),
    scale: place.optional('scale')?.number() ?? 1, mean: place.optional('mean')?.number() ?? 0, std,
  };
}

function parseSample(place: Place, seed: number): SampleRecipe {
  place.only(['count', 'balance', 'seed']);
  return {
    count: place.optional('count')?.whole(1), balance: place.optional('balance')?.flag() ?? false, seed: place.optional('seed')?.whole() ?? seed,
  };
}

const defaultNegatives = 99;
const defaultPlaces = 10;

function parseRanking(place: Place | undefined, data: Readonly<Record<string, string>>, seed: number): RankingRecipe {
  place?.only(['negatives', 'seed', 'k', 'positive', 'user', 'item', 'rating']);
  const column = (name: string): string | undefined => optionally(place?.optional(name), (value) => parseFrom(value, data));
  return {
    negatives: place?.optional('negatives')?.whole(1) ?? defaultNegatives,
    seed: place?.optional('seed')?.whole() ?? seed,
    k: place?.optional('k')?.whole(1) ?? defaultPlaces,
    positive: place?.optional('positive')?.number(),
    user: column('user'), item: column('item'), rating: column('rating'),
  };
}

function parseInput(place: Place, data: Readonly<Record<string, string>>): InputRecipe {
  place.only(['from', 'scale', 'mean', 'std', 'layout', 'shape', 'oneHot', 'resize', 'channels', ...textFields]);
  const std = place.optional('std')?.numbers() ?? [1];
  if (std.includes(0)) place.required('std').fail('a deviation of 0 would divide by zero');
  return {
    from: parseFrom(place.required('from'), data),
    scale: place.optional('scale')?.number() ?? 1,
    mean: place.optional('mean')?.numbers() ?? [0],
    std,
    layout: place.optional('layout')?.oneOf(['NCHW', 'NHWC', 'auto'] as const) ?? 'auto',
    shape: place.optional('shape')?.list((size) => size.whole(1)),
    oneHot: place.optional('oneHot')?.whole(1),
    resize: optionally(place.optional('resize'), (sizes) => sizes.pair(1)),
    channels: optionally(place.optional('channels'), (channels) => channels.oneOf([1, 3] as const)),
    text: parseText(place),
  };
}

const textFields = ['tokenise', 'vocabulary', 'window', 'stride', 'pad', 'unknown', 'padding'] as const;

function parseText(place: Place): TextRecipe | undefined {
  const tokenise = place.optional('tokenise')?.text();
  if (tokenise === undefined) {
    for (const name of textFields) place.optional(name)?.fail('it says how text is cut, but \'tokenise\' is missing');
    return undefined;
  }
  if (tokenise !== 'characters' && tokenise !== 'words' && !/\.json$/i.test(tokenise)) {
    place.required('tokenise').fail(`it should be characters, words or a tokenizer.json, not ${described(tokenise)}`);
  }
  const window = place.required('window').whole(1);
  return {
    tokenise, window, stride: place.optional('stride')?.whole(1) ?? window,
    vocabulary: place.optional('vocabulary')?.text(),
    pad: place.optional('pad')?.text(), unknown: place.optional('unknown')?.text(),
    padding: place.optional('padding')?.oneOf(['end', 'start'] as const) ?? 'end',
  };
}

function parseFrom(place: Place, data: Readonly<Record<string, string>>): string {
  const from = place.text();
  if (!dataNameOf(from, data)) {
    place.fail(`'${from}' is not among the data files ${Object.keys(data).map((name) => `'${name}'`).join(', ')}`);
  }
  return from;
}

/** The data file that a `from` means and the array in it ('' for the only one). Names may contain dots. */
export function dataNameOf(from: string, data: Readonly<Record<string, string>>): { name: string; array: string } | undefined {
  if (Object.hasOwn(data, from)) return { name: from, array: '' };
  const name = Object.keys(data).filter((candidate) => from.startsWith(`${candidate}.`)).sort((a, b) => b.length - a.length)[0];
  return name === undefined ? undefined : { name, array: from.slice(name.length + 1) };
}

function parseSplit(place: Place): Readonly<Record<string, SplitRecipe>> {
  const split = place.entries((part): SplitRecipe => (part.isList() ? parseRange(part) : part.share()));
  const shares = Object.values(split).filter((part): part is number => typeof part === 'number');
  if (shares.length && shares.length < Object.keys(split).length) place.fail('some splits are ranges of rows and others shares');
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (total > 1 + 1e-9) place.fail(`the shares add up to ${Number(total.toFixed(6))}, more than all rows`);
  return split;
}

function parseRange(place: Place): readonly [number, number] {
  const range = place.list((bound) => bound.whole(0));
  if (range.length !== 2) place.fail(`a split is [first row, row behind the last], not ${range.length} numbers`);
  if (range[0]! >= range[1]!) place.fail(`the range from ${range[0]} to ${range[1]} is empty`);
  return [range[0]!, range[1]!];
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const position = /position (\d+)/.exec(message)?.[1];
    throw new ParticlizeError({
      file, place: position === undefined ? undefined : lineAndColumn(text, Number(position)),
      cause: 'this is not valid JSON', action: 'Look for a missing comma, quote or bracket',
    }, { cause: error });
  }
}

function lineAndColumn(text: string, position: number): string {
  const before = text.slice(0, position).split('\n');
  return `line ${before.length}, column ${before[before.length - 1]!.length + 1}`;
}

/** A value in the recipe together with where it stands, so that every complaint names the place. */
class Place {
  constructor(private readonly file: string, private readonly path: string, private readonly value: unknown) {}

  fail(cause: string, action?: string): never {
    throw new ParticlizeError({ file: this.file, place: this.path || undefined, cause, action });
  }

  only(names: readonly string[]): void {
    for (const name of Object.keys(this.object())) {
      if (!names.includes(name)) {
        this.at(name).fail('there is no such field', `Known fields here are ${names.filter((known) => known !== '$schema').join(', ')}`);
      }
    }
  }

  required(name: string): Place {
    const place = this.optional(name);
    if (!place) this.fail(`the field '${name}' is missing`);
    return place as Place;
  }

  optional(name: string): Place | undefined {
    const object = this.object();
    return Object.hasOwn(object, name) ? this.at(name) : undefined;
  }

  entries<T>(read: (place: Place) => T): Record<string, T> {
    return Object.fromEntries(Object.keys(this.object()).map((name) => [name, read(this.at(name))]));
  }

  list<T>(read: (place: Place) => T): T[] {
    if (!Array.isArray(this.value)) this.fail(`it should be a list, not ${described(this.value)}`);
    return (this.value as unknown[]).map((item, index) => read(new Place(this.file, `${this.path}[${index}]`, item)));
  }

  text(): string {
    if (typeof this.value !== 'string' || this.value === '') this.fail(`it should be a text, not ${described(this.value)}`);
    return this.value as string;
  }

  number(): number {
    if (typeof this.value !== 'number' || !Number.isFinite(this.value)) this.fail(`it should be a number, not ${described(this.value)}`);
    return this.value as number;
  }

  /** One number or a list of them. */
  numbers(): readonly number[] {
    if (!Array.isArray(this.value)) return [this.number()];
    const values = this.list((place) => place.number());
    if (values.length === 0) this.fail('the list is empty');
    return values;
  }

  whole(least = 0): number {
    const value = this.number();
    if (!Number.isSafeInteger(value) || value < least) this.fail(`it should be a whole number from ${least} up, not ${value}`);
    return value;
  }

  /** Two whole numbers. */
  pair(least: number): readonly [number, number] {
    const values = this.list((place) => place.whole(least));
    if (values.length !== 2) this.fail(`it should be two numbers, not ${values.length}`);
    return [values[0]!, values[1]!];
  }

  /** More than 0, at most 1. */
  share(): number {
    const value = this.number();
    if (value <= 0 || value > 1) this.fail(`it should be [first row, row behind the last] or a share between 0 and 1, not ${value}`);
    return value;
  }

  flag(): boolean {
    if (typeof this.value !== 'boolean') this.fail(`it should be true or false, not ${described(this.value)}`);
    return this.value as boolean;
  }

  isList(): boolean {
    return Array.isArray(this.value);
  }

  oneOf<T extends string | number>(choices: readonly T[]): T {
    const choice = choices.find((candidate) => candidate === this.value);
    if (choice === undefined) this.fail(`it should be one of ${choices.join(', ')}, not ${described(this.value)}`);
    return choice as T;
  }

  private object(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) {
      this.fail(`it should be an object, not ${described(this.value)}`);
    }
    return this.value as Record<string, unknown>;
  }

  private at(name: string): Place {
    return new Place(this.file, this.path ? `${this.path}.${name}` : name, (this.value as Record<string, unknown>)[name]);
  }
}

function described(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return JSON.stringify(value) ?? 'nothing';
}
