import { PCA } from 'ml-pca';
import { UMAP } from 'umap-js';
import { throwIfCancelled, type Task } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import type { PointsData } from './details/detailData';
import { chosenGroups } from './forward';
import { activationProfiles, standardised, type Profiles } from './profiles';

/** Particles and places beyond which maps take minutes: of more places, the first of those drawn are used. */
const mostParticles = 2048;
const mostFeatures = 192;

/**
 * A map of a layer by what its particles say: profiles of mean 0 and length 1, so that near points correlate, on their
 * first two principal components (Pearson 1901).
 */
export const particleMap: BehaviourFamily = {
  columns: [
    { name: 'mapX', title: 'Map, first component', unit: '', scale: 'diverging', exact: true, meaning: 'Place of the particle along the first principal component of the layer\'s outputs; particles that say the same lie together.' },
    { name: 'mapY', title: 'Map, second component', unit: '', scale: 'diverging', exact: true, meaning: 'Place of the particle along the second principal component of the layer\'s outputs.' },
  ],
  async compute(context) {
    const [x, y] = [context.table.emptyValues(), context.table.emptyValues()];
    const groups = chosenGroups(context).filter(({ count }) => count > 2 && count <= mostParticles);
    for (const [{ firstRow }, profiles] of await activationProfiles(context, groups)) {
      await breath(context.task);
      const { particles, points } = await mapped(profiles, components);
      particles.forEach((particle, index) => [x[firstRow + particle], y[firstRow + particle]] = points[index]!);
    }
    return [x, y];
  },
};

export const componentMap: Detail = {
  name: 'componentMap', title: 'Map of particles (principal components)', of: 'layer', needs: 'data',
  meaning: 'Particles of the layer on the first two principal components of their outputs: those that lie together say the same.',
  compute: async (context, { group }) => pointsOf(await layerProfiles(context, group), group, components, 'component'),
};

/** UMAP (McInnes, Healy, Melville 2018), seeded by the data's seed. */
export const neighbourMap: Detail = {
  name: 'neighbourMap', title: 'Map of particles (UMAP)', of: 'layer', needs: 'data',
  meaning: 'Particles of the layer so that neighbours by correlation of outputs stay neighbours: groups show; distances between groups mean little.',
  async compute(context, { group }) {
    const embed = async (rows: number[][]): Promise<[number, number][]> => {
      const umap = new UMAP({ nComponents: 2, nNeighbors: Math.min(15, rows.length - 1), random: seededRandom(context.data.seed), minDist: 0.1 });
      const epochs = umap.initializeFit(rows);
      for (let epoch = 0; epoch < epochs; epoch++) {
        umap.step();
        if (epoch % 20 === 0) await breath(context.task);
      }
      return umap.getEmbedding() as [number, number][];
    };
    return pointsOf(await layerProfiles(context, group), group, embed, 'UMAP');
  },
};

type Embedding = (rows: number[][]) => [number, number][] | Promise<[number, number][]>;

/** A message that cancels is only heard between turns of the event loop. */
async function breath(task: Task | undefined): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  throwIfCancelled(task);
}

async function layerProfiles(context: BehaviourContext, group: ParticleGroup): Promise<Profiles> {
  return (await activationProfiles(context, [group])).get(group)!;
}

async function pointsOf(profiles: Profiles, { firstRow }: ParticleGroup, embed: Embedding, name: string): Promise<PointsData> {
  const { particles, points } = await mapped(profiles, embed);
  return {
    kind: 'points', rows: Int32Array.from(particles, (particle) => firstRow + particle),
    x: Float32Array.from(points, ([x]) => x), y: Float32Array.from(points, ([, y]) => y),
    xTitle: `First ${name} axis`, yTitle: `Second ${name} axis`,
  };
}

/** Particles that always say the same have no place on a map. */
async function mapped(profiles: Profiles, embed: Embedding): Promise<{ particles: readonly number[]; points: readonly [number, number][] }> {
  const rows = standardised(profiles);
  const particles = [...rows.keys()].filter((particle) => rows[particle]).slice(0, mostParticles);
  if (particles.length < 3) return { particles, points: particles.map((_, index) => [index, 0]) };
  return { particles, points: await embed(particles.map((particle) => thinned(rows[particle]!))) };
}

/** Evenly chosen places of a profile. */
function thinned(row: Float32Array): number[] {
  const count = Math.min(row.length, mostFeatures);
  return Array.from({ length: count }, (_, index) => row[Math.floor((index * row.length) / count)]!);
}

/** Scores on the first two principal components; signs are fixed so that the largest score of each is positive. */
function components(rows: number[][]): [number, number][] {
  const method = rows.length < rows[0]!.length ? 'SVD' : 'covarianceMatrix';
  const scores = new PCA(rows, { method }).predict(rows, { nComponents: 2 }).to2DArray();
  const signs = [0, 1].map((axis) => Math.sign(scores.reduce((most, row) => (Math.abs(row[axis] ?? 0) > Math.abs(most) ? row[axis]! : most), 0)) || 1);
  return scores.map(([x = 0, y = 0]) => [x * signs[0]!, y * signs[1]!]);
}
