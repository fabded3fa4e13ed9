import { readsOf } from '../graph/attributes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';

/** How many different ids an input may hold, and the embedding that says so. */
export interface IdLimit {
  readonly limit: number;
  readonly layer: string;
}

const passing = new Set(['Identity', 'Cast', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Slice', 'Split', 'Transpose', 'Dropout']);

/** Inputs whose numbers pick rows of an embedding, by name of the input. */
export function idLimits(graph: ModelGraph): ReadonlyMap<string, IdLimit> {
  const { consumers } = indexOf(graph);
  const limits = new Map<string, IdLimit>();
  for (const { name } of graph.inputs) {
    const seen = new Set<string>();
    const open = [name];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      if (seen.has(value)) continue;
      seen.add(value);
      for (const node of consumers.get(value) ?? []) {
        const found = limitOf(graph, node, value);
        const known = limits.get(name);
        if (found && (!known || found.limit < known.limit)) limits.set(name, found);
        else if (passing.has(node.op) && readsOf(node)[0] === value) open.push(...node.outputs);
      }
    }
  }
  return limits;
}

function limitOf(graph: ModelGraph, node: GraphNode, ids: string): IdLimit | undefined {
  if (node.op !== 'Gather' || node.inputs[1] !== ids) return undefined;
  const table = graph.tensors.get(node.inputs[0]!)?.shape;
  return table?.length === 2 ? { limit: table[0]!, layer: node.layer } : undefined;
}
