import { coupledRemoval, type Removal } from '../graph/coupling';
import type { ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from './particle';
import type { ParticleTable } from './particleTable';

export interface ParticleRemoval extends Removal {
  /** All particles that go: those asked for and those tied to them. */
  readonly rows: ReadonlySet<number>;
}

/** What removing these rows means for every axis of the model, with everything that can only go together with them. */
export function particleRemoval(graph: ModelGraph, table: ParticleTable, rows: Iterable<number>): ParticleRemoval {
  const byGroup = new Map<ParticleGroup, number[]>();
  for (const row of rows) {
    const group = table.groupOf(row);
    const list = byGroup.get(group);
    if (list) list.push(row - group.firstRow);
    else byGroup.set(group, [row - group.firstRow]);
  }
  const removal = coupledRemoval(graph, [...byGroup].map(([group, indices]) => ({ ref: group.producer, indices })));
  const gone = table.groups.flatMap(({ producer, firstRow, count }) =>
    [...removal.removed.get(producer) ?? []].filter((index) => index < count).map((index) => firstRow + index));
  return { ...removal, rows: new Set(gone) };
}
