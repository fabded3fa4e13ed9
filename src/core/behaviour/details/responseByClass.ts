import { targetsOf } from '../../evaluate/metrics';
import { forEachBatch } from '../forward';
import { outputPlace, outputsBySample } from '../particleValues';
import type { Detail } from './detail';

/** What a particle says of each class on average. */
export const responseByClass: Detail = {
  name: 'responseByClass', title: 'Response by class', of: 'particle', needs: 'labels',
  meaning: 'Mean output of the particle over the samples of each class and all positions.',
  async compute(context, { group, particle }) {
    const { data, graph } = context;
    const place = outputPlace(graph, group);
    const sums = new Map<number, { sum: number; count: number }>();
    await forEachBatch(context, [place.value], 'Response by class', async (values, from, to) => {
      const classes = (await targetsOf(data, from, to)).classes;
      const means = outputsBySample(values.get(place.value)!, place, to - from);
      classes?.forEach((label, sample) => {
        const own = sums.get(label) ?? { sum: 0, count: 0 };
        sums.set(label, { sum: own.sum + means[sample * group.count + particle]!, count: own.count + 1 });
      });
    });
    const labels = [...sums.keys()].sort((one, two) => one - two);
    return {
      kind: 'bars', labels: labels.map((label) => data.classes?.[label] ?? String(label)), labelTitle: 'Class', valueTitle: 'Mean output',
      values: Float32Array.from(labels, (label) => sums.get(label)!.sum / sums.get(label)!.count),
    };
  },
};
