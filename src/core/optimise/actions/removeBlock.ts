import { indexOf, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import type { RemoveBlockStep } from '../plan';
import { redrawn, StepError, type Action } from './action';

/** A residual branch goes, and what goes around it passes alone: the sum's output becomes the skip itself. */
export const removeBlock: Action<RemoveBlockStep> = {
  name: 'removeBlock',
  structural: true,
  check: (fields) => ({ action: 'removeBlock', block: fields.text('block') }),
  async apply({ block }, { graph }) {
    const sum = sumOf(graph, block);
    const refuse = (reason: string) => ({ graph, refusals: [{ layer: block, reason }] });
    const skip = skipOf(graph, sum);
    if (skip === undefined) return refuse('neither of its operands goes around the other one unchanged');
    const [output] = sum.outputs;
    const before = graph.values.get(skip)?.shape;
    const after = graph.values.get(output!)?.shape;
    if (!before || before.join() !== after?.join()) return refuse('what goes around the branch has another shape than the sum');
    if (graph.outputs.some(({ name }) => name === output)) return refuse('its sum is the output of the model');
    const rewired = graph.nodes.filter((node) => node !== sum)
      .map((node) => (node.inputs.includes(output!) ? { ...node, inputs: node.inputs.map((name) => (name === output ? skip : name)) } : node));
    const heard = new Set(graph.outputs.map(({ name }) => name));
    const nodes = [...rewired].reverse().filter((node) => {
      if (!node.outputs.some((name) => heard.has(name))) return false;
      node.inputs.forEach((name) => heard.add(name));
      return true;
    }).reverse();
    const left = new Set(nodes.map(({ name }) => name));
    const reads = new Set(nodes.flatMap(({ inputs }) => inputs));
    const layers = graph.layers.map((layer) => ({ ...layer, nodes: layer.nodes.filter((name) => left.has(name)), tensors: layer.tensors.filter((name) => reads.has(name)) }))
      .filter((layer) => layer.nodes.length || layer.tensors.length);
    return { graph: await redrawn(graph, { nodes, layers }), notes: [`${block} passes on ${skip}: ${graph.nodes.length - nodes.length} operators are gone`] };
  },
  words: ({ block }) => `remove the block that ends in ${block}`,
};

/** Layers whose branch could go. */
export function removableBlocks(graph: ModelGraph): readonly string[] {
  return graph.nodes.filter((node) => {
    const skip = node.op === 'Add' ? skipOf(graph, node) : undefined;
    const [shape, own] = [graph.values.get(skip ?? '')?.shape, graph.values.get(node.outputs[0] ?? '')?.shape];
    return skip !== undefined && shape && shape.join() === own?.join() && !graph.outputs.some(({ name }) => name === node.outputs[0]);
  }).map((node) => node.layer || node.name);
}

function sumOf(graph: ModelGraph, block: string): GraphNode {
  const { layer, node } = indexOf(graph);
  const members = layer.get(block)?.nodes.map((name) => node.get(name)!) ?? (node.has(block) ? [node.get(block)!] : []);
  if (!members.length) throw new StepError(block, 'the model has no such layer');
  const sum = members.find(({ op }) => op === 'Add');
  if (!sum) throw new StepError(block, 'it is no sum; a block is named by the sum behind its branch');
  return sum;
}

/** The operand that the other one is computed from. */
function skipOf(graph: ModelGraph, sum: GraphNode): string | undefined {
  const [one, two] = sum.inputs;
  if (!one || !two || one === two || graph.tensors.has(one) || graph.tensors.has(two)) return undefined;
  if (descends(graph, two, one)) return one;
  return descends(graph, one, two) ? two : undefined;
}

function descends(graph: ModelGraph, value: string, from: string): boolean {
  const { producer } = indexOf(graph);
  const seen = new Set<string>();
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === from) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...producer.get(next)?.inputs ?? []);
  }
  return false;
}
