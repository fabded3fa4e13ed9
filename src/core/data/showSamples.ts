import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { Dataset } from './dataset';
import type { FittedInput } from './loadDataset';

/** Pictures are 2-D samples, or 3-D ones with one or three channels on either side. */
export function pictureOf({ array, fit, tokens }: FittedInput, rows: Float64Array): Dataset['picture'] {
  if (tokens) return undefined;
  const stored = fit.steps.shape && !fit.steps.resize ? fit.steps.shape : array.shape.slice(1);
  const flat = stored.length === 1 && fit.shape.length === 3 ? fit.shape : stored;
  const [first, , last] = flat;
  const plain = flat.length === 2;
  const channelsLast = flat.length === 3 && (last === 1 || last === 3);
  const channelsFirst = flat.length === 3 && !channelsLast && (first === 1 || first === 3);
  if (!plain && !channelsLast && !channelsFirst) return undefined;
  return async (index): Promise<NdArray> => {
    const values = asFloat32(await array.rows(rows[index]!, rows[index]! + 1));
    const [height, width, channels] = plain ? [flat[0]!, flat[1]!, 1] : channelsLast ? [flat[0]!, flat[1]!, last!] : [flat[1]!, flat[2]!, first!];
    const low = values.reduce((least, value) => Math.min(least, value), Infinity);
    const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
    const top = array.dtype === 'uint8' && high > 16 ? 255 : high;
    const bottom = Math.min(low, 0);
    const data = new Float32Array(values.length);
    for (let place = 0; place < height * width; place++) {
      for (let channel = 0; channel < channels; channel++) {
        const value = values[channelsFirst ? channel * height * width + place : place * channels + channel]!;
        data[place * channels + channel] = top > bottom ? (value - bottom) / (top - bottom) : 0;
      }
    }
    return { dtype: 'float32', shape: channels === 1 ? [height, width] : [height, width, channels], data };
  };
}

/** The tokens of a sample in words. */
export function tokensOf({ array, tokens }: FittedInput, rows: Float64Array): Dataset['tokens'] {
  return tokens && (async (index) => {
    const { data } = await array.rows(rows[index]!, rows[index]! + 1);
    return Array.from(data as Int32Array, (token) => tokens.vocabulary[token] ?? String(token));
  });
}
