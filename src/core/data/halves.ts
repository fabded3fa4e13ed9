import type { NdArray, NumericArray } from '../graph/tensor';
import type { Dataset } from './dataset';

/** Fewer samples than this are too few to keep half of them apart. */
const fewest = 32;

/** Every other sample to choose by, and the rest to check by; undefined when there are too few. Data in the order of its classes is shared evenly. */
export function halves(data: Dataset): { readonly choose: Dataset; readonly check: Dataset } | undefined {
  if (data.count < fewest) return undefined;
  return { choose: everyOther(data, 0), check: everyOther(data, 1) };
}

function everyOther(data: Dataset, first: 0 | 1): Dataset {
  const { groups, tokens, caption, picture } = data;
  // Samples [from, to) of the half lie in [2 * from, 2 * to) of the whole.
  const within = (from: number, to: number): [number, number] => [2 * from, Math.min(data.count, 2 * to)];
  const at = (index: number): number => 2 * index + first;
  return {
    ...data,
    count: Math.floor((data.count + 1 - first) / 2),
    async inputs(from, to) {
      const [start, end] = within(from, to);
      return new Map([...await data.inputs(start, end)].map(([name, array]) => [name, picked(array, end - start, first)]));
    },
    async labels(from, to) {
      const [start, end] = within(from, to);
      const array = await data.labels(start, end);
      return array && picked(array, end - start, first);
    },
    ...(groups && { groups: async (from: number, to: number) => (await groups(...within(from, to))).filter((_, index) => index % 2 === first) }),
    ...(tokens && { tokens: (index: number) => tokens(at(index)) }),
    ...(caption && { caption: (index: number) => caption(at(index)) }),
    ...(picture && { picture: (index: number) => picture(at(index)) }),
  };
}

/** The rows of every other sample. */
function picked(array: NdArray, samples: number, first: 0 | 1): NdArray {
  const each = array.data.length / Math.max(samples, 1);
  const count = Math.floor((samples + 1 - first) / 2);
  const data = new (array.data.constructor as new (length: number) => NumericArray)(count * each);
  for (let sample = 0; sample < count; sample++) {
    const start = (2 * sample + first) * each;
    data.set(array.data.subarray(start, start + each) as never, sample * each);
  }
  return { dtype: array.dtype, shape: [(array.shape[0]! / Math.max(samples, 1)) * count, ...array.shape.slice(1)], data };
}
