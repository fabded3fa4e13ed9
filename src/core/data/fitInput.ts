import type { Dim, ValueInfo } from '../graph/modelGraph';
import { asFloat32, fromFloat32, isFloat } from '../graph/numeric';
import { elementCount, type DType, type NdArray } from '../graph/tensor';
import type { InputRecipe, Layout } from './recipe';

/** How samples of an array become samples of a model input; planned once, from shapes alone. */
export interface InputFit {
  /** Sample shape that the model gets, without the batch axis. */
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Same numbers in another order: channels moved from the end to the front, or the other way. */
  readonly move?: 'toFront' | 'toEnd';
  /** Axis of the final shape that holds channels, when one is known. */
  readonly channelAxis?: number;
  readonly steps: InputRecipe;
}

/** The fit, or what is wrong in one sentence. `stored` is the shape of one sample in the file. */
export function fitInput(stored: readonly number[], wanted: ValueInfo, steps: InputRecipe, from: string): InputFit | string {
  const dtype = wanted.dtype ?? 'float32';
  if (!isFloat(dtype) && !castable.has(dtype)) return `the model's input ${wanted.name} is ${dtype}, which no recipe can feed`;
  if (steps.resize) steps = { ...steps, shape: undefined };
  if (steps.shape && elementCount(steps.shape) !== elementCount(stored)) {
    return `shape ${times(steps.shape)} has ${elementCount(steps.shape)} elements, the array ${from} has samples of ${times(stored)}`;
  }
  const start = [...(steps.shape ?? stored), ...(steps.oneHot === undefined ? [] : [steps.oneHot])];
  const target = wanted.shape?.slice(1);
  const found = arrange(start, target, steps.layout);
  if (!found) {
    return `the array ${from} has samples of ${times(start)}, the model's input ${wanted.name} wants ${times(target ?? [])}`;
  }
  const channelAxis = channelAxisOf(found.shape, steps);
  for (const [name, list] of [['mean', steps.mean], ['std', steps.std]] as const) {
    if (list.length === 1) continue;
    if (channelAxis === undefined || found.shape[channelAxis] !== list.length) {
      return `${name} has ${list.length} numbers, but samples of ${times(found.shape)} have no such channel axis`;
    }
  }
  return { ...found, dtype, channelAxis, steps };
}

/** Applies a fit to rows of the array; [rows, ...shape]. */
export function applyFit(rows: NdArray, fit: InputFit): NdArray {
  const count = rows.shape[0]!;
  const shape = [count, ...fit.shape];
  // Whole numbers stay exact beyond 2^24: ids of items and tokens.
  let values: Values = isFloat(fit.dtype) ? asFloat32(rows) : Float64Array.from(rows.data as ArrayLike<number | bigint>, Number);
  if (fit.steps.oneHot !== undefined) values = oneHot(values, fit.steps.oneHot);
  values = fit.move ? moved(values, count, fit) : values === rows.data ? values.slice() : values;
  normalise(values, fit);
  return cast(values, shape, fit.dtype);
}

type Values = Float32Array | Float64Array;

const castable = new Set<DType>(['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'bool']);

interface Arrangement {
  readonly shape: readonly number[];
  readonly move?: 'toFront' | 'toEnd';
}

/** The first way of bringing samples into the wanted shape that moves no more than it must. */
function arrange(start: readonly number[], target: readonly Dim[] | undefined, layout: Layout): Arrangement | undefined {
  const candidates: Arrangement[] = [];
  const picture = start.length === 2;
  const last = start[start.length - 1] ?? 1;
  const channelsLast = start.length >= 3 && last <= 4;
  if (layout === 'NCHW' && channelsLast && start[0]! > 4) candidates.push(toFront(start));
  if (layout === 'NHWC' && start.length >= 3 && start[0]! <= 4 && last > 4) candidates.push(toEnd(start));
  if (picture && layout === 'NCHW') candidates.push({ shape: [1, ...start] });
  if (picture && layout === 'NHWC') candidates.push({ shape: [...start, 1] });
  candidates.push({ shape: start });
  if (layout === 'auto') candidates.push({ shape: [1, ...start] }, { shape: [...start, 1] });
  if (start.length >= 3 && layout !== 'NHWC') candidates.push(toFront(start));
  if (start.length >= 3 && layout !== 'NCHW') candidates.push(toEnd(start));
  if (!target) return candidates[0];
  const fitting = candidates.find(({ shape }) => fits(shape, target));
  if (fitting) return fitting;
  // Rows of numbers and pictures of one channel are the same numbers in the same order.
  const sizes = target.filter((dim): dim is number => dim !== null);
  const known = sizes.length === target.length && elementCount(sizes) === elementCount(start);
  const flatToPicture = start.length === 1 && sizes.filter((size) => size !== 1).length <= 2;
  const pictureToFlat = target.filter((dim) => dim !== 1).length <= 1;
  return known && (flatToPicture || pictureToFlat) ? { shape: sizes } : undefined;
}

function toFront(shape: readonly number[]): Arrangement {
  return { shape: [shape[shape.length - 1]!, ...shape.slice(0, -1)], move: 'toFront' };
}

function toEnd(shape: readonly number[]): Arrangement {
  return { shape: [...shape.slice(1), shape[0]!], move: 'toEnd' };
}

function fits(shape: readonly number[], target: readonly Dim[]): boolean {
  return shape.length === target.length && target.every((dim, axis) => dim === null || dim === shape[axis]);
}

function channelAxisOf(shape: readonly number[], { layout, mean, std }: InputRecipe): number | undefined {
  if (shape.length < 2) return shape.length === 1 ? 0 : undefined;
  if (layout === 'NCHW') return 0;
  if (layout === 'NHWC') return shape.length - 1;
  const channels = Math.max(mean.length, std.length);
  if (channels > 1 && shape[shape.length - 1] === channels && shape[0] !== channels) return shape.length - 1;
  return 0;
}

function moved(values: Values, count: number, { shape, move }: InputFit): Values {
  const result = new Float32Array(values.length);
  const channels = move === 'toFront' ? shape[0]! : shape[shape.length - 1]!;
  const size = elementCount(shape);
  const places = size / channels;
  for (let sample = 0; sample < count; sample++) {
    const start = sample * size;
    for (let channel = 0; channel < channels; channel++) {
      for (let place = 0; place < places; place++) {
        const front = start + channel * places + place;
        const end = start + place * channels + channel;
        if (move === 'toFront') result[front] = values[end]!;
        else result[end] = values[front]!;
      }
    }
  }
  return result;
}

function normalise(values: Values, { steps: { scale, mean, std }, shape, channelAxis = 0 }: InputFit): void {
  if (mean.length === 1 && std.length === 1) {
    const shift = mean[0]!;
    const divisor = std[0]!;
    if (scale === 1 && shift === 0 && divisor === 1) return;
    for (let index = 0; index < values.length; index++) values[index] = (values[index]! * scale - shift) / divisor;
    return;
  }
  const inner = elementCount(shape.slice(channelAxis + 1));
  const channels = shape[channelAxis]!;
  for (let index = 0; index < values.length; index++) {
    const channel = Math.floor(index / inner) % channels;
    values[index] = (values[index]! * scale - (mean[channel] ?? mean[0]!)) / (std[channel] ?? std[0]!);
  }
}

function oneHot(values: Values, classes: number): Float32Array {
  const result = new Float32Array(values.length * classes);
  values.forEach((value, index) => {
    if (Number.isInteger(value) && value >= 0 && value < classes) result[index * classes + value] = 1;
  });
  return result;
}

function cast(values: Values, shape: readonly number[], dtype: DType): NdArray {
  switch (dtype) {
    case 'float32': case 'float64': case 'float16': case 'bfloat16': return fromFloat32(values as Float32Array, shape, dtype);
    case 'int64': return { dtype, shape, data: BigInt64Array.from(values, (value) => BigInt(Math.trunc(value))) };
    case 'uint64': return { dtype, shape, data: BigUint64Array.from(values, (value) => BigInt(Math.trunc(value))) };
    case 'int32': return { dtype, shape, data: Int32Array.from(values) };
    case 'uint32': return { dtype, shape, data: Uint32Array.from(values) };
    case 'int16': return { dtype, shape, data: Int16Array.from(values) };
    case 'uint16': return { dtype, shape, data: Uint16Array.from(values) };
    case 'int8': return { dtype, shape, data: Int8Array.from(values) };
    case 'uint8': return { dtype, shape, data: Uint8Array.from(values) };
    case 'bool': return { dtype, shape, data: Uint8Array.from(values, (value) => (value ? 1 : 0)) };
    default: throw new RangeError(`no values of type ${dtype} can be made`);
  }
}

/** '8×8'; an unknown size is '?', one number is 'single numbers'. */
export function times(shape: readonly Dim[]): string {
  return shape.length === 0 ? 'single numbers' : shape.map((dim) => dim ?? '?').join('×');
}
