import { intsOf, intOf } from '../../graph/attributes';
import { ParticlizeError } from '../../graph/errors';
import { lookUp } from '../../graph/lookUp';
import type { GraphNode } from '../../graph/modelGraph';
import { asFloat32, asNumbers, fromFloat32, isFloat } from '../../graph/numeric';
import { elementCount, type DType, type NdArray, type NumericArray, type StoredLayout, type Tensor } from '../../graph/tensor';
import { dtypeOfCode } from './onnxSchema';

/** A node whose result was taken for a weight, because it only rearranges weights. */
export interface FoldedNode {
  readonly node: GraphNode;
  /** The tensors it reads, as they were at open. */
  readonly inputs: readonly (Tensor | undefined)[];
  readonly result: Tensor;
}

/**
 * The tensor that a node makes of constants alone, computed when somebody reads it: some exporters store a weight in one
 * shape and reshape, transpose or cast it in the graph. undefined: not such a node, or one that cannot be computed here.
 */
export async function foldNode(node: GraphNode, tensors: ReadonlyMap<string, Tensor>): Promise<FoldedNode | undefined> {
  const fold = node.domain === '' ? lookUp(folds, node.op) : undefined;
  const output = node.outputs[0];
  if (!fold || !output || node.outputs.length !== 1 || !node.inputs[0]) return undefined;
  const inputs = node.inputs.map((name) => (name ? tensors.get(name) : undefined));
  if (inputs.some((tensor, index) => (!tensor && node.inputs[index]) || tensor?.dtype === 'string')) return undefined;
  if (inputs.some((tensor) => tensor && !bytewise(tensor.dtype))) return undefined;
  const plan = await fold(node, inputs);
  if (!plan || plan.shape.some((size) => !Number.isSafeInteger(size) || size < 0)) return undefined;
  const { shape, dtype = inputs[0]!.dtype, compute } = plan;
  const result: Tensor = {
    name: output, dtype, shape,
    stored: storedLayout(inputs[0]!.stored, plan.axes, shape),
    read: async () => {
      const array = compute(await Promise.all(plan.reads.map((tensor) => tensor.read())));
      if (array.data.length !== elementCount(shape)) {
        throw new ParticlizeError({ place: `tensor ${output}`, cause: `${node.op} of the stored weight does not give ${elementCount(shape)} elements` });
      }
      return { dtype, shape, data: array.data };
    },
  };
  return { node, inputs, result };
}

interface FoldPlan {
  readonly shape: readonly number[];
  readonly dtype?: DType;
  readonly reads: readonly Tensor[];
  readonly compute: (inputs: readonly NdArray[]) => { readonly data: NumericArray };
  /** How the result relates to the file: permuted axes of the input, or 'same' elements in another shape. */
  readonly axes?: readonly number[] | 'same';
}

type Fold = (node: GraphNode, inputs: readonly (Tensor | undefined)[]) => Promise<FoldPlan | undefined>;

const folds: Readonly<Record<string, Fold>> = {
  Identity: async (_node, [data]) => reshaped(data!, data!.shape),
  Reshape: async (node, [data, target]) => {
    const wanted = intsOf(node, 'shape') ?? (target && (await small(target)));
    return wanted && reshaped(data!, targetShape(data!.shape, wanted, intOf(node, 'allowzero', 0) === 1));
  },
  Flatten: async (node, [data]) => {
    const axis = from(intOf(node, 'axis', 1), data!.shape.length);
    return reshaped(data!, [elementCount(data!.shape.slice(0, axis)), elementCount(data!.shape.slice(axis))]);
  },
  Squeeze: async (node, [data, axesInput]) => {
    const axes = intsOf(node, 'axes') ?? (axesInput && (await small(axesInput)));
    const drop = new Set(axes?.map((axis) => from(axis, data!.shape.length)) ?? data!.shape.flatMap((size, axis) => (size === 1 ? [axis] : [])));
    return reshaped(data!, data!.shape.filter((_, axis) => !drop.has(axis)));
  },
  Unsqueeze: async (node, [data, axesInput]) => {
    const axes = intsOf(node, 'axes') ?? (axesInput && (await small(axesInput)));
    if (!axes || axes.length > 64) return undefined;
    const rank = data!.shape.length + axes.length;
    const added = new Set(axes.map((axis) => from(axis, rank)));
    const rest = data!.shape[Symbol.iterator]();
    return reshaped(data!, Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.next().value ?? NaN))));
  },
  Transpose: async (node, [data]) => {
    const perm = intsOf(node, 'perm') ?? data!.shape.map((_, axis) => data!.shape.length - 1 - axis);
    if ([...perm].sort((a, b) => a - b).some((axis, index) => axis !== index) || perm.length !== data!.shape.length) return undefined;
    return {
      shape: perm.map((axis) => data!.shape[axis]!), reads: [data!], axes: perm,
      compute: ([array]) => transposed(array!, perm),
    };
  },
  Cast: async (node, [data]) => {
    const dtype = dtypeOfCode(intOf(node, 'to', 0));
    if (!dtype || !isFloat(data!.dtype) || !['float32', 'float64', 'float16', 'bfloat16'].includes(dtype)) return undefined;
    return { shape: data!.shape, dtype, reads: [data!], compute: ([array]) => castFloat(array!, dtype) };
  },
  Concat: async (node, inputs) => {
    const parts = inputs as readonly Tensor[];
    const { shape, dtype } = parts[0]!;
    const axis = from(intOf(node, 'axis', 0), shape.length);
    const fits = parts.every((part) => part.dtype === dtype && part.shape.length === shape.length
      && part.shape.every((size, k) => k === axis || size === shape[k]));
    if (!fits || axis >= shape.length) return undefined;
    const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
    return {
      shape: shape.map((size, k) => (k === axis ? total : size)), reads: parts,
      compute: (arrays) => joined(arrays, axis),
    };
  },
  Slice: async (_node, [data, starts, ends, axesInput, stepsInput]) => {
    if (!starts || !ends) return undefined;
    const [from0, to0] = [await small(starts), await small(ends)];
    const axes = axesInput ? await small(axesInput) : from0?.map((_, axis) => axis);
    const steps = stepsInput ? await small(stepsInput) : from0?.map(() => 1);
    if (!from0 || !to0 || !axes || !steps?.every((step) => step === 1)) return undefined;
    const ranges = data!.shape.map((size) => [0, size] as [number, number]);
    for (const [index, axis] of axes.entries()) {
      const range = ranges[from(axis, data!.shape.length)];
      if (!range) return undefined;
      const size = range[1];
      const clamp = (at: number): number => Math.min(size, Math.max(0, at < 0 ? at + size : at));
      range[0] = clamp(from0[index] ?? 0);
      range[1] = Math.max(range[0], clamp(to0[index] ?? size));
    }
    return { shape: ranges.map(([start, end]) => end - start), reads: [data!], compute: ([array]) => cut(array!, ranges) };
  },
};

function reshaped(data: Tensor, shape: readonly number[]): FoldPlan | undefined {
  if (elementCount(shape) !== elementCount(data.shape)) return undefined;
  return { shape, reads: [data], axes: 'same', compute: ([array]) => array! };
}

function targetShape(shape: readonly number[], wanted: readonly number[], zeroIsZero: boolean): number[] {
  const target = wanted.map((size, axis) => (size === 0 && !zeroIsZero ? (shape[axis] ?? 0) : size));
  const known = target.reduce((product, size) => (size === -1 ? product : product * size), 1);
  return target.map((size) => (size === -1 ? elementCount(shape) / known : size));
}

/** Where the result's elements lie in the file, when that is still a plain permutation of what is stored. */
function storedLayout(
  stored: StoredLayout | undefined, axes: readonly number[] | 'same' | undefined, shape: readonly number[],
): StoredLayout | undefined {
  if (!stored || !axes) return undefined;
  if (axes !== 'same') return { ...stored, axes: axes.map((axis) => stored.axes[axis]!) };
  const inOrder = stored.axes.every((axis, index) => axis === index);
  return inOrder ? { ...stored, shape, axes: shape.map((_, axis) => axis) } : undefined;
}

async function small(tensor: Tensor): Promise<number[] | undefined> {
  return elementCount(tensor.shape) <= 64 ? asNumbers(await tensor.read()) : undefined;
}

function from(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Types whose elements are one array element each. */
function bytewise(dtype: DType): boolean {
  return !['int4', 'uint4', 'complex64', 'complex128', 'string'].includes(dtype);
}

/** Elements of an array with its axes in another order. */
export function transposed(array: NdArray, perm: readonly number[]): NdArray {
  const { shape, data } = array;
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const newShape = perm.map((axis) => shape[axis]!);
  const newStrides = perm.map((axis) => strides[axis]!);
  const result = new (data.constructor as new (length: number) => NumericArray)(data.length);
  const index = newShape.map(() => 0);
  for (let to = 0, at = 0; to < data.length; to++) {
    result[to] = data[at]!;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      at += newStrides[axis]!;
      if (++index[axis]! < newShape[axis]!) break;
      at -= newStrides[axis]! * newShape[axis]!;
      index[axis] = 0;
    }
  }
  return { dtype: array.dtype, shape: newShape, data: result };
}

/** A float array in another float type, rounded to nearest even. */
export function castFloat(array: NdArray, dtype: DType): NdArray {
  return array.dtype === dtype ? array : fromFloat32(asFloat32(array), array.shape, dtype);
}

function joined(arrays: readonly NdArray[], axis: number): { data: NumericArray } {
  const first = arrays[0]!;
  const length = arrays.reduce((sum, array) => sum + array.data.length, 0);
  const data = new (first.data.constructor as new (length: number) => NumericArray)(length);
  const blocks = elementCount(first.shape.slice(0, axis));
  let at = 0;
  for (let block = 0; block < blocks; block++) {
    for (const array of arrays) {
      const size = array.data.length / blocks;
      data.set(array.data.subarray(block * size, (block + 1) * size) as never, at);
      at += size;
    }
  }
  return { data };
}

function cut(array: NdArray, ranges: readonly (readonly [number, number])[]): { data: NumericArray } {
  let { data } = array;
  ranges.forEach(([start, end], axis) => {
    const size = array.shape[axis]!;
    if (start === 0 && end === size) return;
    // Axes before this one are cut already.
    const outer = ranges.slice(0, axis).reduce((product, [a, b]) => product * (b - a), 1);
    const inner = elementCount(array.shape.slice(axis + 1));
    const result = new (data.constructor as new (length: number) => NumericArray)(outer * (end - start) * inner);
    for (let block = 0; block < outer; block++) {
      const begin = (block * size + start) * inner;
      result.set(data.subarray(begin, begin + (end - start) * inner) as never, block * (end - start) * inner);
    }
    data = result;
  });
  return { data };
}
