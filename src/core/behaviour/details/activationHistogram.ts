import { forEachBatch } from '../forward';
import { forEachOutput, outputPlace } from '../particleValues';
import type { Detail } from './detail';

const bins = 40;

/** How often a particle gives which output: 40 equal steps between its smallest and its largest. */
export const activationHistogram: Detail = {
  name: 'activationHistogram', title: 'Histogram of outputs', of: 'particle', needs: 'data',
  meaning: 'How often the particle gives which output, over all samples and positions.',
  async compute(context, { group, particle }) {
    const place = outputPlace(context.graph, group);
    let [low, high] = [Infinity, -Infinity];
    const counts = new Float32Array(bins);
    // The range first: keeping all outputs would take the memory of the whole data set.
    for (const turn of ['range', 'count'] as const) {
      const width = (high - low) / bins;
      await forEachBatch(context, [place.value], 'Histogram', (values, from, to) =>
        forEachOutput(values.get(place.value)!, place, { samples: to - from, only: particle }, (value) => {
          if (!Number.isFinite(value)) return;
          if (turn === 'count') counts[width > 0 ? Math.min(bins - 1, Math.floor((value - low) / width)) : 0]!++;
          else [low, high] = [Math.min(low, value), Math.max(high, value)];
        }));
    }
    const edges = Array.from({ length: bins }, (_, bin) => Number((low + ((high - low) * (bin + 0.5)) / bins).toPrecision(4)));
    return { kind: 'bars', labels: edges.map(String), values: counts, labelTitle: 'Output', valueTitle: 'Count' };
  },
};
