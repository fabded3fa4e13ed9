import { Tokenizer } from '@huggingface/tokenizers';
import { ParticlizeError } from '../graph/errors';
import { sortedDistinct } from './formats/npy';
import type { TextRecipe } from './recipe';
import type { TextFiles } from './textWindows';

export interface Tokeniser {
  /** Tokens by number. */
  readonly vocabulary: readonly string[];
  readonly pad: number;
  readonly unknown: number;
  /** False when `unknown` is but the first token, for want of a better. */
  readonly hasUnknown: boolean;
  encode(text: string, unseen: (token: string) => void): Iterable<number>;
}

const pads = ['<pad>', '[PAD]', '<PAD>', '<|endoftext|>'];
const unknowns = ['<unk>', '[UNK]', '<UNK>'];

/** The recipe's way of cutting text. Without a vocabulary the tokens of the texts themselves make one. */
export async function openTokeniser(
  steps: TextRecipe, texts: readonly string[], files: TextFiles, where: { recipe: string; place: string; running: boolean },
): Promise<Tokeniser> {
  if (/\.json$/i.test(steps.tokenise)) return fromFile(steps, await files.readJson(steps.tokenise), where);
  const split = steps.tokenise === 'words' ? words : characters;
  const vocabulary = steps.vocabulary === undefined
    ? ownVocabulary(texts, split, where.running ? [] : [steps.pad ?? pads[0]!, steps.unknown ?? unknowns[0]!])
    : vocabularyOf(await files.readJson(steps.vocabulary), steps.vocabulary);
  const numbers = new Map(vocabulary.map((token, index) => [token, index]));
  const { pad, unknown, hasUnknown } = specials(steps, numbers, where);
  return {
    vocabulary, pad, unknown, hasUnknown,
    * encode(text, unseen) {
      for (const token of split(text)) {
        const number = numbers.get(token);
        if (number === undefined) unseen(token);
        yield number ?? unknown;
      }
    },
  };
}

/** Unicode characters, not UTF-16 halves. */
function characters(text: string): Iterable<string> {
  return text;
}

/** Runs of letters, digits and underscores, and every other sign that is no space: what Python's `\w+|[^\w\s]` finds. */
function* words(text: string): Iterable<string> {
  for (const match of text.matchAll(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu)) yield match[0];
}

function ownVocabulary(texts: readonly string[], split: (text: string) => Iterable<string>, first: readonly string[]): readonly string[] {
  const distinct = new Set<string>();
  for (const text of texts) for (const token of split(text)) distinct.add(token);
  return [...first, ...sortedDistinct(distinct).filter((token) => !first.includes(token))];
}

function vocabularyOf(value: unknown, file: string): readonly string[] {
  if (Array.isArray(value) && value.every((token) => typeof token === 'string') && value.length) return value as string[];
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value);
    const tokens: string[] = [];
    for (const [token, number] of entries) {
      if (!Number.isInteger(number) || number < 0 || number >= 4 * entries.length + 1024) {
        throw new ParticlizeError({ file, place: `'${token}'`, cause: `its number is ${String(number)}, which is no place in a vocabulary of ${entries.length}` });
      }
      tokens[number as number] = token;
    }
    if (tokens.length) return Array.from(tokens, (token) => token ?? '');
  }
  throw new ParticlizeError({ file, cause: 'a vocabulary is a JSON list of tokens, or an object from token to number' });
}

function specials(
  steps: TextRecipe, numbers: ReadonlyMap<string, number>, { recipe, place }: { recipe: string; place: string },
): Pick<Tokeniser, 'pad' | 'unknown' | 'hasUnknown'> {
  const find = (field: 'pad' | 'unknown', usual: readonly string[]): number | undefined => {
    const named = steps[field];
    if (named !== undefined && !numbers.has(named)) throw new ParticlizeError({ file: recipe, place: `${place}.${field}`, cause: `the vocabulary has no token '${named}'` });
    return numbers.get(named ?? usual.find((token) => numbers.has(token)) ?? '');
  };
  const unknown = find('unknown', unknowns);
  return { pad: find('pad', pads) ?? 0, unknown: unknown ?? 0, hasUnknown: unknown !== undefined };
}

/** A tokenizer.json of Hugging Face's library, read by its own JavaScript sister. */
function fromFile(steps: TextRecipe, json: unknown, where: { recipe: string; place: string }): Tokeniser {
  let tokenizer: Tokenizer;
  let numbers: ReadonlyMap<string, number>;
  try {
    tokenizer = new Tokenizer(json as object, {});
    numbers = tokenizer.get_vocab(true);
  } catch (error) {
    throw new ParticlizeError({
      file: steps.tokenise, cause: `this is not a tokenizer that can be read (${error instanceof Error ? error.message : String(error)})`,
      action: "Save it with the Hugging Face tokenizers' save()",
    }, { cause: error });
  }
  const vocabulary: string[] = [];
  for (const [token, number] of numbers) vocabulary[number] = token;
  const found = specials(steps, numbers, where);
  return {
    ...found, vocabulary: Array.from(vocabulary, (token) => token ?? ''),
    * encode(text, unseen) {
      const { ids, tokens } = tokenizer.encode(text, { add_special_tokens: false });
      for (const [index, id] of ids.entries()) {
        if (found.hasUnknown && id === found.unknown) unseen(tokens[index] ?? '');
        yield id;
      }
    },
  };
}
