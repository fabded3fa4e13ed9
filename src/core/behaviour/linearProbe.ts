import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { targetsOf } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import type { BehaviourFamily } from './behaviour';
import { chosenGroups, forEachBatch } from './forward';
import { outputPlace, outputsBySample } from './particleValues';

/** Share of the samples that a probe learns from; it is judged on the others. */
const learned = 0.7;
/** Of outputs of deviation 1: enough that no direction with next to no data decides. */
const ridge = 0.01;
/** Particles of a layer that a probe reads; of more, evenly chosen ones. */
const mostFeatures = 512;

/**
 * How much of the answer can be read off a layer (Alain and Bengio 2016, "Understanding intermediate layers using linear
 * classifier probes"): a linear classifier from the mean outputs of its particles over positions, learned on 70 % of the
 * samples, drawn by the data's seed, and judged on the rest. It is fitted to the classes by ridge least squares, which has one
 * solution, found without iterating; the largest score decides.
 */
export const linearProbe: BehaviourFamily = {
  needsLabels: true,
  columns: [{
    name: 'probeAccuracy', title: 'Accuracy of a linear probe', unit: '', scale: 'sequential', exact: true,
    meaning: 'How often a linear classifier that reads only the outputs of the particle\'s layer names the right class, on samples that it did not learn from; the same for each particle of a layer.',
  }],
  async compute(context) {
    const { data, graph, table, report, task } = context;
    const values = table.emptyValues();
    if (data.task !== 'classification') return [values];
    const layers = chosenGroups(context).map((group) => ({ group, place: outputPlace(graph, group), parts: [] as Float32Array[] }));
    const classes: number[] = [];
    await forEachBatch(context, layers.map(({ place }) => place.value), 'Linear probes', async (arrays, from, to) => {
      classes.push(...(await targetsOf(data, from, to)).classes!);
      for (const { group, place, parts } of layers) parts.push(chosenColumns(outputsBySample(arrays.get(place.value)!, place, to - from), group.count));
    });
    const [train, test] = drawn(data.count, data.seed);
    if (test.length < 10) {
      report({ severity: 'info', place: data.title, message: 'There are too few samples to judge linear probes.' });
      return [values];
    }
    for (const { group, parts } of layers) {
      throwIfCancelled(task);
      // Between turns of the event loop a message that cancels is heard.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const features = Math.min(group.count, mostFeatures);
      const all = new Float32Array(data.count * features);
      parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
      values.fill(probe(all, features, { classes, train, test }), group.firstRow, group.firstRow + group.count);
    }
    return [values];
  },
};

/** Accuracy on `test` of the ridge classifier of `train`; features by sample, row-major. NaN where an output is no number. */
export function probe(
  values: Float32Array, features: number, { classes, train, test }: { classes: readonly number[]; train: readonly number[]; test: readonly number[] },
): number {
  const labels = [...new Set(classes)].sort((one, two) => one - two);
  const moments = Array.from({ length: features }, (_, feature) => {
    const mean = train.reduce((sum, sample) => sum + values[sample * features + feature]!, 0) / train.length;
    const variance = train.reduce((sum, sample) => sum + (values[sample * features + feature]! - mean) ** 2, 0) / train.length;
    return { mean, scale: variance > 0 ? 1 / Math.sqrt(variance) : 0 };
  });
  const x = (sample: number): Float64Array => Float64Array.from(moments, ({ mean, scale }, feature) => (values[sample * features + feature]! - mean) * scale);
  const gram = Matrix.zeros(features, features);
  const sums = Matrix.zeros(features, labels.length);
  const shares = labels.map((label) => train.filter((sample) => classes[sample] === label).length / train.length);
  for (const sample of train) {
    const row = x(sample);
    for (let one = 0; one < features; one++) {
      for (let two = one; two < features; two++) gram.set(one, two, gram.get(one, two) + row[one]! * row[two]!);
      labels.forEach((label, at) => sums.set(one, at, sums.get(one, at) + row[one]! * (Number(classes[sample] === label) - shares[at]!)));
    }
  }
  for (let one = 0; one < features; one++) {
    for (let two = 0; two < one; two++) gram.set(one, two, gram.get(two, one));
    gram.set(one, one, gram.get(one, one) + ridge * train.length);
  }
  if (!Number.isFinite(gram.trace())) return NaN;
  const weights = new CholeskyDecomposition(gram).solve(sums);
  const right = test.filter((sample) => {
    const row = x(sample);
    const scores = labels.map((_, at) => row.reduce((sum, value, feature) => sum + value * weights.get(feature, at), shares[at]!));
    return labels[scores.indexOf(Math.max(...scores))] === classes[sample];
  });
  return right.length / test.length;
}

/** Samples to learn from and to be judged on. */
function drawn(count: number, seed: number): readonly [number[], number[]] {
  const random = seededRandom(seed);
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  const cut = Math.round(count * learned);
  return [order.slice(0, cut), order.slice(cut)];
}

function chosenColumns(values: Float32Array, count: number): Float32Array {
  if (count <= mostFeatures) return values;
  const samples = values.length / count;
  const result = new Float32Array(samples * mostFeatures);
  for (let sample = 0; sample < samples; sample++) {
    for (let at = 0; at < mostFeatures; at++) result[sample * mostFeatures + at] = values[sample * count + Math.floor((at * count) / mostFeatures)]!;
  }
  return result;
}

