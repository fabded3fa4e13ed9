import { ParticlizeError, type Finding } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import { asFloat32, asNumbers } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import { gatherRows, type ArraySource } from './arraySource';
import type { FittedInput } from './loadDataset';
import { dataNameOf, type Recipe } from './recipe';

/** Held-out positives with items that their users never rated: the rows of one sample are its positive first, then the negatives. */
export interface RankingCandidates {
  /** Rows of the ratings that are samples, among those asked for. */
  readonly rows: Float64Array;
  /** The input that holds items: the only one that differs between the candidates of a sample. */
  readonly itemInput: FittedInput;
  /** For each candidate row of sample `row` (a row of the ratings), the item. */
  items(row: number): Float64Array;
}

/** The columns that a ranking is about. */
interface RatingColumns {
  readonly user: ArraySource;
  readonly item: ArraySource;
  readonly rating?: ArraySource;
}

/** Finds the columns, by the recipe or by their usual names, and which input takes the items. */
export async function openRanking(
  recipe: Recipe, arrays: (from: string, place: string) => Promise<ArraySource>, inputs: readonly FittedInput[], rows: Float64Array,
  note: (finding: Finding) => void,
): Promise<RankingCandidates> {
  const { name: file } = dataNameOf(inputs[0]!.from, recipe.data)!;
  const { user = `${file}.user`, item = `${file}.item`, rating } = recipe.ranking!;
  const itemInput = inputs.find(({ from }) => from === item);
  if (!itemInput) {
    throw new ParticlizeError({
      file: recipe.file, place: 'ranking.item', cause: `no input of the model is fed from ${item}`, action: `Say which column holds the items: "ranking": {"item": "${inputs[inputs.length - 1]!.from}"}`,
    });
  }
  const needed = rating ?? (recipe.ranking!.positive === undefined ? undefined : `${file}.rating`);
  const columns = {
    user: await arrays(user, 'ranking.user'), item: await arrays(item, 'ranking.item'), rating: needed && await arrays(needed, 'ranking.rating'),
  };
  return { ...await rankingCandidates(recipe, { ...columns, rating: columns.rating || undefined }, rows, note), itemInput };
}

/** Rows of an input for samples: the sample's own, once a candidate, or the candidates' items. */
export async function candidateRows(input: FittedInput, ranking: RankingCandidates, rows: Float64Array): Promise<NdArray> {
  if (input !== ranking.itemInput) {
    const own = await gatherRows(input.array, rows);
    const candidates = rows.length ? ranking.items(rows[0]!).length : 1;
    const each = own.data.length / (rows.length || 1);
    const data = new Float64Array(own.data.length * candidates);
    for (let at = 0; at < data.length; at++) data[at] = Number(own.data[Math.floor(at / (each * candidates)) * each + at % each]);
    return { dtype: 'float64', shape: [rows.length * candidates, ...own.shape.slice(1)], data };
  }
  const parts = Array.from(rows, (row) => ranking.items(row));
  const data = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.forEach((part, index) => data.set(part, index * part.length));
  return { dtype: 'float64', shape: [data.length, ...input.array.shape.slice(1)], data };
}

export async function captionOf(inputs: readonly FittedInput[], row: number): Promise<string> {
  const parts = inputs.map(async ({ model, array }) => {
    const value = Number((await array.rows(row, row + 1)).data[0]);
    return `${model.name} ${array.categories?.[value] ?? value}`;
  });
  return (await Promise.all(parts)).join(', ');
}

/**
 * Leave-one-out ranking as in He et al. 2017 (Neural collaborative filtering, section 4.1): each held-out item stands among items drawn
 * evenly from those that the user has no rating of, anywhere in the file. What is drawn depends on seed and row alone.
 */
async function rankingCandidates(
  recipe: Recipe, columns: RatingColumns, rows: Float64Array, note: (finding: Finding) => void,
): Promise<Omit<RankingCandidates, 'itemInput'>> {
  const { negatives, positive, seed } = recipe.ranking!;
  const count = columns.user.shape[0]!;
  const users = Float64Array.from(asNumbers(await columns.user.rows(0, count)));
  const items = Float64Array.from(asNumbers(await columns.item.rows(0, count)));
  let chosen = rows;
  if (positive !== undefined && columns.rating) {
    const ratings = asFloat32(await columns.rating.rows(0, count));
    chosen = rows.filter((row) => ratings[row]! >= positive);
    if (!chosen.length) throw new ParticlizeError({ file: recipe.file, place: 'ranking.positive', cause: `none of ${rows.length} ratings is ${positive} or more` });
  } else if (positive !== undefined) note({ severity: 'warning', place: 'ranking.positive', message: 'The data has no ratings, so every row counts as positive.' });
  const all = Float64Array.from(new Set(items)).sort();
  const rated = new Map<number, Set<number>>();
  users.forEach((user, row) => {
    const own = rated.get(user);
    if (own) own.add(items[row]!);
    else rated.set(user, new Set([items[row]!]));
  });
  for (const row of chosen) {
    const free = all.length - rated.get(users[row]!)!.size;
    if (free >= negatives) continue;
    throw new ParticlizeError({
      file: recipe.file, place: 'ranking.negatives', cause: `user ${users[row]} has no rating of only ${free} of the ${all.length} items, fewer than the ${negatives} negatives`,
      action: `Take at most ${free} negatives`,
    });
  }
  return {
    rows: chosen,
    items(row) {
      const own = rated.get(users[row]!)!;
      const random = seededRandom((seed * 0x9e3779b1 + row * 0x85ebca6b) >>> 0);
      const result = new Float64Array(negatives + 1);
      result[0] = items[row]!;
      const taken = new Set<number>();
      // Drawing again is fast while most items are free; else those that are free are listed.
      if (2 * (own.size + negatives) < all.length) {
        while (taken.size < negatives) {
          const item = all[Math.floor(random() * all.length)]!;
          if (!own.has(item)) taken.add(item);
        }
        result.set([...taken], 1);
        return result;
      }
      const free = all.filter((item) => !own.has(item));
      for (let at = 0; at < negatives; at++) {
        const other = at + Math.floor(random() * (free.length - at));
        [free[at], free[other]] = [free[other]!, free[at]!];
      }
      result.set(free.subarray(0, negatives), 1);
      return result;
    },
  };
}
