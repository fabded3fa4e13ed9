import { intOf } from '../../../src/core/graph/attributes';
import type { GraphNode, ModelGraph } from '../../../src/core/graph/modelGraph';
import { tensorOf, type NdArray, type Tensor } from '../../../src/core/graph/tensor';
import type { AxisSets } from '../../../src/core/graph/coupling';

/**
 * The graph with every weight that reads a removed channel set to zero, and nothing else changed: the channels are still
 * computed but nobody hears them, which is what removing them must equal.
 */
export async function silence(graph: ModelGraph, removed: AxisSets): Promise<ModelGraph> {
  const tensors = new Map<string, Tensor>(graph.tensors);
  for (const node of graph.nodes) {
    const [, weight = ''] = node.inputs;
    const axis = readingAxis(node);
    const indices = axis === undefined ? undefined : removed.get({ value: weight, axis });
    // A recurrent layer also reads its own units, by the columns of its second matrix.
    const [, , states = ''] = node.inputs;
    const own = /^(LSTM|GRU|RNN)$/.test(node.op) ? removed.get({ value: states, axis: 2 }) : undefined;
    if (own) tensors.set(states, tensorOf(states, zeroed(await tensors.get(states)!.read(), 2, own)));
    if (axis !== undefined && indices && tensors.has(weight)) tensors.set(weight, tensorOf(weight, zeroed(await tensors.get(weight)!.read(), axis, indices)));
  }
  return { ...graph, tensors };
}

/** The axis of a weight that meets the input's channels; none for a depthwise convolution, which passes them on. */
function readingAxis(node: GraphNode): number | undefined {
  if (node.op === 'Conv') return intOf(node, 'group', 1) === 1 ? 1 : undefined;
  if (node.op === 'Gemm') return intOf(node, 'transB', 0) ? 1 : 0;
  if (/^(LSTM|GRU|RNN)$/.test(node.op)) return 2;
  return node.op === 'MatMul' ? 0 : undefined;
}

function zeroed(array: NdArray, axis: number, indices: ReadonlySet<number>): NdArray {
  const inner = array.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const data = (array.data as Float32Array).map((value, position) =>
    indices.has(Math.floor(position / inner) % array.shape[axis]!) ? 0 : value);
  return { ...array, data };
}
