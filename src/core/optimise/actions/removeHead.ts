import type { RemoveHeadStep } from '../plan';
import { counted, StepError, type Action } from './action';
import { removeRows } from './remove';

/** Removing particles, for those that are attention heads: with their columns of query, key and value and rows of the output. */
export const removeHead: Action<RemoveHeadStep> = {
  name: 'removeHead',
  check: (fields) => ({ action: 'removeHead', particles: fields.particles() }),
  apply(step, model) {
    const rows = step.particles.map((id) => {
      const row = model.row(id);
      if (model.table.groupOf(row).kind !== 'head') throw new StepError(id, 'it is no attention head; the action for it is remove');
      return row;
    });
    return removeRows(model, new Set(rows));
  },
  words: ({ particles }) => `remove ${counted(particles.length, 'head')}`,
};
