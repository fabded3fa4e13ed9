import { int } from '../graph/attributes';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';

/** Where a layer of heads weighs keys by queries: the graph (changed, when its operator must be asked for the weights) and the value. */
export interface AttentionPlace {
  readonly graph: ModelGraph;
  readonly value: string;
}

/** The softmax behind the heads' outputs; undefined where there is none to be seen (fused operators). */
export function attentionPlace(graph: ModelGraph, group: ParticleGroup): AttentionPlace | undefined {
  if (group.kind !== 'head') return undefined;
  const { producer } = indexOf(graph);
  const context = contextOf(graph);
  const seen = new Set<string>();
  // Where heads and samples share an axis, the axis of the heads alone is of no value of the graph; where they act always is.
  let open = group.acts.map(({ value }) => value);
  // Nearest first, so that a softmax further up (of the layer before) is not taken for this one's.
  for (let depth = 0; depth < 10 && open.length; depth++) {
    const next: string[] = [];
    for (const value of open) {
      const node = producer.get(value);
      if (!node || seen.has(value) || context.isConstant(value)) continue;
      seen.add(value);
      if (node.op === 'Softmax' && node.domain === '') return { graph, value };
      if (node.op === 'Attention' && node.domain === '') return withWeights(graph, node);
      if (between.has(node.op)) next.push(...node.inputs.filter(Boolean));
    }
    open = next;
  }
  return undefined;
}

/** What may lie between the softmax and the heads' outputs. */
const between = new Set(['MatMul', 'Einsum', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Dropout', 'Identity', 'Cast', 'Where', 'Mul', 'Concat', 'Flatten']);

/** The standard's operator gives its weights as fourth output when asked for them behind the softmax (mode 3). */
function withWeights(graph: ModelGraph, node: GraphNode): AttentionPlace {
  const value = `particlize/attention/${node.name}`;
  const changed: GraphNode = {
    ...node, outputs: [0, 1, 2].map((index) => node.outputs[index] ?? '').concat(value), attributes: { ...node.attributes, qk_matmul_output_mode: int(3) },
  };
  const values = new Map(graph.values).set(value, { name: value, dtype: 'float32' });
  return { graph: { ...graph, nodes: graph.nodes.map((own) => (own === node ? changed : own)), values }, value };
}

/** Attention weights of some samples. */
export interface AttentionWeights {
  /** Rows of queries by head, sample (or window of one), query; each of `keys` weights. */
  readonly values: Float32Array;
  readonly blocks: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
}

/** [N, heads, queries, keys], heads in groups that share keys or not, or samples and heads on one axis; undefined when it is laid out otherwise. */
export function attentionWeights(array: NdArray, heads: number): AttentionWeights | undefined {
  const { shape } = array;
  const [queries, keys] = shape.slice(-2);
  if (queries === undefined || keys === undefined || shape.length < 3) return undefined;
  const blocks = array.data.length / (heads * queries * keys);
  const apart = shape.length >= 4 && (shape.at(-3) === heads || elementCount(shape.slice(1, -2)) === heads);
  const merged = shape.length === 3 && shape[0]! % heads === 0;
  return (apart || merged) && Number.isInteger(blocks) ? { values: asFloat32(array), blocks, heads, queries, keys } : undefined;
}
