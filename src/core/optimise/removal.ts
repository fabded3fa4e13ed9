import type { ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import type { ParticleTable } from '../particles/particleTable';
import { coupledRemoval, layerOfValue, type AxisSets, type Block } from '../graph/coupling';
import type { Refusal } from './plan';

export interface ParticleRemoval {
  readonly removed: AxisSets;
  /** Other particles that would have to go too, by row: tied to the given ones by a sum, a shared layer, ... */
  readonly alsoRows: readonly number[];
  /** Empty when the removal may be done as asked. */
  readonly refusals: readonly Refusal[];
}

/** What removing these rows means for every axis of the model, and why it may not be done, when it may not. */
export function removalOf(graph: ModelGraph, table: ParticleTable, rows: ReadonlySet<number>): ParticleRemoval {
  const byGroup = new Map<ParticleGroup, number[]>();
  for (const row of rows) {
    const group = table.groupOf(row);
    byGroup.set(group, [...(byGroup.get(group) ?? []), row - group.firstRow]);
  }
  const start = [...byGroup].map(([group, indices]) => ({ ref: group.producer, indices }));
  const { removed, blocked } = coupledRemoval(graph, start);
  const alsoRows = tiedRows(table, removed, rows);
  const layers = [...byGroup.keys()].map((group) => group.layer);
  const refusals = blocked.length > 0 ? refuseBlocked(graph, layers, blocked) : refuseTied(table, layers, alsoRows);
  return { removed, alsoRows, refusals };
}

/** For every layer with particles: why none of them can be removed, or undefined when they can. */
export function removable(graph: ModelGraph, table: ParticleTable): ReadonlyMap<string, Refusal | undefined> {
  return new Map(
    table.groups.map((group) => {
      if (group.count === 1) return [group.layer, { layer: group.layer, reason: 'it is the only particle of its layer' }];
      return [group.layer, removalOf(graph, table, new Set([group.firstRow])).refusals[0]];
    }),
  );
}

function tiedRows(table: ParticleTable, removed: AxisSets, rows: ReadonlySet<number>): number[] {
  return table.groups.flatMap((group) =>
    [...(removed.get(group.producer) ?? [])].map((index) => group.firstRow + index).filter((row) => !rows.has(row)),
  );
}

function refuseBlocked(graph: ModelGraph, layers: readonly string[], blocked: readonly Block[]): Refusal[] {
  const [block] = blocked;
  const place = layerOfValue(graph, block!.at.value);
  return layers.map((layer) => ({
    layer,
    reason: place && place !== layer ? `its channels reach ${place}, where they must stay: ${block!.reason}` : block!.reason,
  }));
}

function refuseTied(table: ParticleTable, layers: readonly string[], alsoRows: readonly number[]): Refusal[] {
  if (alsoRows.length === 0) return [];
  const others = [...new Set(alsoRows.map((row) => table.groupOf(row).layer))];
  const own = others.filter((other) => layers.includes(other));
  const foreign = others.filter((other) => !layers.includes(other));
  const reason =
    foreign.length > 0
      ? `its channels are tied to those of ${foreign.join(', ')} (by a sum or a shared axis) and can only go together with them`
      : `particles of ${own.join(', ')} form blocks that can only go together`;
  return layers.map((layer) => ({ layer, reason }));
}
