import { contextOf } from '../graph/inferShapes';
import type { ModelGraph } from '../graph/modelGraph';
import { isBarrier } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';

/**
 * The axis of a value that goes by samples: followed from the first axis of the inputs, as far as the operators say where
 * an axis goes (a recurrent layer has time first); the first axis where they do not.
 */
export function sampleAxisOf(graph: ModelGraph, value: string): number {
  return knownSampleAxis(graph, value) ?? 0;
}

/** As {@link sampleAxisOf}, but undefined where the operators do not say it (samples and steps share an axis). */
export function knownSampleAxis(graph: ModelGraph, value: string): number | undefined {
  let axes = known.get(graph);
  if (!axes) known.set(graph, (axes = followed(graph)));
  return axes.get(value);
}

const known = new WeakMap<ModelGraph, ReadonlyMap<string, number>>();

function followed(graph: ModelGraph): ReadonlyMap<string, number> {
  const context = contextOf(graph);
  const axes = new Map<string, number>(graph.inputs.map(({ name }) => [name, 0]));
  for (const node of graph.nodes) {
    for (const relation of familyOf(node)?.flow?.(node, context) ?? []) {
      const { a, b, outer = 1, inner = 1, offset = 0 } = relation;
      if (isBarrier(relation) || outer !== 1 || inner !== 1 || offset !== 0 || !node.outputs.includes(b.value)) continue;
      if (axes.get(a.value) === a.axis && !axes.has(b.value)) axes.set(b.value, b.axis);
    }
  }
  return axes;
}
