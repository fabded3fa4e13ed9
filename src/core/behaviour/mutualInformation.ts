import { targetsOf } from '../evaluate/metrics';
import { asFloat32 } from '../graph/numeric';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups, forEachBatch } from './forward';
import { outputPlace, outputsBySample } from './particleValues';

/**
 * Mutual information between what a particle says of a sample (its mean output over positions, in bins that hold equally
 * many samples) and the sample's label. Counting alone finds information where there is none; entropies are corrected by
 * (cells in use - 1) / 2N each (Miller 1955; Paninski 2003, "Estimation of entropy and mutual information").
 */
export const mutualInformation: BehaviourFamily = {
  needsLabels: true,
  columns: [{
    name: 'labelInformation', title: 'Information about the label', unit: 'bit', scale: 'sequential', exact: true,
    meaning: 'Mutual information between the particle\'s mean output and the label (a number to be predicted is put in eight bins); 0: it says nothing of it.',
  }],
  compute,
};

const mostBins = 8;

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { data, table, memoryBytes, report } = context;
  const found = table.emptyValues();
  const labels = await labelsOf(context);
  if (!labels) {
    report({ severity: 'info', place: data.title, message: 'Information about the label: only computed where a sample has one label.' });
    return [found];
  }
  // All responses are needed at once, to put them in order: as many layers at a time as fit into the memory.
  for (const groups of pieces(chosenGroups(context), Math.max(1, memoryBytes / 2 / (4 * data.count)))) {
    const kept = groups.map((group) => ({ group, place: outputPlace(context.graph, group), values: new Float32Array(data.count * group.count) }));
    await forEachBatch(context, kept.map(({ place }) => place.value), 'Information about the label', (arrays, from, to) => {
      for (const { group, place, values } of kept) values.set(outputsBySample(arrays.get(place.value)!, place, to - from), from * group.count);
    });
    for (const { group, values } of kept) {
      const own = new Float32Array(data.count);
      for (let particle = 0; particle < group.count; particle++) {
        for (let sample = 0; sample < data.count; sample++) own[sample] = values[sample * group.count + particle]!;
        found[group.firstRow + particle] = informationBits(equalBins(own, binsFor(data.count, labels)), labels);
      }
    }
  }
  return [found];
}

/** Mutual information in bits of two lists of small whole numbers, corrected for bias; not below 0. */
export function informationBits(one: Int32Array, two: Int32Array): number {
  const count = one.length;
  const wide = two.reduce((most, value) => Math.max(most, value), 0) + 1;
  const entropy = (values: Iterable<number>): number => {
    const cells = new Map<number, number>();
    for (const value of values) cells.set(value, (cells.get(value) ?? 0) + 1);
    let sum = 0;
    for (const size of cells.values()) sum -= (size / count) * Math.log(size / count);
    return sum + (cells.size - 1) / (2 * count);
  };
  return Math.max(0, (entropy(one) + entropy(two) - entropy(one.map((value, at) => value * wide + two[at]!))) / Math.LN2);
}

/** Bins that hold about equally many values; equal values share one. */
export function equalBins(values: Float32Array, bins: number): Int32Array {
  const order = Int32Array.from(values.keys()).sort((one, two) => values[one]! - values[two]! || one - two);
  const result = new Int32Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    const bin = Math.min(bins - 1, Math.floor((((start + end - 1) / 2) * bins) / order.length));
    for (let at = start; at < end; at++) result[order[at]!] = bin;
    start = end;
  }
  return result;
}

/** Fine enough to see, coarse enough that every cell can be filled. */
function binsFor(samples: number, labels: Int32Array): number {
  return Math.max(2, Math.min(mostBins, Math.floor(samples / (5 * new Set(labels).size))));
}

async function labelsOf({ data }: BehaviourContext): Promise<Int32Array | undefined> {
  if (data.task === 'classification') {
    const { classes } = await targetsOf(data, 0, data.count);
    return classes;
  }
  const labels = await data.labels(0, data.count);
  return labels && labels.data.length === data.count ? equalBins(asFloat32(labels), mostBins) : undefined;
}

function* pieces(groups: readonly ParticleGroup[], particles: number): Generator<ParticleGroup[]> {
  let piece: ParticleGroup[] = [];
  let size = 0;
  for (const group of groups) {
    if (piece.length && size + group.count > particles) {
      yield piece;
      [piece, size] = [[], 0];
    }
    piece.push(group);
    size += group.count;
  }
  if (piece.length) yield piece;
}
