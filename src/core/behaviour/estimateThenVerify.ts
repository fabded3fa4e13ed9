import { agreement } from './agreement';
import type { BehaviourContext } from './behaviour';
import { openExactChanges, type ExactChanges } from './exactChanges';
import { chosenGroups } from './forward';
import { estimateLosses } from './lossEstimate';
import type { Provenance } from '../particles/particleTable';

/** Which particles are wanted: the share of all whose loss change is lowest, or all whose loss change is at most a number. */
export type Wanted = { readonly lowestShare: number } | { readonly atMost: number };

export interface VerifyOptions {
  /** Share of all particles that may be measured; 0.25 when left out. */
  readonly mostExact?: number;
  readonly outputs?: number;
}

export interface Verified {
  /** Rows, lowest loss change first. */
  readonly rows: readonly number[];
  /** Loss changes by row: exact where measured, else estimated. */
  readonly values: Float32Array;
  readonly measured: ReadonlySet<number>;
  /** How estimates agreed with what was measured of them. */
  readonly error?: Provenance['error'];
}

/**
 * The particles that matter least, without measuring all: everything is estimated, and then measured from the decision boundary
 * outwards until what is left is further from it than estimates there are off.
 */
export async function estimateThenVerify(context: BehaviourContext, wanted: Wanted, { mostExact = 0.25, outputs }: VerifyOptions = {}): Promise<Verified> {
  const exact = await openExactChanges(context);
  try {
    return await verified(context, exact, wanted, { mostExact, outputs });
  } finally {
    await exact.dispose();
  }
}

async function verified(
  context: BehaviourContext, changes: ExactChanges, wanted: Wanted, { mostExact, outputs }: { mostExact: number; outputs?: number },
): Promise<Verified> {
  const groups = chosenGroups(context);
  const { loss, measured: known } = await estimateLosses(context, groups, { outputs, exact: changes });
  const estimated = loss.slice();
  const rows = groups.flatMap(({ firstRow, count }) => Array.from({ length: count }, (_, particle) => firstRow + particle)).filter((row) => !Number.isNaN(loss[row]!));
  const values = loss.slice();
  const measured = new Set(known);
  const most = Math.ceil(mostExact * rows.length);
  const step = Math.max(4, Math.ceil(rows.length / 40));
  const errors: number[] = [];
  for (let spent = 0; spent < most;) {
    const boundary = boundaryOf(rows, values, wanted);
    const next = nearest(rows.filter((row) => !measured.has(row)), values, boundary, Math.min(step, most - spent));
    // What is further from the boundary than estimates near it are off is on the right side.
    const far = errors.length >= step && next.every((row) => Math.abs(values[row]! - boundary) > quantile(errors, 0.95));
    if (!next.length || far) break;
    for (const [row, { loss: exact }] of await changes.of(next)) {
      errors.push(Math.abs(exact - values[row]!));
      values[row] = exact;
    }
    for (const row of next) measured.add(row);
    spent += next.length;
  }
  const checked = [...measured].filter((row) => !known.has(row));
  return {
    rows: chosen(rows, values, wanted), values, measured,
    error: agreement(checked.map((row) => estimated[row]!), checked.map((row) => values[row]!)),
  };
}

function chosen(rows: readonly number[], values: Float32Array, wanted: Wanted): number[] {
  const order = [...rows].sort((one, two) => values[one]! - values[two]! || one - two);
  return 'atMost' in wanted ? order.filter((row) => values[row]! <= wanted.atMost) : order.slice(0, Math.floor(wanted.lowestShare * rows.length));
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((one, two) => one - two)[Math.min(values.length - 1, Math.floor(share * values.length))]!;
}

function boundaryOf(rows: readonly number[], values: Float32Array, wanted: Wanted): number {
  if ('atMost' in wanted) return wanted.atMost;
  const order = [...rows].sort((one, two) => values[one]! - values[two]!);
  const at = Math.min(order.length - 1, Math.floor(wanted.lowestShare * order.length));
  return (values[order[Math.max(0, at - 1)]!]! + values[order[at]!]!) / 2;
}

/** As many on either side of the boundary as there are, nearest first. */
function nearest(rows: readonly number[], values: Float32Array, boundary: number, count: number): number[] {
  const order = [...rows].sort((one, two) => Math.abs(values[one]! - boundary) - Math.abs(values[two]! - boundary));
  const half = Math.ceil(count / 2);
  const below = order.filter((row) => values[row]! <= boundary);
  const above = order.filter((row) => values[row]! > boundary);
  return [...below.slice(0, Math.max(half, count - above.length)), ...above.slice(0, Math.max(half, count - below.length))].slice(0, count);
}
