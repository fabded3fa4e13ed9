import { ParticlizeError, type Finding } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import type { Recipe } from './recipe';

/** Rows of the data by split name; all rows under '' when the recipe has no splits. */
export function splitRows(recipe: Recipe, split: string | undefined, rows: number, running: boolean): Float64Array {
  if (split === undefined) return range(0, rows);
  const part = recipe.split[split]!;
  if (typeof part === 'number') return sharedRows(recipe, split, rows, running);
  if (part[1] <= rows) return range(part[0], part[1]);
  throw new ParticlizeError({ file: recipe.file, place: `split.${split}`, cause: `it ends at row ${part[1]}, but there are only ${rows} rows` });
}

/** Shares lie one behind the other in an order drawn by the seed; of a running text in the order of the text. */
function sharedRows(recipe: Recipe, split: string, rows: number, running: boolean): Float64Array {
  let share = 0;
  for (const [name, part] of Object.entries(recipe.split)) {
    const from = Math.round(share * rows);
    share += part as number;
    const to = Math.min(rows, Math.round(share * rows));
    if (name !== split) continue;
    if (from >= to) throw new ParticlizeError({ file: recipe.file, place: `split.${split}`, cause: `a share of ${String(part)} of ${rows} rows is no row at all` });
    return running ? range(from, to) : shuffled(rows, recipe.seed).subarray(from, to).sort();
  }
  throw new RangeError(`no split ${split}`);
}

/** Draws samples by the seed, and as many of each class when asked to; in the order of the data. */
export function drawSamples(
  rows: Float64Array, { count, balance, seed }: { readonly count?: number; readonly balance: boolean; readonly seed: number }, classes: ArrayLike<number> | undefined,
): { readonly rows: Float64Array; readonly findings: readonly Finding[] } {
  const order = shuffled(rows.length, seed);
  const wanted = Math.min(rows.length, count ?? rows.length);
  if (!balance || !classes) {
    if (wanted === rows.length) return { rows, findings: [] };
    return { rows: order.subarray(0, wanted).sort().map((index) => rows[index]!), findings: [] };
  }
  const byClass = new Map<number, number[]>();
  for (const index of order) {
    const members = byClass.get(classes[index]!);
    if (members) members.push(index);
    else byClass.set(classes[index]!, [index]);
  }
  const groups = [...byClass].sort(([a], [b]) => a - b).map(([, members]) => members);
  const smallest = Math.min(...groups.map((members) => members.length));
  const each = Math.min(smallest, Math.ceil(wanted / groups.length));
  const chosen: number[] = [];
  // Round by round, so that a count that does not divide is spread over the classes.
  for (let round = 0; round < each; round++) for (const members of groups) if (count === undefined || chosen.length < wanted) chosen.push(members[round]!);
  const findings: Finding[] = count !== undefined && chosen.length < wanted
    ? [{ severity: 'info', place: 'sample', message: `The smallest class has ${smallest} samples, so ${chosen.length} balanced samples are used instead of ${wanted}.` }]
    : [];
  return { rows: Float64Array.from(chosen).sort().map((index) => rows[index]!), findings };
}

function shuffled(count: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  const order = Float64Array.from({ length: count }, (_, index) => index);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

/** Row numbers from `from` up to before `to`. */
export function range(from: number, to: number): Float64Array {
  return Float64Array.from({ length: to - from }, (_, index) => from + index);
}
