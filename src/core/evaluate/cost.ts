import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type Layer, type ModelGraph } from '../graph/modelGraph';
import { familyOf } from '../graph/ops/registry';
import { bytesPerElement, elementCount, type Tensor } from '../graph/tensor';

/** What a layer or a model costs; an unknown batch counts as one sample. */
export interface Cost {
  /** Numbers that training could change or that normalise: every weight element, each shared tensor once. */
  readonly parameters: number;
  /** Multiply-accumulates of convolutions and matrix products, for one sample. */
  readonly macs: number;
  readonly bytes: number;
  /** Nodes whose multiply-accumulates could not be counted, because sizes or the operator are unknown. */
  readonly uncounted: readonly string[];
}

export function layerCost(graph: ModelGraph, layer: Layer): Cost {
  const { node } = indexOf(graph);
  const nodes = layer.nodes.map((name) => node.get(name)).filter((found) => found !== undefined);
  return costOf(graph, nodes, new Set(layer.tensors));
}

export function modelCost(graph: ModelGraph): Cost {
  const tensors = new Set(graph.layers.flatMap((layer) => layer.tensors));
  return costOf(graph, graph.nodes, tensors);
}

function costOf(graph: ModelGraph, nodes: readonly GraphNode[], tensorNames: ReadonlySet<string>): Cost {
  const weights = [...tensorNames]
    .map((name) => graph.tensors.get(name))
    .filter((tensor) => tensor !== undefined)
    .filter(isWeight);
  let macs = 0;
  const uncounted: string[] = [];
  for (const node of nodes) {
    const count = nodeMacs(graph, node);
    if (count === undefined) uncounted.push(node.name);
    else macs += count;
  }
  return {
    parameters: weights.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0),
    bytes: weights.reduce((sum, tensor) => sum + bytesOf(tensor), 0),
    macs, uncounted,
  };
}

/** Multiply-accumulates of one node for one sample; undefined when they cannot be counted. */
export function nodeMacs(graph: ModelGraph, node: GraphNode): number | undefined {
  const family = familyOf(node);
  if (!family) return undefined;
  return family.macs ? family.macs(node, contextOf(graph)) : 0;
}

/** Shapes, axes and other integers that steer operators are not parameters. */
function isWeight(tensor: Tensor): boolean {
  return !['int32', 'int64', 'bool', 'string'].includes(tensor.dtype);
}

function bytesOf(tensor: Tensor): number {
  return tensor.dtype === 'string' ? 0 : Math.ceil(elementCount(tensor.shape) * bytesPerElement[tensor.dtype]);
}
