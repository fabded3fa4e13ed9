import { seededRandom } from '../graph/seededRandom';
import type { Column, Provenance } from '../particles/particleTable';
import { agreement } from './agreement';
import type { BehaviourContext } from './behaviour';
import { measuredRowsOf } from './estimates';
import { exactChanges } from './exactChanges';

/** Particles whose exact values an estimate is compared with where no more are known. */
const checked = 16;

/**
 * How far a column of estimates is off: compared with all exact values of the same data that the table has; where it has too
 * few, with those of a small random sample of particles, measured for this. Rows that were measured anyway do not count.
 */
export async function estimateError(
  context: BehaviourContext, values: Float32Array, estimateOf: string, exact: Column | undefined,
): Promise<Provenance['error']> {
  const known = knownError(values, exact);
  if (known && known.comparedWith >= checked) return known;
  const rows = candidates(values);
  const random = seededRandom(context.data.seed + 1);
  for (let last = rows.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [rows[last], rows[other]] = [rows[other]!, rows[last]!];
  }
  const what = /Metric/.test(estimateOf) ? 'metric' : 'loss';
  const found = [...await checkedChanges(context, rows.slice(0, checked))];
  return agreement(found.map(([row]) => values[row]!), found.map(([, change]) => change[what])) ?? known;
}

/** The same from what is known already; undefined when that is too little. */
export function knownError(values: Float32Array, exact: Column | undefined): Provenance['error'] {
  if (!exact) return undefined;
  const rows = candidates(values).filter((row) => !Number.isNaN(exact.values[row]!));
  return agreement(rows.map((row) => values[row]!), rows.map((row) => exact.values[row]!));
}

function candidates(values: Float32Array): number[] {
  const all = Array.from(values.keys()).filter((row) => !Number.isNaN(values[row]!));
  const measured = measuredRowsOf(values);
  const estimated = all.filter((row) => !measured.has(row));
  return estimated.length >= 3 ? estimated : all;
}

const lastChecked = new WeakMap<BehaviourContext, { readonly key: string; readonly found: ReturnType<typeof exactChanges> }>();

/** Several columns of one run are checked by the same particles: measured once. */
function checkedChanges(context: BehaviourContext, rows: readonly number[]): ReturnType<typeof exactChanges> {
  const key = rows.join();
  const last = lastChecked.get(context);
  if (last?.key === key) return last.found;
  const found = exactChanges(context, rows);
  lastChecked.set(context, { key, found });
  return found;
}
