import { allocate } from '../../graph/numeric';
import { elementCount, type NdArray, type Tensor } from '../../graph/tensor';

/**
 * How a weight of the file becomes a tensor of the graph: axes permuted (graph axis k is file axis `axes[k]`), and for
 * depthwise kernels with a multiplier the first two axes of the result merged: [in, mult, ...] -> [in * mult, 1, ...].
 */
export interface WeightLayout {
  readonly axes: readonly number[];
  readonly multiplier?: number;
  readonly gates?: GateLayout;
  /** The graph has the file's axes `axis` (heads) and the next (of this width) as one. */
  readonly heads?: { readonly axis: number; readonly width: number };
}

/**
 * Weights of a recurrent layer: the axis that holds all gates one behind the other is cut into gates that come in the
 * graph's order (gate k of the graph is gate `order[k]` of the file), and the graph has an axis of one direction in front:
 * kernels [C, gates*H] -> [1, gates*H, C]; biases [gates*H], or [2, gates*H] for inputs and states -> [1, 2*gates*H].
 */
export interface GateLayout {
  readonly order: readonly number[];
  /** Missing for kernels. How often the file has the gates: once (the states' biases of the graph are zero), or twice. */
  readonly biases?: 1 | 2;
  /** The file lists both halves on one axis: [2*gates*H]. */
  readonly flat?: boolean;
}

/** The weight under another name and in the graph's layout, still read only when asked for. */
export function viewWeight(name: string, weight: Tensor, layout: WeightLayout): Tensor {
  const { axes, multiplier, gates, heads } = layout;
  if (heads) {
    const { shape: file } = weight;
    const joined = [...file.slice(0, heads.axis), file[heads.axis]! * file[heads.axis + 1]!, ...file.slice(heads.axis + 2)];
    return { name, dtype: weight.dtype, shape: joined, read: async () => ({ ...await weight.read(), shape: joined }) };
  }
  if (gates) {
    return {
      name, dtype: weight.dtype, shape: gateShape(weight.shape, axes, gates),
      read: async () => viewGates(permute(await weight.read(), axes), gates, weight.shape.length),
    };
  }
  const permuted = axes.map((axis) => weight.shape[axis]!);
  const merged = multiplier !== undefined && multiplier !== 1;
  const shape = merged ? [permuted[0]! * permuted[1]!, 1, ...permuted.slice(2)] : permuted;
  const { stored } = weight;
  return {
    name, dtype: weight.dtype, shape,
    stored: stored && !merged ? { ...stored, axes: axes.map((axis) => stored.axes[axis]!) } : undefined,
    async read() {
      const array = permute(await weight.read(), axes);
      return { ...array, shape };
    },
  };
}

/** The inverse of {@link viewWeight}: elements of a tensor of the graph, in the file's layout. */
export function unviewWeight(array: NdArray, { axes, multiplier, gates, heads }: WeightLayout): NdArray {
  if (heads) return { ...array, shape: headShape(array.shape, heads) };
  if (gates) return unviewGates(array, axes, gates);
  const shape = fileShape(array.shape, { axes, multiplier });
  const permuted = axes.map((axis) => shape[axis]!);
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  return permute({ ...array, shape: permuted }, inverse);
}

/** Shape in the file of a tensor that has `shape` in the graph. */
export function fileShape(shape: readonly number[], { axes, multiplier = 1, gates, heads }: WeightLayout): readonly number[] {
  if (heads) return headShape(shape, heads);
  if (gates) return gateFileShape(shape, axes, gates);
  const split = multiplier === 1 ? shape : [shape[0]! / multiplier, multiplier, ...shape.slice(2)];
  return axes.map((_, axis) => split[axes.indexOf(axis)]!);
}

/** Axis k of the result is axis `axes[k]` of the array. */
export function permute(array: NdArray, axes: readonly number[]): NdArray {
  const shape = axes.map((axis) => array.shape[axis]!);
  if (axes.every((axis, index) => axis === index)) return { ...array, shape };
  const count = elementCount(shape);
  // Both hold elements of one type; which one does not matter for copying.
  const data = allocate(array.dtype, count) as Float32Array;
  const strides = axes.map((axis) => elementCount(array.shape.slice(axis + 1)));
  const position = new Array<number>(shape.length).fill(0);
  const source = array.data as Float32Array;
  for (let index = 0, from = 0; index < count; index++) {
    data[index] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return { dtype: array.dtype, shape, data };
}

function headShape(shape: readonly number[], { axis, width }: NonNullable<WeightLayout['heads']>): readonly number[] {
  return [...shape.slice(0, axis), shape[axis]! / width, width, ...shape.slice(axis + 1)];
}

function gateShape(shape: readonly number[], axes: readonly number[], { biases }: GateLayout): readonly number[] {
  if (!biases) return [1, ...axes.map((axis) => shape[axis]!)];
  return [1, elementCount(shape) * (biases === 1 ? 2 : 1)];
}

function gateFileShape(shape: readonly number[], axes: readonly number[], { biases, flat }: GateLayout): readonly number[] {
  if (!biases) return axes.map((_, axis) => shape[1 + axes.indexOf(axis)]!);
  const half = shape[1]! / 2;
  return biases === 1 ? [half] : flat ? [2 * half] : [2, half];
}

/** `array` has the gates on its first axis (kernels, already turned) or is a bias. */
function viewGates(array: NdArray, gates: GateLayout, rank: number): NdArray {
  const { biases, order } = gates;
  if (!biases) return { ...reordered(array, 1, order), shape: [1, ...array.shape] };
  const sorted = reordered(array, biases, order);
  if (biases === 2) return { ...sorted, shape: [1, elementCount(array.shape)] };
  if (rank !== 1) throw new RangeError('a bias for inputs alone has one axis');
  const data = allocate(array.dtype, 2 * array.data.length);
  data.set(sorted.data as never);
  return { dtype: array.dtype, shape: [1, data.length], data };
}

function unviewGates(array: NdArray, axes: readonly number[], gates: GateLayout): NdArray {
  const { order, biases } = gates;
  const inverse = order.map((_, gate) => order.indexOf(gate));
  const shape = gateFileShape(array.shape, axes, gates);
  if (!biases) {
    const turned = axes.map((axis) => shape[axis]!);
    return permute({ ...reordered(array, 1, inverse), shape: turned }, axes.map((_, axis) => axes.indexOf(axis)));
  }
  const sorted = reordered(array, 2, inverse);
  if (biases === 2) return { ...sorted, shape };
  // The file has one bias where the graph adds two: training may have moved both.
  const half = sorted.data.length / 2;
  const data = allocate(array.dtype, half) as Float32Array;
  const both = sorted.data as Float32Array;
  const plain = array.dtype === 'float32' || array.dtype === 'float64';
  for (let index = 0; index < half; index++) data[index] = plain ? both[index]! + both[half + index]! : both[index]!;
  return { dtype: array.dtype, shape, data };
}

/** Cuts the elements into `times` runs of order.length gates each and lays the gates of each run in another order. */
function reordered(array: NdArray, times: number, order: readonly number[]): NdArray {
  const data = allocate(array.dtype, array.data.length);
  const size = array.data.length / times / order.length;
  for (let run = 0; run < times; run++) {
    order.forEach((from, gate) => {
      const start = (run * order.length + from) * size;
      data.set(array.data.subarray(start, start + size) as never, (run * order.length + gate) * size);
    });
  }
  return { ...array, data };
}
