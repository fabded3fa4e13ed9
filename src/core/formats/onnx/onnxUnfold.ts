import { intsOf, intOf } from '../../graph/attributes';
import { asNumbers, int64Array } from '../../graph/numeric';
import { elementCount, tensorOf, type Tensor } from '../../graph/tensor';
import { castFloat, transposed, type FoldedNode } from './onnxFold';

/**
 * The way back through nodes that only rearrange a weight: what the tensors that such a node reads must become, so that
 * it makes `wanted`. undefined when there is no such way; the caller then stores the result itself.
 */
export async function unfold(folded: FoldedNode, wanted: Tensor): Promise<ReadonlyMap<string, Tensor> | undefined> {
  const { node } = folded;
  const data = folded.inputs[0]!;
  const back = (tensor: Tensor): ReadonlyMap<string, Tensor> => new Map([[data.name, tensor]]);
  switch (node.op) {
    case 'Identity': return back({ ...wanted, name: data.name, stored: undefined });
    case 'Transpose': {
      const perm = intsOf(node, 'perm') ?? data.shape.map((_, axis) => data.shape.length - 1 - axis);
      const inverse = perm.map((_, axis) => perm.indexOf(axis));
      return back({
        name: data.name, dtype: wanted.dtype, shape: inverse.map((axis) => wanted.shape[axis]!),
        read: async () => transposed(await wanted.read(), inverse),
      });
    }
    case 'Cast': return back({
      name: data.name, dtype: data.dtype, shape: wanted.shape, read: async () => castFloat(await wanted.read(), data.dtype),
    });
    case 'Reshape': case 'Flatten': case 'Squeeze': case 'Unsqueeze': {
      const shape = shapeBefore(data.shape, folded.result.shape, wanted.shape);
      if (!shape) return undefined;
      const tensors = new Map(back(reshaped(wanted, data.name, shape)));
      return node.op !== 'Reshape' || await retarget(folded, shape, wanted.shape, tensors) ? tensors : undefined;
    }
    default: return undefined;
  }
}

/**
 * The shape that a weight had before a reshape from `before` to `after`, now that the result has the shape `now`: axes
 * are matched in groups of equal products, and in a group that shrank the first axis that can takes the change.
 */
export function shapeBefore(before: readonly number[], after: readonly number[], now: readonly number[]): number[] | undefined {
  if (after.length !== now.length || elementCount(before) === 0) return undefined;
  const result = [...before];
  let from = 0;
  for (let to = 0; to < after.length || from < before.length; ) {
    const start = { from, to };
    let products = { before: 1, after: 1 };
    do {
      if (products.before <= products.after && from < before.length) products = { ...products, before: products.before * before[from++]! };
      else if (to < after.length) products = { ...products, after: products.after * after[to++]! };
      else if (from < before.length) products = { ...products, before: products.before * before[from++]! };
      else return undefined;
    } while (products.before !== products.after);
    const size = elementCount(now.slice(start.to, to));
    if (size === products.after) continue;
    const axis = before.findIndex((length, index) => index >= start.from && index < from && length > 1 && (length * size) % products.before === 0);
    if (axis < 0) return undefined;
    result[axis] = (before[axis]! * size) / products.before;
  }
  return elementCount(result) === elementCount(now) ? result : undefined;
}

function reshaped(tensor: Tensor, name: string, shape: readonly number[]): Tensor {
  return { name, dtype: tensor.dtype, shape, read: async () => ({ ...(await tensor.read()), shape }) };
}

/** Adds the Reshape's new target to `tensors` when the old one no longer gives `now`; false when it cannot be changed. */
async function retarget(folded: FoldedNode, from: readonly number[], now: readonly number[], tensors: Map<string, Tensor>): Promise<boolean> {
  const target = folded.inputs[1];
  const wanted = target ? asNumbers(await target.read()) : intsOf(folded.node, 'shape');
  if (!wanted) return false;
  const keepsZero = intOf(folded.node, 'allowzero', 0) === 1;
  const sizes = wanted.map((size, axis) => (size === 0 && !keepsZero ? from[axis]! : size));
  const fits = sizes.every((size, axis) => size === now[axis] || size === -1);
  if (fits) return true;
  if (!target || target.dtype !== 'int64') return false;
  const changed = sizes.map((size, axis) => (size === -1 ? -1 : now[axis]!));
  tensors.set(target.name, tensorOf(target.name, int64Array(changed)));
  return true;
}
