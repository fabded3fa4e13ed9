import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { ParticleTable } from '../particles/particleTable';
import { forEachAt } from './actions/action';
import { readingsOf } from './actions/readings';
import { couplingGroups } from './groups';

export interface Twins {
  readonly into: number;
  /** Rows that say exactly the same. */
  readonly rows: readonly number[];
}

/** Particles whose own weights are the same to the last bit, and that can be merged: one row of each thing that goes together. */
export async function twinsOf(graph: ModelGraph, table: ParticleTable): Promise<Twins[]> {
  const result: Twins[] = [];
  for (const group of couplingGroups(graph, table).groups) {
    if (group.stays !== undefined) continue;
    const [member] = group.members;
    const sets = new Map<string, number[]>();
    for (const bundle of group.bundles) {
      if (bundle.stays !== undefined || bundle.rows.length !== group.members.length) continue;
      // Norms behind a concatenation or of groups are not among a particle's own weights: all that would go is compared.
      const found = readingsOf(graph, table, [bundle.rows[0]!]);
      if ('reason' in found) break;
      if (member!.kind === 'unit' || graph.nodes.some(({ op }) => op === 'GroupNormalization')) break;
      const heard = new Set(found.readings.map(({ tensor, axis }) => `${axis}:${tensor}`));
      const parts: string[] = [];
      for (const { ref: { value, axis }, indices } of found.removed) {
        const tensor = graph.tensors.get(value);
        if (!tensor || heard.has(`${axis}:${value}`)) continue;
        const own: number[] = [];
        const values = asFloat32(await tensor.read());
        for (const index of [...indices].sort((one, two) => one - two)) forEachAt(tensor.shape, axis, index, (at) => own.push(values[at]!));
        parts.push(`${axis}:${value}=${own.join()}`);
      }
      const key = parts.sort().join(';');
      sets.set(key, [...sets.get(key) ?? [], bundle.rows[0]!]);
    }
    for (const [into, ...rows] of sets.values()) if (rows.length) result.push({ into: into!, rows });
  }
  return result;
}
