import { ParticlizeError } from '../graph/errors';
import { asFloat32, asNumbers, isFloat } from '../graph/numeric';
import { elementCount } from '../graph/tensor';
import { gatherRows, type ArraySource } from './arraySource';
import { times } from './fitInput';
import type { IdLimit } from './idLimits';
import type { FittedInput } from './loadDataset';
import type { RankingCandidates } from './rankingCandidates';
import type { Recipe } from './recipe';

/** Rows whose values are looked at in one go, as far as they are small. */
const checkRows = 1024;
const checkBytes = 32 * 2 ** 20;

/** Samples whose rows can be read: pictures are looked at before a run, not in the middle of it. */
export async function withoutUnreadable(recipe: Recipe, inputs: readonly FittedInput[], rows: Float64Array): Promise<Float64Array> {
  const bad = new Set<number>();
  for (const { array } of inputs) for (const row of await array.unreadable?.(rows) ?? []) bad.add(row);
  if (!bad.size) return rows;
  const kept = rows.filter((row) => !bad.has(row));
  if (!kept.length) throw new ParticlizeError({ file: recipe.file, place: 'inputs', cause: `none of the ${rows.length} samples can be read` });
  return kept;
}

/** No NaN, nothing beyond one-hot classes or an embedding's rows. */
export async function checkNumbers(
  recipe: Recipe, { array, from, fit, place, model }: FittedInput, rows: Float64Array, limit: IdLimit | undefined,
): Promise<void> {
  const { oneHot, scale, mean, std } = fit.steps;
  const ids = limit && scale === 1 && mean.every((value) => value === 0) && std.every((value) => value === 1) ? limit : undefined;
  if (!isFloat(array.dtype) && oneHot === undefined && !ids) return;
  const perRow = elementCount(array.shape.slice(1));
  const step = Math.max(1, Math.min(checkRows, Math.floor(checkBytes / (8 * perRow))));
  let [total, first] = [0, ''];
  for (let start = 0; start < rows.length; start += step) {
    const picked = rows.subarray(start, start + step);
    const values = asFloat32(await gatherRows(array, picked));
    for (let at = 0; at < values.length; at++) {
      const value = values[at]!;
      const row = picked[Math.floor(at / perRow)]!;
      if (!Number.isFinite(value)) {
        total++;
        first ||= `row ${row} of ${from} holds ${Number.isNaN(value) ? 'NaN' : 'an infinite value'}`;
      } else if (oneHot !== undefined && !(value >= 0 && value < oneHot)) {
        throw new ParticlizeError({ file: recipe.file, place, cause: `row ${row} of ${from} holds ${value}, which oneHot ${oneHot} has no place for`, action: repair });
      } else if (ids && !(Number.isInteger(value) && value >= 0 && value < ids.limit)) throw beyond(recipe, place, `row ${row} of ${from} holds ${value}`, model.name, ids);
    }
  }
  if (!total) return;
  throw new ParticlizeError({
    file: recipe.file, place, cause: total > 1 ? `${first}, and ${total - 1} more values in use are not finite` : first, action: repair,
  });
}

const repair = 'Repair that row or leave it out of the split';

function beyond(recipe: Recipe, place: string, what: string, input: string, { limit, layer }: IdLimit): ParticlizeError {
  return new ParticlizeError({
    file: recipe.file, place, cause: `${what}, but the embedding ${layer} that the model's input ${input} picks from has ${limit} rows, 0 to ${limit - 1}`,
    action: 'Check that vocabulary or ids are those that the model was trained with',
  });
}

/** Any item of the data may become a candidate. */
export async function checkCandidates(
  recipe: Recipe, { itemInput }: RankingCandidates, limits: ReadonlyMap<string, IdLimit> | undefined,
): Promise<void> {
  const limit = limits?.get(itemInput.model.name);
  if (!limit) return;
  const values = asNumbers(await itemInput.array.rows(0, itemInput.array.shape[0]!));
  const bad = values.findIndex((value) => !(Number.isInteger(value) && value >= 0 && value < limit.limit));
  if (bad >= 0) throw beyond(recipe, itemInput.place, `row ${bad} of ${itemInput.from} holds ${values[bad]}`, itemInput.model.name, limit);
}

export async function checkLabels(recipe: Recipe, labels: ArraySource, rows: Float64Array, classCount: number | undefined): Promise<void> {
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
  const values = asFloat32(await gatherRows(labels, rows));
  const wrong = (value: number): boolean => !(Number.isInteger(value) && value >= 0 && value < limit);
  const bad = values.findIndex(wrong);
  if (bad < 0) return;
  const more = values.reduce((count, value) => count + Number(wrong(value)), 0) - 1;
  const why = limit === Infinity ? 'a class is a whole number from 0 up' : `the model has ${limit} classes, 0 to ${limit - 1}`;
  throw new ParticlizeError({
    file: recipe.file, place: 'labels', cause: `row ${rows[bad]} of ${recipe.labels!.from} is ${values[bad]}${more ? ` (and ${more} more are odd)` : ''}, but ${why}`,
  });
}

/** Tokens that are to be foretold must be among the model's outputs; -1 does not count. */
export async function checkTokens(recipe: Recipe, labels: ArraySource, rows: Float64Array, vocabulary: number | undefined): Promise<void> {
  if (vocabulary === undefined) return;
  const values = asFloat32(await gatherRows(labels, rows));
  const bad = values.findIndex((value) => !(Number.isInteger(value) && value >= -1 && value < vocabulary));
  if (bad < 0) return;
  const row = rows[Math.floor(bad / (values.length / rows.length))];
  throw new ParticlizeError({
    file: recipe.file, place: 'labels', cause: `sample ${row} has the token ${values[bad]} as its label, but the model's output has ${vocabulary} tokens, 0 to ${vocabulary - 1}`,
    action: 'Check that the vocabulary is the one that the model was trained with',
  });
}
