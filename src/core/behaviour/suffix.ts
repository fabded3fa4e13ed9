import { readsOf } from '../graph/attributes';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';

/** What runs again behind a cut. */
export interface Suffix {
  /** Values that the suffix also reads and that do not depend on the cut (the other branch of a sum), sample first. */
  readonly frontier: readonly string[];
  /** Values that are computed again. */
  readonly values: readonly string[];
}

/** The part of a graph from cut values to an output. A value that does not go by samples is computed again, not fed. */
export function suffixOf(graph: ModelGraph, cut: readonly string[], output: string): Suffix {
  const { producer } = indexOf(graph);
  const context = contextOf(graph);
  const depending = dependingOn(graph, cut);
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const frontier: string[] = [];
  const values: string[] = [];
  const seen = new Set(cut);
  const open = [output];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (seen.has(value) || graph.tensors.has(value)) continue;
    seen.add(value);
    const node = producer.get(value);
    if (node && depending.has(value)) {
      values.push(value);
      open.push(...readsOf(node));
    } else if (inputs.has(value) || (!context.isConstant(value) && goesBySamples(graph, value))) {
      frontier.push(value);
    } else if (node) {
      open.push(...readsOf(node));
    }
  }
  return { frontier, values };
}

/** Everything that the output is computed from, itself included. */
export function ancestorsOf(graph: ModelGraph, output: string): ReadonlySet<string> {
  const { producer } = indexOf(graph);
  const seen = new Set<string>();
  const open = [output];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    const node = producer.get(value);
    if (node) open.push(...readsOf(node));
  }
  return seen;
}

function dependingOn(graph: ModelGraph, cut: readonly string[]): ReadonlySet<string> {
  const depending = new Set(cut);
  for (const node of graph.nodes) {
    if (!readsSome(node, depending)) continue;
    for (const name of node.outputs) if (name) depending.add(name);
  }
  return depending;
}

function readsSome(node: GraphNode, values: ReadonlySet<string>): boolean {
  return readsOf(node).some((name) => values.has(name));
}

/** Sizes that are computed on the way (Shape, Gather, ...) are whole numbers and do not grow with the batch. */
function goesBySamples(graph: ModelGraph, value: string): boolean {
  const info = graph.values.get(value);
  if (graph.constants.has(value)) return false;
  return info?.shape === undefined ? !/int/.test(info?.dtype ?? '') : info.shape.length > 0 && !(/int/.test(info.dtype ?? '') && info.shape.length === 1);
}
