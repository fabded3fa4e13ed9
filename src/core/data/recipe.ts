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
  readonly labels?: { readonly from: string };
  /** Rows [from, to) by split name. */
  readonly split: Readonly<Record<string, readonly [number, number]>>;
  readonly classes?: readonly string[];
  /** The model's output that is judged; found by itself when absent. */
  readonly output?: string;
  /** Decisive metric; by task when absent. */
  readonly metric?: string;
  readonly seed: number;
}

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
}

export const taskKinds: readonly TaskKind[] = ['classification', 'regression', 'nextToken', 'ranking', 'reconstruction'];

/** Reads a recipe. Throws a ParticlizeError naming the file, the place in it and what is wrong there. */
export function parseRecipe(text: string, file: string): Recipe {
  const root = new Place(file, '', parseJson(text, file));
  root.only(['$schema', 'title', 'task', 'data', 'inputs', 'labels', 'split', 'classes', 'output', 'metric', 'seed', 'comment', 'source', 'licence']);
  const data = root.required('data').entries((place) => place.text());
  if (Object.keys(data).length === 0) root.required('data').fail('it names no data file');
  const inputs = root.required('inputs').entries((place) => parseInput(place, data));
  if (Object.keys(inputs).length === 0) root.required('inputs').fail('it names no model input');
  const labels = root.optional('labels');
  labels?.only(['from']);
  return {
    file,
    title: root.optional('title')?.text() ?? file.replace(/\.particlize\.json$/i, ''),
    task: root.required('task').oneOf(taskKinds),
    data, inputs,
    labels: labels && { from: parseFrom(labels.required('from'), data) },
    split: root.optional('split')?.entries(parseRange) ?? {},
    classes: root.optional('classes')?.list((place) => place.text()),
    output: root.optional('output')?.text(),
    metric: root.optional('metric')?.text(),
    seed: root.optional('seed')?.whole() ?? 0,
  };
}

function parseInput(place: Place, data: Readonly<Record<string, string>>): InputRecipe {
  place.only(['from', 'scale', 'mean', 'std', 'layout', 'shape', 'oneHot']);
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

  oneOf<T extends string>(choices: readonly T[]): T {
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
