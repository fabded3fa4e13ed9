import { asFloat32, isInteger } from '../graph/numeric';
import type { Candidate, Draft, RecipeTarget } from './guessRecipe';

const users = /^(user|users|user_?id|uid|u|customer(_?id)?)$/i;
const items = /^(item|items|item_?id|iid|i|movie(_?id)?|product(_?id)?|book(_?id)?|song(_?id)?)$/i;
const ratings = /^(ratings?|score|stars|value)$/i;

/** Ratings of items by users: two inputs of ids and a table with such columns. False when it is something else. */
export async function guessRatings(
  draft: Draft, candidates: readonly Candidate[], target: RecipeTarget, say: (field: string, value: unknown, why: string) => void,
): Promise<boolean> {
  if (target.inputs.length !== 2) return false;
  const ids = target.inputs.filter(({ name, dtype }) => target.idLimits.has(name) || isInteger(dtype));
  if (ids.length !== 2) return false;
  const columns = candidates.filter(({ array }) => array.shape.length === 1);
  const headless = columns.length >= 2 && columns.every(({ name }, index) => name === String(index));
  const find = (names: RegExp, place: number): Candidate | undefined => columns.find(({ name }) => names.test(name)) ?? (headless ? columns[place] : undefined);
  const [user, item, rating] = [find(users, 0), find(items, 1), find(ratings, 2)];
  if (!user || !item) return false;
  const second = target.inputs.find(({ name }) => /item|movie|product|book|song/i.test(name)) ?? target.inputs[1]!;
  const first = target.inputs.find((input) => input !== second)!;
  for (const [input, column, what] of [[first, user, 'users'], [second, item, 'items']] as const) {
    draft.inputs[input.name] = { from: column.from };
    const limit = target.idLimits.get(input.name);
    say(`inputs.${input.name}.from`, column.from, `${headless ? `without a header column ${column.name}` : `a column of this name`} holds ${what}${limit ? `, and the model has ${limit.limit} of them` : ''}`);
  }
  draft.task = 'ranking';
  const rules: Record<string, unknown> = { negatives: 99, k: 10, seed: 0, user: user.from, item: item.from };
  say('task', 'ranking', 'ratings of items by users: each held-out item is ranked among 99 that the user never rated');
  if (rating) {
    const values = asFloat32(await rating.array.rows(0, Math.min(rating.array.shape[0]!, 10_000)));
    const most = values.reduce((largest, value) => Math.max(largest, value), -Infinity);
    if (most > 1) {
      const positive = Math.max(1, Math.ceil(most * 0.8));
      Object.assign(rules, { rating: rating.from, positive });
      say('ranking.positive', positive, `ratings go up to ${most}; from here up they count as liked`);
    }
  }
  const count = new Set(asFloat32(await item.array.rows(0, item.array.shape[0]!))).size;
  if (count <= 200) {
    rules['negatives'] = Math.max(1, Math.floor(count / 4));
    say('ranking.negatives', rules['negatives'], `there are only ${count} items`);
  }
  draft['ranking'] = rules;
  return true;
}
