import { agnes } from 'ml-hclust';
import { DotKernel, tile } from '../attributes/sums/dotKernel';
import { rankOf, singularValues } from '../attributes/effectiveRank';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { activationProfiles, standardised, type Profiles } from './profiles';

/** From this magnitude of the correlation on, particles say the same (up to sign, scale and offset). */
export const interchangeable = 0.95;

/** Each particle is compared with each other one of its layer: some seconds. */
const mostParticles = 4096;
/** Hierarchical clustering takes the cube of this many steps. */
const mostClustered = 256;
/** Singular values take the cube of the smaller side: a second. */
const mostRanked = 384;

/**
 * Who says the same on the data: the Pearson correlation between outputs at up to 4,096 places (samples and positions), drawn
 * evenly by the seed. Clusters are those of complete linkage cut at 1 - |r| = 0.05, so that every two in a cluster
 * correlate with at least 0.95 in magnitude: one of them can speak for all. Effective rank as in Roy and Vetterli 2007, of the
 * outputs with their means taken off.
 */
export const redundancy: BehaviourFamily = {
  columns: [
    {
      name: 'activationTwin', title: 'Most correlated particle', unit: '', scale: 'categorical', refersTo: 'row', exact: true,
      meaning: 'The particle of the same layer whose outputs on the data are most strongly correlated with this one\'s, with either sign.',
    },
    {
      name: 'activationCorrelation', title: 'Correlation with it', unit: 'Pearson r', scale: 'diverging', exact: true,
      meaning: 'Correlation of the particle\'s outputs with those of its most correlated neighbour: 1 or -1 means that one can speak for both.',
    },
    {
      name: 'cluster', title: 'Cluster of interchangeable particles', unit: '', scale: 'categorical', exact: true,
      meaning: 'Number of the cluster within the layer, largest first; any two particles of a cluster correlate with at least 0.95 in magnitude.',
    },
    {
      name: 'clusterSize', title: 'Particles in the cluster', unit: '', scale: 'sequential', exact: true,
      meaning: 'How many particles of the layer say the same as this one, itself included; 1 means that it is alone.',
    },
    {
      name: 'activationRank', title: 'Effective rank of the outputs', unit: '', scale: 'sequential', exact: true,
      meaning: 'How many different things the layer\'s particles say together on the data (exponential of the entropy of the singular values of their outputs); the same for each particle of a layer.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { table, task, report } = context;
  const [twin, correlation, cluster, size, rank] = Array.from({ length: 5 }, () => table.emptyValues()) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
  const groups = chosenGroups(context).filter(({ count }) => count > 1);
  for (const group of groups.filter(({ count }) => count > mostParticles)) {
    report({ severity: 'info', place: group.layer, message: `It has more than ${mostParticles} particles, too many to compare each with each other one.` });
  }
  const profiles = await activationProfiles(context, groups.filter(({ count }) => count <= mostParticles));
  for (const [group, own] of profiles) {
    throwIfCancelled(task);
    const { firstRow } = group;
    const pairs = await correlations(own, task);
    pairs.best.forEach((other, particle) => {
      if (other < 0) return;
      twin[firstRow + particle] = firstRow + other;
      correlation[firstRow + particle] = pairs.value[particle]!;
    });
    const clusters = clustersOf(pairs);
    if (!clusters) {
      report({ severity: 'info', place: group.layer, message: `More than ${mostClustered} of its particles are alike, too many to sort them into clusters.` });
    }
    clusters?.forEach((members, number) => members.forEach((particle) => {
      cluster[firstRow + particle] = number;
      size[firstRow + particle] = members.length;
    }));
    const spectrum = await outputSpectrum(own, task);
    if (spectrum) rank.fill(rankOf(spectrum), firstRow, firstRow + group.count);
    else report({ severity: 'info', place: group.layer, message: `It has more than ${mostRanked} particles, too many for the effective rank of their outputs.` });
  }
  return [twin, correlation, cluster, size, rank];
}

export interface Correlations {
  readonly count: number;
  /** By particle: the other one with the strongest correlation, -1 without one, and that correlation. */
  readonly best: Int32Array;
  readonly value: Float32Array;
  /** By particle: those that correlate with at least 0.95 in magnitude. */
  readonly alike: ReadonlyMap<number, ReadonlyMap<number, number>>;
}

/** Compares every two profiles; particles that always say the same have no correlations. */
export async function correlations(profiles: Profiles, task?: Task): Promise<Correlations> {
  const { count, features } = profiles;
  const rows = new DotKernel(count, features);
  const standard = standardised(profiles);
  standard.forEach((row, particle) => row && rows.row(particle).set(row));
  const best = new Int32Array(count).fill(-1);
  const value = new Float32Array(count);
  const alike = new Map<number, Map<number, number>>();
  const note = (one: number, two: number, r: number): void => {
    if (best[one]! < 0 || Math.abs(r) > Math.abs(value[one]!)) [best[one], value[one]] = [two, r];
    if (Math.abs(r) < interchangeable) return;
    const own = alike.get(one);
    if (own) own.set(two, r);
    else alike.set(one, new Map([[two, r]]));
  };
  let looked = Date.now();
  for (let one = 0; one < count; one += tile.one) {
    if (Date.now() - looked > 100) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      throwIfCancelled(task);
      looked = Date.now();
    }
    for (let two = one - (one % tile.two); two < count; two += tile.two) {
      const dots = rows.tile(one, two);
      for (let k = 0; k < dots.length; k++) {
        const [a, b] = [one + Math.floor(k / tile.two), two + (k % tile.two)];
        if (a >= b || b >= count || !standard[a] || !standard[b]) continue;
        const r = Math.max(-1, Math.min(1, dots[k]!));
        note(a, b, r);
        note(b, a, r);
      }
    }
  }
  return { count, best, value, alike };
}

/**
 * Clusters, largest first. Complete linkage only joins within what hangs together by pairs that are alike, so each such part is
 * clustered by itself. undefined when a part is too large.
 */
export function clustersOf({ count, alike }: Correlations): readonly (readonly number[])[] | undefined {
  const clusters: number[][] = [];
  const seen = new Set<number>();
  for (let first = 0; first < count; first++) {
    if (seen.has(first)) continue;
    const part: number[] = [];
    const open = [first];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      part.push(next);
      open.push(...alike.get(next)?.keys() ?? []);
    }
    if (part.length > mostClustered) return undefined;
    if (part.length === 1) {
      clusters.push(part);
      continue;
    }
    // Pairs that are not alike are as far apart as can be.
    const distances = part.map((one) => part.map((two) => (one === two ? 0 : 1 - Math.abs(alike.get(one)?.get(two) ?? 0))));
    const tree = agnes(distances, { method: 'complete', isDistanceMatrix: true });
    for (const cut of tree.cut(1 - interchangeable + 1e-6)) clusters.push(cut.indices().map((index) => part[index]!).sort((a, b) => a - b));
  }
  return clusters.sort((one, two) => two.length - one.length || one[0]! - two[0]!);
}

async function outputSpectrum({ count, features, values }: Profiles, task: Task | undefined): Promise<Float64Array | undefined> {
  const small = Math.min(count, features);
  if (small > mostRanked) return undefined;
  const centred = Float64Array.from(values);
  for (let particle = 0; particle < count; particle++) {
    const own = centred.subarray(particle * features, (particle + 1) * features);
    const mean = own.reduce((sum, value) => sum + value, 0) / features;
    for (let k = 0; k < features; k++) own[k]! -= mean;
  }
  return singularValues(centred, count, features, task);
}
