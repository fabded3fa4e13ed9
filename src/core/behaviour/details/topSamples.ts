import { asFloat32 } from '../../graph/numeric';
import type { BehaviourContext } from '../behaviour';
import { forEachBatch } from '../forward';
import { outputPlace, outputsBySample } from '../particleValues';
import { sampleLabel, sampleTokens } from './sampleText';
import type { Detail } from './detail';
import type { ScoredSample } from './detailData';

/** Samples that are kept, and tokens on either side of the place that scored. */
const kept = 16;
const around = 12;

/** The samples that excite a particle most, by its largest output at any position. */
export const topSamples: Detail = {
  name: 'topSamples', title: 'Samples that excite it most', of: 'particle', needs: 'data',
  meaning: 'The samples with the particle\'s largest outputs at any position, with their picture, text window or label.',
  async compute(context, { group, particle }) {
    const place = outputPlace(context.graph, group);
    let best: { index: number; score: number; at: number }[] = [];
    await forEachBatch(context, [place.value], 'Top samples', (values, from, to) => {
      const array = values.get(place.value)!;
      const scores = outputsBySample(array, place, to - from, 'largest');
      for (let index = from; index < to; index++) {
        const score = scores[(index - from) * group.count + particle]!;
        if (best.length === kept && !(score > best[kept - 1]!.score)) continue;
        best.push({ index, score, at: stepOf(asFloat32(array), array.shape, { place, particle, sample: index - from, samples: to - from }, score) });
        best = best.sort((one, two) => two.score - one.score || one.index - two.index).slice(0, kept);
      }
    });
    const samples: ScoredSample[] = [];
    for (const one of best) samples.push(await shown(context, one));
    return { kind: 'samples', samples, scoreTitle: 'Largest output' };
  },
};

async function shown(context: BehaviourContext, { index, score, at }: { index: number; score: number; at: number }): Promise<ScoredSample> {
  const { data } = context;
  const picture = await data.picture?.(index);
  const tokens = picture ? undefined : await sampleTokens(data, index);
  const label = await sampleLabel(data, index);
  const first = Math.max(0, at - around);
  return {
    index, score, ...(label !== undefined && { label }),
    ...(picture && { picture: { shape: picture.shape, values: asFloat32(picture) } }),
    ...(tokens && { text: { tokens: tokens.slice(first, at + around + 1), at: at - first } }),
  };
}

/** The step (the first axis besides samples and particles) at which a sample's score was reached; 0 where there are no steps. */
function stepOf(
  values: Float32Array, shape: readonly number[],
  { place, particle, sample, samples }: { place: ReturnType<typeof outputPlace>; particle: number; sample: number; samples: number }, score: number,
): number {
  const time = shape.findIndex((size, axis) => axis !== place.axis && axis !== place.sampleAxis && size > 1);
  if (time < 0) return 0;
  const block = shape[place.axis]! / place.particles;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const along = (at: number, axis: number): number => Math.floor(at / strides[axis]!) % shape[axis]!;
  for (let at = 0; at < values.length; at++) {
    if (values[at] === score && Math.floor(along(at, place.axis) / block) === particle
      && Math.floor((along(at, place.sampleAxis) * samples) / shape[place.sampleAxis]!) === sample) return along(at, time);
  }
  return 0;
}
