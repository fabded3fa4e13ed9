import { ParticlizeError, type Finding } from '../graph/errors';
import { checkSize, inMemory, type ArraySource, type TextRows } from './arraySource';
import type { TextRecipe } from './recipe';
import { openTokeniser, type Tokeniser } from './tokenise';

/** Text as rows of token numbers, with what is needed to show and to continue it. */
export interface TokenWindows {
  /** [samples, window] of int32. */
  readonly array: ArraySource;
  /** Tokens by number. */
  readonly vocabulary: readonly string[];
  readonly running: boolean;
  /** The token `shift` places behind the end of each window, [samples]; only of a running text. */
  following(shift: number): ArraySource;
  /** Each token's `shift`-th successor, [samples, window]; -1 where a line has none. */
  shifted(shift: number): ArraySource;
}

export interface TextFiles {
  /** A small file beside the recipe: a vocabulary or tokenizer.json. */
  readJson(path: string): Promise<unknown>;
}

/** Cuts text into windows of tokens. `reserve` tokens behind each window of a running text are kept for its labels. */
export async function textWindows(
  rows: TextRows, count: number, steps: TextRecipe, files: TextFiles,
  { recipe, place, memoryBytes, reserve }: { recipe: string; place: string; memoryBytes: number; reserve: number },
): Promise<TokenWindows> {
  const findings: Finding[] = [];
  const texts = await rows.read(0, count);
  const tokeniser = await openTokeniser(steps, texts, files, { recipe, place, running: rows.running });
  const unseen = new Map<string, number>();
  const encode = (text: string): Int32Array => encoded(tokeniser, text, unseen);
  const windows = rows.running
    ? runningWindows(encode(texts.join('')), steps, reserve, { recipe, place })
    : lineWindows(texts, encode, steps, tokeniser, { recipe, place, memoryBytes });
  if (unseen.size) findings.push(unseenFinding(unseen, tokeniser, place));
  const { array, ...rest } = windows;
  return { ...rest, array: { ...array, findings: () => [...findings, ...(windows.findings ?? [])] }, vocabulary: tokeniser.vocabulary };
}

type Windows = Omit<TokenWindows, 'vocabulary'> & { readonly findings?: readonly Finding[] };
interface Where {
  readonly recipe: string;
  readonly place: string;
}

function runningWindows(tokens: Int32Array, { window, stride }: TextRecipe, reserve: number, { recipe, place }: Where): Windows {
  const samples = Math.floor((tokens.length - window - reserve) / stride) + 1;
  if (samples < 1) {
    throw new ParticlizeError({
      file: recipe, place: `${place}.window`, cause: `the text has ${tokens.length} tokens, too few for a window of ${window}${reserve ? ` and the ${reserve} behind it` : ''}`,
      action: 'Take a smaller window or a longer text',
    });
  }
  const cut = (offset: number, width: number): ArraySource => ({
    dtype: 'int32', shape: width === 0 ? [samples] : [samples, width],
    rows(from, to) {
      const each = width || 1;
      const data = new Int32Array((to - from) * each);
      for (let row = from; row < to; row++) data.set(tokens.subarray(row * stride + offset, row * stride + offset + each), (row - from) * each);
      return Promise.resolve({ dtype: 'int32', shape: width === 0 ? [to - from] : [to - from, width], data });
    },
  });
  return { array: cut(0, window), running: true, following: (shift) => cut(window - 1 + shift, 0), shifted: (shift) => cut(shift, window) };
}

function lineWindows(
  texts: readonly string[], encode: (text: string) => Int32Array, { window, padding }: TextRecipe, { pad }: Tokeniser,
  { recipe, place, memoryBytes }: Where & { memoryBytes: number },
): Windows {
  checkSize(texts.length * window * 8, memoryBytes, recipe, place);
  const data = new Int32Array(texts.length * window).fill(pad);
  const lengths = new Int32Array(texts.length);
  let [cut, empty] = [0, 0];
  texts.forEach((text, row) => {
    const tokens = encode(text);
    if (tokens.length > window) cut++;
    if (tokens.length === 0) empty++;
    lengths[row] = Math.min(window, tokens.length);
    data.set(tokens.subarray(0, window), row * window + (padding === 'start' ? window - lengths[row]! : 0));
  });
  const findings: Finding[] = [];
  if (cut) findings.push({ severity: 'info', place, message: `${cut} of ${texts.length} lines are longer than the window of ${window} tokens and were cut.` });
  if (empty) findings.push({ severity: 'warning', place, message: `${empty} of ${texts.length} lines are empty.` });
  const shape = [texts.length, window];
  return {
    array: inMemory({ dtype: 'int32', shape, data }), running: false, findings,
    following: () => {
      throw new ParticlizeError({
        file: recipe, place: 'labels', cause: 'lines of text have a label at each position, but the model gives one answer a line', action: 'Name the labels in the recipe',
      });
    },
    shifted(shift) {
      const labels = new Int32Array(data.length).fill(-1);
      for (let row = 0; row < texts.length; row++) {
        const start = row * window + (padding === 'start' ? window - lengths[row]! : 0);
        for (let at = start; at + shift < start + lengths[row]!; at++) labels[at] = data[at + shift]!;
      }
      return inMemory({ dtype: 'int32', shape, data: labels });
    },
  };
}

function encoded(tokeniser: Tokeniser, text: string, unseen: Map<string, number>): Int32Array {
  return Int32Array.from(tokeniser.encode(text, (token) => unseen.set(token, (unseen.get(token) ?? 0) + 1)));
}

function unseenFinding(unseen: ReadonlyMap<string, number>, { vocabulary, unknown, hasUnknown }: Tokeniser, place: string): Finding {
  const total = [...unseen.values()].reduce((sum, count) => sum + count, 0);
  const most = [...unseen].sort((a, b) => b[1] - a[1]).slice(0, 5).map(([token, count]) => `${JSON.stringify(token)} ${count} times`);
  const stand = hasUnknown ? `${vocabulary[unknown]} stands for them` : `the vocabulary has no token for unknown ones, so number ${unknown} (${JSON.stringify(vocabulary[unknown] ?? '')}) stands for them`;
  return {
    severity: 'warning', place,
    message: `${total} tokens (${unseen.size} different) are not in the vocabulary: ${most.join(', ')}${unseen.size > 5 ? ', ...' : ''}; ${stand}.`,
  };
}
