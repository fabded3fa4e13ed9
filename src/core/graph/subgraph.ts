import { readsOf } from './attributes';
import { ParticlizeError } from './errors';
import { indexOf, type GraphNode, type ModelGraph, type ValueInfo } from './modelGraph';
import type { Tensor } from './tensor';

/**
 * The part of a graph between feeds and fetches, both any of its values or tensors: its inputs are the feeds (in that
 * order), its outputs the fetches. Throws a ParticlizeError naming the input or value that a fetch needs and no feed gives.
 */
export function sliceGraph(graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): ModelGraph {
  const fed = new Set(feeds);
  const needed = neededNodes(graph, fed, fetches);
  const nodes = graph.nodes.filter((node) => needed.has(node));
  const reads = new Set([...fetches, ...nodes.flatMap(readsOf)]);
  const tensors = new Map<string, Tensor>();
  for (const [name, tensor] of graph.tensors) if (reads.has(name) && !fed.has(name)) tensors.set(name, tensor);
  const kept = new Set(nodes.map((node) => node.name));
  return {
    ...graph,
    inputs: feeds.map((name) => infoOf(graph, name)),
    outputs: fetches.map((name) => infoOf(graph, name)),
    nodes,
    tensors,
    layers: graph.layers
      .map((layer) => ({
        ...layer,
        nodes: layer.nodes.filter((name) => kept.has(name)),
        tensors: layer.tensors.filter((name) => tensors.has(name)),
      }))
      .filter((layer) => layer.nodes.length > 0),
  };
}

function neededNodes(graph: ModelGraph, fed: ReadonlySet<string>, fetches: readonly string[]): ReadonlySet<GraphNode> {
  const { producer } = indexOf(graph);
  const inputs = new Set(graph.inputs.map((input) => input.name));
  const needed = new Set<GraphNode>();
  const seen = new Set<string>(fed);
  const open = fetches.map((name) => ({ name, reader: 'the result' }));
  for (let next = open.pop(); next; next = open.pop()) {
    const { name, reader } = next;
    if (seen.has(name)) continue;
    seen.add(name);
    const node = producer.get(name);
    if (node) {
      needed.add(node);
      for (const read of readsOf(node)) open.push({ name: read, reader: `layer ${node.layer}` });
    } else if (!graph.tensors.has(name)) {
      throw new ParticlizeError({
        place: reader,
        cause: inputs.has(name) ? `it needs the model's input '${name}', which is not given` : `the model has no value '${name}'`,
        action: inputs.has(name) ? `Give values for '${name}'` : undefined,
      });
    }
  }
  return needed;
}

function infoOf(graph: ModelGraph, name: string): ValueInfo {
  const known = graph.values.get(name) ?? graph.inputs.find((input) => input.name === name);
  const tensor = graph.tensors.get(name);
  if (known) return known;
  if (tensor) return { name, dtype: tensor.dtype, shape: tensor.shape };
  throw new ParticlizeError({ cause: `the model has no value '${name}'` });
}
