import { indexOf, type ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import { encodeFloat32 } from './actions/reconstruct';
import type { ReconstructStep } from './plan';

/** Steps that put in the weights by which a model differs from one of the same shapes: by layer, in the graph's order. */
export async function weightSteps(from: ModelGraph, to: ModelGraph): Promise<ReconstructStep[]> {
  const byLayer = new Map<string, ReconstructStep['tensors'][number][]>();
  const { consumers } = indexOf(to);
  for (const [name, tensor] of to.tensors) {
    const before = from.tensors.get(name);
    if (!before || before === tensor || !tensor.dtype.includes('float')) continue;
    const [old, now] = [asFloat32(await before.read()), asFloat32(await tensor.read())];
    if (old.length !== now.length || old.every((value, index) => value === now[index])) continue;
    const layer = consumers.get(name)?.[0]?.layer ?? name;
    byLayer.set(layer, [...byLayer.get(layer) ?? [], { name, shape: tensor.shape, float32: encodeFloat32(now) }]);
  }
  return [...byLayer].map(([layer, tensors]) => ({ action: 'reconstruct', layer, tensors }));
}
