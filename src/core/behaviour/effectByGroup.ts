import { ParticlizeError } from '../graph/errors';
import type { Dataset } from '../data/dataset';
import type { BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { chosenGroups } from './forward';
import { outputChanges } from './outputChanges';

/**
 * Where a particle matters: how far the model's output moves without it, by group of samples. With noise levels as groups it
 * says which particles of a diffusion model make the coarse picture and which the fine one.
 */
export const effectByGroup: BehaviourFamily = {
  onRequest: true,
  columns: [
    {
      name: 'strongestGroup', title: 'Noise level (group) where it matters most', unit: '', scale: 'sequential', exact: true,
      meaning: 'The group of samples (in the recipe\'s numbers, such as noise levels) in which the model\'s output moves most without the particle.',
    },
    {
      name: 'groupContrast', title: 'Contrast between noise levels (groups)', unit: '', scale: 'sequential', exact: true,
      meaning: 'How unevenly the particle matters: 1 less its mean effect over the groups as a share of its largest; 0 matters everywhere alike.',
    },
  ],
  async compute(context) {
    const { table, data, report } = context;
    const [strongest, contrast] = [table.emptyValues(), table.emptyValues()];
    const groups = await groupsOf(data);
    if (!groups) {
      report({ severity: 'info', place: data.title, message: 'The recipe does not group the samples, so nothing can be said by noise level.' });
      return [strongest, contrast];
    }
    for (const group of chosenGroups(context)) {
      const all = Array.from({ length: group.count }, (_, particle) => particle);
      const changes = await outputChanges(context, group, all);
      for (const particle of all) {
        const means = meansByGroup(changes.subarray(particle * data.count, (particle + 1) * data.count), groups);
        const best = means.reduce((most, next) => (next.mean > most.mean ? next : most));
        const row = group.firstRow + particle;
        if (best.mean > 0) [strongest[row], contrast[row]] = [best.group, 1 - means.reduce((sum, { mean }) => sum + mean, 0) / means.length / best.mean];
      }
      context.arrived?.('strongestGroup', strongest);
    }
    return [strongest, contrast];
  },
};

export const effectAlongGroups: Detail = {
  name: 'effectByGroup', title: 'Effect by noise level (group)', of: 'particle', needs: 'data',
  meaning: 'How far the model\'s output moves without the particle, by the recipe\'s groups of samples, such as noise levels.',
  async compute(context, { group, particle }) {
    const groups = await groupsOf(context.data);
    if (!groups) {
      throw new ParticlizeError({ file: context.data.title, place: 'groups', cause: 'the recipe does not group the samples', action: 'Name the array of noise levels there' });
    }
    const means = meansByGroup(await outputChanges(context, group, [particle]), groups);
    return {
      kind: 'lines', x: Float32Array.from(means, (one) => one.group), xTitle: 'Group', valueTitle: 'Mean change of the output',
      series: [{ name: context.table.id(group.firstRow + particle), values: Float32Array.from(means, ({ mean }) => mean) }],
    };
  },
};

async function groupsOf(data: Dataset): Promise<ArrayLike<number> | undefined> {
  return data.groups?.(0, data.count);
}

/** In rising order of the groups. */
function meansByGroup(changes: Float64Array, groups: ArrayLike<number>): readonly { readonly group: number; readonly mean: number }[] {
  const sums = new Map<number, { sum: number; count: number }>();
  changes.forEach((change, sample) => {
    const own = sums.get(groups[sample]!) ?? { sum: 0, count: 0 };
    sums.set(groups[sample]!, { sum: own.sum + change, count: own.count + 1 });
  });
  return [...sums].sort(([one], [two]) => one - two).map(([group, { sum, count }]) => ({ group, mean: sum / count }));
}
