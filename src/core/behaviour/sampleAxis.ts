import type { ModelGraph } from '../graph/modelGraph';
import { isBarrier } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { standInsOf } from '../graph/standIns';

/**
 * The axis of a value that goes by samples: followed from the first axis of the inputs, as far as the operators say where
 * an axis goes (a recurrent layer has time first); the first axis where they do not.
 */
export function sampleAxisOf(graph: ModelGraph, value: string): number {
  return placesOf(graph).get(value)?.axis ?? 0;
}

/** As {@link sampleAxisOf}, but undefined where the operators do not say it, and where samples share the axis with something else (their steps). */
export function knownSampleAxis(graph: ModelGraph, value: string): number | undefined {
  const place = placesOf(graph).get(value);
  return place?.steps === 1 ? place.axis : undefined;
}

/** Where samples go: on an axis on which each of them has so many indices, one behind the other. */
interface SamplePlace {
  readonly axis: number;
  readonly steps: number;
}

const known = new WeakMap<ModelGraph, ReadonlyMap<string, SamplePlace>>();

function placesOf(graph: ModelGraph): ReadonlyMap<string, SamplePlace> {
  let places = known.get(graph);
  if (!places) known.set(graph, (places = followed(graph)));
  return places;
}

function followed(graph: ModelGraph): ReadonlyMap<string, SamplePlace> {
  // With open sizes a reshape that folds steps into samples looks like one that keeps them.
  const context = standInsOf(graph);
  const places = new Map<string, SamplePlace>(graph.inputs.map(({ name }) => [name, { axis: 0, steps: 1 }]));
  for (const node of graph.nodes) {
    for (const relation of familyOf(node)?.flow?.(node, context) ?? []) {
      const { a, b, outer = 1, inner = 1, offset = 0 } = relation;
      if (isBarrier(relation) || outer !== 1 || offset !== 0) continue;
      const [from, to] = [places.get(a.value), places.get(b.value)];
      // An index of the one is a run of `inner` indices of the other.
      if (from?.axis === a.axis && !to && node.outputs.includes(b.value)) places.set(b.value, { axis: b.axis, steps: from.steps * inner });
      else if (to?.axis === b.axis && !from && node.outputs.includes(a.value) && to.steps % inner === 0) {
        places.set(a.value, { axis: a.axis, steps: to.steps / inner });
      }
    }
  }
  return places;
}
