import { layerOfValue, nothingLeft, type AxisSets, type Block } from '../graph/coupling';
import type { ModelGraph } from '../graph/modelGraph';
import { particleRemoval } from '../particles/particleRemoval';
import type { ParticleTable } from '../particles/particleTable';
import type { Refusal } from './plan';

export interface RowRemoval {
  readonly removed: AxisSets;
  /** Other particles that go too, by row: tied to the given ones by a sum, a shared layer, ... `closeOver` adds them. */
  readonly alsoRows: readonly number[];
  /** Why it may not be done; empty when it may. Being tied to others is no reason. */
  readonly refusals: readonly Refusal[];
}

/** What removing these rows means for every axis of the model, and why it may not be done, when it may not. */
export function removalOf(graph: ModelGraph, table: ParticleTable, rows: ReadonlySet<number>): RowRemoval {
  const { removed, blocked, rows: all } = particleRemoval(graph, table, rows);
  const alsoRows = [...all].filter((row) => !rows.has(row));
  const layers = [...new Set([...rows].map((row) => table.groupOf(row).layer))];
  const [block] = blocked;
  return { removed, alsoRows, refusals: block ? layers.map((layer) => ({ layer, reason: blockedReason(graph, layer, block) })) : [] };
}

/**
 * For every layer with particles: why none of them can be removed, or undefined when some can. Looks at the first and the
 * last of each layer, so that a large model opens without delay; `couplingGroups` knows about each particle.
 */
export function removable(graph: ModelGraph, table: ParticleTable): ReadonlyMap<string, Refusal | undefined> {
  return new Map(
    table.groups.map(({ layer, count, firstRow }) => {
      if (count === 1) return [layer, { layer, reason: 'it is the only particle of its layer' }];
      const [refusal] = removalOf(graph, table, new Set([firstRow])).refusals;
      return [layer, refusal && removalOf(graph, table, new Set([firstRow + count - 1])).refusals.length ? refusal : undefined];
    }),
  );
}

export function blockedReason(graph: ModelGraph, layer: string, { at, reason, layer: place }: Block): string {
  const emptied = reason === nothingLeft ? layerOfValue(graph, at.value) : undefined;
  if (emptied && emptied !== layer) return `nothing would be left of ${emptied}, which loses channels with it`;
  return place && place !== layer ? `its channels reach ${place}, where they must stay: ${reason}` : reason;
}
