import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ArraySource } from './arraySource';

/** An array of pictures, [rows, h, w], [rows, h, w, c] or [rows, c, h, w], in another size; undefined when its samples are no pictures. */
export function resizedArray(source: ArraySource, size: readonly [number, number]): ArraySource | undefined {
  const [rank, shape] = [source.shape.length - 1, source.shape.slice(1)];
  const channelsFirst = rank === 3 && shape[0]! <= 4 && shape[2]! > 4;
  if (rank !== 2 && rank !== 3) return undefined;
  const [planes, height, width, channels] = channelsFirst ? [shape[0]!, shape[1]!, shape[2]!, 1] : [1, shape[0]!, shape[1]!, shape[2] ?? 1];
  const target = channelsFirst ? [planes, ...size] : rank === 2 ? [...size] : [...size, channels];
  return {
    dtype: 'float32', shape: [source.shape[0]!, ...target], findings: source.findings,
    async rows(from, to): Promise<NdArray> {
      const values = asFloat32(await source.rows(from, to));
      const [before, after] = [height * width * channels, size[0] * size[1] * channels];
      const data = new Float32Array((to - from) * planes * after);
      for (let index = 0; index < (to - from) * planes; index++) {
        const picture = { data: values.subarray(index * before, (index + 1) * before), height, width, channels };
        data.set(resizePicture(picture, size, false), index * after);
      }
      return { dtype: 'float32', shape: [to - from, ...target], data };
    },
  };
}

export interface Picture {
  /** [height, width, channels] */
  readonly data: ArrayLike<number>;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * Bilinear interpolation as Pillow does it (and torchvision with antialias): a triangle filter over pixel centres that grows wider
 * when the picture shrinks; columns first, then rows. `whole` rounds to 0..255 after each step, as for bytes.
 */
export function resizePicture({ data, height, width, channels }: Picture, [tall, wide]: readonly [number, number], whole: boolean): Float32Array {
  const round = (value: number): number => (whole ? Math.max(0, Math.min(255, Math.round(value))) : value);
  const across = new Float32Array(height * wide * channels);
  const columns = weights(width, wide);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < wide; x++) {
      const { first, values } = columns[x]!;
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let at = 0; at < values.length; at++) sum += values[at]! * data[(y * width + first + at) * channels + channel]!;
        across[(y * wide + x) * channels + channel] = round(sum);
      }
    }
  }
  const result = new Float32Array(tall * wide * channels);
  const rows = weights(height, tall);
  const stride = wide * channels;
  for (let y = 0; y < tall; y++) {
    const { first, values } = rows[y]!;
    for (let at = 0; at < stride; at++) {
      let sum = 0;
      for (let row = 0; row < values.length; row++) sum += values[row]! * across[(first + row) * stride + at]!;
      result[y * stride + at] = round(sum);
    }
  }
  return result;
}

interface Weights {
  readonly first: number;
  readonly values: readonly number[];
}

function weights(before: number, after: number): readonly Weights[] {
  const scale = before / after;
  const reach = Math.max(1, scale);
  return Array.from({ length: after }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(before, Math.trunc(centre + reach + 0.5));
    const values = Array.from({ length: end - first }, (__, at) => Math.max(0, 1 - Math.abs((first + at - centre + 0.5) / reach)));
    const total = values.reduce((sum, value) => sum + value, 0);
    return { first, values: values.map((value) => value / total) };
  });
}
