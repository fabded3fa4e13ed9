import { couplingGroups } from '../groups';
import type { RemoveStep } from '../plan';
import { removalOf } from '../removal';
import { removeAxes } from '../removeAxes';
import { counted, type Action, type Operating, type StepResult } from './action';

/**
 * What may not be removed is refused with its reason and left as it was. A step has to name all particles that go together
 * (`closeOver` completes it), so that nobody loses what the plan did not say.
 */
export const remove: Action<RemoveStep> = {
  name: 'remove',
  check: (fields) => ({ action: 'remove', particles: fields.particles() }),
  apply: (step, model) => removeRows(model, new Set(step.particles.map((id) => model.row(id)))),
  words: ({ particles }) => `remove ${counted(particles.length, 'particle')}`,
};

/** Takes rows away as far as they may go. */
export async function removeRows({ graph, table, id }: Operating, rows: ReadonlySet<number>): Promise<StepResult> {
  const refusals = new Map<string, string>();
  const allowed = new Set(rows);
  const leaveOut = (row: number, reason: string): void => {
    const { layer } = table.groupOf(row);
    if (!refusals.has(layer)) refusals.set(layer, reason);
    allowed.delete(row);
  };
  const whole = removalOf(graph, table, rows);
  if (whole.refusals.length || whole.alsoRows.length) {
    const coupling = couplingGroups(graph, table);
    for (const row of rows) {
      const bundle = coupling.bundleOf(row);
      const missing = bundle.rows.find((other) => !rows.has(other));
      if (bundle.stays !== undefined) leaveOut(row, bundle.stays);
      else if (missing !== undefined) leaveOut(row, `${coupling.groupOf(row).reason}, so that the plan has to name ${id(missing)} too`);
    }
    // What is left may still empty a layer as a whole.
    for (const group of coupling.groups) {
      const own = [...allowed].filter((row) => coupling.groupOf(row) === group);
      const { refusals: more, alsoRows } = removalOf(graph, table, new Set(own));
      const reason = more[0]?.reason ?? (alsoRows.length ? `${group.reason}, so that ${id(alsoRows[0]!)} would have to go too` : undefined);
      if (reason !== undefined) for (const row of own) leaveOut(row, reason);
    }
  }
  const list = [...refusals].map(([layer, reason]) => ({ layer, reason }));
  if (allowed.size === 0) return { graph, refusals: list };
  const rest = removalOf(graph, table, allowed);
  if (rest.refusals.length > 0) return { graph, refusals: [...list, ...rest.refusals] };
  return { graph: await removeAxes(graph, rest.removed), refusals: list, gone: allowed };
}
