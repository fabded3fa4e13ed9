import type { ModelGraph } from '../graph/modelGraph';
import { fromFloat32 } from '../graph/numeric';
import { tensorOf } from '../graph/tensor';

/** The model with other numbers in some of its tensors, in the types that they have. */
export function withWeights(graph: ModelGraph, weights: ReadonlyMap<string, Float32Array>): ModelGraph {
  const tensors = new Map(graph.tensors);
  for (const [name, values] of weights) {
    const tensor = tensors.get(name);
    if (tensor) tensors.set(name, tensorOf(name, fromFloat32(values, tensor.shape, tensor.dtype)));
  }
  return { ...graph, tensors };
}
