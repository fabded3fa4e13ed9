import { silencesOf } from '../../behaviour/silences';
import { couplingOf, keyOf, type AxisSets } from '../../graph/coupling';
import { contextOf } from '../../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import { familyOf } from '../../graph/ops/registry';
import { particleRemoval } from '../../particles/particleRemoval';
import type { ParticleTable } from '../../particles/particleTable';

/** Weights by which a linear operator hears particles. */
export interface Reading {
  readonly node: GraphNode;
  readonly tensor: string;
  readonly axis: number;
  /** Ascending: two particles of one layer have theirs in the same order. */
  readonly indices: readonly number[];
}

export interface Readings {
  readonly readings: readonly Reading[];
  /** What goes with the particles on every axis. */
  readonly removed: AxisSets;
  readonly rows: ReadonlySet<number>;
}

/**
 * Everything that hears these rows (and all tied to them), as weights; or why that cannot be said: then changing how they are
 * heard would take more than changing weights.
 */
export function readingsOf(graph: ModelGraph, table: ParticleTable, rows: Iterable<number>): Readings | { readonly reason: string } {
  const { removed, blocked, rows: all } = particleRemoval(graph, table, rows);
  if (blocked[0]) return { reason: blocked[0].reason };
  const context = contextOf(graph);
  const { consumers } = indexOf(graph);
  const { ties } = couplingOf(graph);
  const readings: Reading[] = [];
  for (const { at, indices } of silencesOf(graph, removed)) {
    if (graph.tensors.has(at.value)) {
      const node = consumers.get(at.value)![0]!;
      readings.push({ node, tensor: at.value, axis: at.axis, indices: ascending(indices) });
      continue;
    }
    if (graph.outputs.some(({ name }) => name === at.value)) return { reason: `it reaches the model's output ${at.value}` };
    for (const node of consumers.get(at.value) ?? []) {
      if (node.op === 'Shape' || node.op === 'Size') continue;
      const passes = (ties.get(keyOf(at)) ?? []).some((tie) => {
        const other = tie.aKey === keyOf(at) ? tie.b : tie.a;
        return tie.node === node && node.outputs.includes(other.value) && (removed.get(other)?.size ?? 0) > 0;
      });
      if (passes) continue;
      const rule = familyOf(node)?.linear?.(node, context);
      const heard = rule?.input === at.value && rule.axis === at.axis && rule.weight && removed.get(rule.weight);
      if (!rule?.weight || !heard) return { reason: `${node.op} ${node.layer || node.name} reads it, and not by weights of its own` };
      if (!graph.tensors.has(rule.weight.value)) return { reason: `the weights of ${node.layer || node.name} are computed in the model` };
      readings.push({ node, tensor: rule.weight.value, axis: rule.weight.axis, indices: ascending(heard) });
    }
  }
  for (const { tensor } of readings) {
    const own = new Set(readings.filter((other) => other.tensor === tensor).map(({ node }) => node));
    const foreign = (consumers.get(tensor) ?? []).find((node) => !own.has(node));
    if (foreign) return { reason: `its weights ${tensor} are shared with ${foreign.layer || foreign.name}` };
  }
  return { readings: distinct(readings), removed, rows: all };
}

function ascending(indices: Iterable<number>): number[] {
  return [...indices].sort((one, two) => one - two);
}

/** A tensor that several operators share is changed once. */
function distinct(readings: readonly Reading[]): Reading[] {
  const seen = new Set<string>();
  return readings.filter(({ tensor, axis }) => {
    const key = keyOf({ value: tensor, axis });
    return !seen.has(key) && seen.add(key);
  });
}
