import { throwIfCancelled } from '../graph/errors';
import type { Column, ParticleTable, Provenance } from '../particles/particleTable';
import { ablation, meanAblation, resampleAblation } from './ablation/ablation';
import { attentionHeads } from './attentionHeads';
import { activationStatistics } from './activationStatistics';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { classSelectivity } from './classSelectivity';
import { connections } from './connections';
import { conductance } from './conductance';
import { contribution } from './contribution';
import { estimateError, knownError } from './estimateError';
import { estimates } from './estimates';
import { gradientImportance } from './gradientImportance';
import { integratedGradients } from './integratedGradients';
import { effectByGroup } from './effectByGroup';
import { factors } from './factors';
import { linearProbe } from './linearProbe';
import { memoryLength } from './memoryLength';
import { mutualInformation } from './mutualInformation';
import { outputContribution } from './outputContribution';
import { outputCorrelation } from './outputCorrelation';
import { particleMap } from './particleMap';
import { recurrentGates } from './recurrentGates';
import { redundancy } from './redundancy';
import { synergy } from './synergy';

/** Every family of columns computed by running the model; a new one is one file and one line here. Cheap ones first. */
export const behaviourFamilies: readonly BehaviourFamily[] = [
  activationStatistics, classSelectivity, mutualInformation, outputCorrelation, redundancy, particleMap, linearProbe, connections, attentionHeads,
  recurrentGates, memoryLength, factors,
  contribution, outputContribution, gradientImportance, integratedGradients, conductance, estimates, ablation, meanAblation,
  resampleAblation, synergy, effectByGroup,
];

export const behaviourColumns = behaviourFamilies.flatMap((family) => family.columns);

/** Adds the named columns (all that are not only for who asks for them, when undefined) to the table. When only some layers are asked for, the others keep what they had. */
export async function addBehaviour(context: BehaviourContext, names?: ReadonlySet<string>): Promise<void> {
  const { table, data, engine, layers } = context;
  const wanted = behaviourFamilies.filter((family) => (names
    ? family.columns.some(({ name }) => names.has(name))
    : !family.onRequest && (!family.kinds || table.groups.some(({ kind }) => family.kinds!.includes(kind)))));
  for (const family of wanted) {
    throwIfCancelled(context.task);
    if (family.needsLabels && !(await data.labels(0, Math.min(1, data.count)))) {
      context.report({
        severity: 'info', place: data.title,
        message: `${family.columns.map(({ title }) => title).join(', ')}: not computed, because the recipe has no labels.`,
      });
      continue;
    }
    const computed = await family.compute(context);
    for (const [index, { exact, estimateOf, ...column }] of family.columns.entries()) {
      const provenance: Provenance = {
        source: data.synthetic ? 'synthetic' : 'data', data: data.title, samples: data.count, engine: engine.title, seed: data.seed, exact,
      };
      const values = computed[index]!;
      const before = table.column(column.name);
      if (layers && before && sameOrigin(before.provenance, provenance)) {
        for (const group of table.groups) {
          if (!layers.has(group.layer)) values.set(before.values.subarray(group.firstRow, group.firstRow + group.count), group.firstRow);
        }
      }
      const error = estimateOf === undefined ? undefined : await estimateError(context, values, estimateOf, sameData(table.column(estimateOf), provenance));
      table.add({ ...column, provenance: { ...provenance, ...(error && { error }) }, values });
    }
    updateErrors(table, family);
  }
}

/** Estimates that were there before are compared with the exact values that have come. */
function updateErrors(table: ParticleTable, { columns }: BehaviourFamily): void {
  for (const { name, estimateOf } of behaviourColumns) {
    const estimate = table.column(name);
    if (!estimate || estimateOf === undefined || !columns.some((column) => column.name === estimateOf)) continue;
    const error = knownError(estimate.values, sameData(table.column(estimateOf), estimate.provenance));
    if (error) table.add({ ...estimate, provenance: { ...estimate.provenance, error } });
  }
}

function sameData(column: Column | undefined, provenance: Provenance): Column | undefined {
  return column && sameOrigin(column.provenance, provenance) ? column : undefined;
}

/** Numbers from other samples must not stand in one column. */
function sameOrigin(one: Provenance, two: Provenance): boolean {
  return one.data === two.data && one.samples === two.samples && one.seed === two.seed;
}
