import type { ArrayData } from '../../src/compute/protocol';
import type { Picture } from './picture';

/** What channel of a kernel to show: an index, or the mean over all. */
export type Channel = number | 'mean';

/** Number of input channels to choose from; 1 for dense rows and for kernels that are shown in colour. */
export function channelCount(shape: readonly number[]): number {
  const one = shape.slice(1);
  if (one.length < 2 || one[0] === 3) return 1;
  return one[0] ?? 1;
}

/**
 * The weights of one particle as a picture. `weights.shape` is [particles, in, ...kernel] or [particles, in]: kernels
 * of three input channels are shown in colour, dense rows and one-dimensional kernels as strips, three-dimensional ones
 * by their middle slice.
 */
export function weightPicture(weights: ArrayData, index: number, channel: Channel): Picture {
  const one = weights.shape.slice(1);
  const size = one.reduce((product, length) => product * length, 1);
  const values = weights.values.subarray(index * size, (index + 1) * size);
  if (one.length < 2) return { width: Math.max(1, size), height: 1, channels: 1, values };
  const channels = one[0]!;
  const spatial = one.slice(1);
  const width = spatial[spatial.length - 1]!;
  const height = spatial.length > 1 ? spatial[spatial.length - 2]! : 1;
  const perChannel = spatial.reduce((product, length) => product * length, 1);
  const middle = Math.floor(perChannel / (width * height) / 2) * width * height;
  const plane = (c: number) => values.subarray(c * perChannel + middle, c * perChannel + middle + width * height);
  if (channels === 3 && spatial.length === 2) {
    const colour = new Float32Array(3 * width * height);
    for (let c = 0; c < 3; c++) colour.set(plane(c), c * width * height);
    return { width, height, channels: 3, values: colour };
  }
  if (channel !== 'mean' || channels === 1) {
    return { width, height, channels: 1, values: plane(channel === 'mean' ? 0 : Math.min(channel, channels - 1)) };
  }
  const mean = new Float32Array(width * height);
  for (let c = 0; c < channels; c++) {
    const from = plane(c);
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + from[i]! / channels;
  }
  return { width, height, channels: 1, values: mean };
}

/** What one particle does on a sample, from [count, ...spatial]: a map, a strip, or a single number. */
export function activationPicture(activations: ArrayData, index: number): Picture {
  const one = activations.shape.slice(1);
  const size = one.reduce((product, length) => product * length, 1);
  const values = activations.values.subarray(index * size, (index + 1) * size);
  const width = one[one.length - 1] ?? 1;
  const height = one.length > 1 ? one[one.length - 2]! : 1;
  const middle = Math.floor(size / Math.max(1, width * height) / 2) * width * height;
  return { width, height, channels: 1, values: values.subarray(middle, middle + width * height) };
}

/** The sample itself: [H, W], [C, H, W] or [H, W, C]; one or three channels. */
export function samplePicture({ shape, values }: ArrayData): Picture {
  const sizes = shape.length > 3 ? shape.slice(-3) : shape;
  if (sizes.length < 3) return { width: sizes[sizes.length - 1] ?? values.length, height: sizes.length > 1 ? sizes[0]! : 1, channels: 1, values };
  const [a, b, c] = sizes as [number, number, number];
  if (c !== 3 && c !== 1) {
    // Channels first; of an odd number of them the first is shown.
    return { width: c, height: b, channels: a === 3 ? 3 : 1, values: values.subarray(0, (a === 3 ? 3 : 1) * b * c) };
  }
  if (c === 1) return { width: b, height: a, channels: 1, values };
  const planes = new Float32Array(a * b * 3);
  for (let i = 0; i < a * b; i++) for (let k = 0; k < 3; k++) planes[k * a * b + i] = values[i * 3 + k]!;
  return { width: b, height: a, channels: 3, values: planes };
}
