import type { Attribute, GraphNode, ModelGraph } from '../graph/modelGraph';
import { elementCount, type NdArray } from '../graph/tensor';

export interface Merged {
  readonly graph: ModelGraph;
  /** The value that now stands for one that is gone, or the value itself. */
  nameOf(value: string): string;
}

/**
 * Computes equal things once: nodes of the same operator, attributes and inputs become one (common subexpressions), and small
 * equal constants one constant. Gradient rules write down again what the forward pass has, and leave the finding to this.
 */
export async function mergeEqual(graph: ModelGraph): Promise<Merged> {
  const instead = new Map<string, string>();
  const nameOf = (value: string): string => instead.get(value) ?? value;
  const constants = new Map<string, string>();
  const tensors = new Map(graph.tensors);
  for (const [name, tensor] of graph.tensors) {
    if (!name.startsWith('particlize/') || elementCount(tensor.shape) > mostElements) continue;
    const key = keyOf(await tensor.read());
    const first = constants.get(key);
    if (first === undefined) constants.set(key, name);
    else {
      instead.set(name, first);
      tensors.delete(name);
    }
  }
  const seen = new Map<string, GraphNode>();
  const nodes: GraphNode[] = [];
  for (const old of graph.nodes) {
    const node = { ...old, inputs: old.inputs.map(nameOf) };
    const key = hasOwnResult(node) ? undefined : [node.domain, node.op, node.inputs.join('\n'), attributesKey(node)].join('\n\n');
    const twin = key === undefined ? undefined : seen.get(key);
    if (twin && node.outputs.every((output, index) => !output || twin.outputs[index])) {
      node.outputs.forEach((output, index) => output && instead.set(output, twin.outputs[index]!));
      continue;
    }
    if (key !== undefined && !twin) seen.set(key, node);
    nodes.push(node);
  }
  const kept = new Set(nodes.map(({ name }) => name));
  return {
    graph: {
      ...graph, nodes, tensors,
      outputs: graph.outputs.map((output) => ({ ...output, name: nameOf(output.name) })),
      layers: graph.layers.map((layer) => ({ ...layer, nodes: layer.nodes.filter((name) => kept.has(name)) })),
    },
    nameOf,
  };
}

const mostElements = 64;

/** Random numbers differ from node to node; what nested graphs do is not looked at. */
function hasOwnResult({ op, domain, attributes }: GraphNode): boolean {
  return domain !== '' || /^Random|^Bernoulli$|^Multinomial$|^Dropout$/.test(op) || Object.values(attributes).some(({ type }) => type === 'graph' || type === 'raw');
}

function attributesKey({ attributes }: GraphNode): string {
  return Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, attribute]) => `${name}=${attributeKey(attribute)}`).join(';');
}

function attributeKey(attribute: Attribute): string {
  return attribute.type === 'tensor' ? keyOf(attribute.value) : `${attribute.type}:${String(attribute.value)}`;
}

function keyOf({ dtype, shape, data }: NdArray): string {
  return `${dtype}[${shape.join()}]${Array.from(data as ArrayLike<unknown>, (value) => (Object.is(value, -0) ? '-0' : String(value))).join()}`;
}
