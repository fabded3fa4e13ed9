import { targetsOf } from '../evaluate/metrics';
import { asFloat32 } from '../graph/numeric';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { axisWalk, chosenGroups, forEachBatch, responseOf } from './forward';

/**
 * Class selectivity index (Morcos, Barrett, Rabinowitz, Botvinick 2018, "On the importance of single directions for
 * generalization"): (m - r) / (m + r), where m is the mean response to the class that excites the particle most and r
 * the mean over the other classes' means. A response is the mean magnitude over positions, so that it suits any activation.
 */
export const classSelectivity: BehaviourFamily = {
  needsLabels: true,
  columns: [
    {
      name: 'classSelectivity', title: 'Class selectivity', unit: '', scale: 'sequential', exact: true,
      meaning: '0: responds to all classes alike; 1: responds to one class only.',
    },
    {
      name: 'preferredClass', title: 'Preferred class', unit: '', scale: 'categorical', exact: true,
      meaning: 'Number of the class that the particle responds to most.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { graph, table, data } = context;
  const [index, preferred] = [table.emptyValues(), table.emptyValues()];
  if (data.task !== 'classification') return [index, preferred];
  const groups = chosenGroups(context).map((group) => ({ group, at: responseOf(graph, group), byClass: new Map<number, Float64Array>() }));
  const counts = new Map<number, number>();
  await forEachBatch(context, groups.map(({ at }) => at.value), 'Class selectivity', async (values, from, to) => {
    const classes = (await targetsOf(data, from, to)).classes!;
    for (const label of classes) counts.set(label, (counts.get(label) ?? 0) + 1);
    for (const { group, at, byClass } of groups) {
      const array = values.get(at.value)!;
      addResponses(byClass, asFloat32(array), axisWalk(array.shape, at.axis), { classes, particles: group.count });
    }
  });
  for (const { group, byClass } of groups) {
    for (let particle = 0; particle < group.count; particle++) {
      const means = [...byClass].map(([label, sums]) => ({ label, mean: sums[particle]! / counts.get(label)! }));
      const best = means.reduce((most, next) => (next.mean > most.mean ? next : most));
      const rest = means.filter((other) => other !== best).reduce((sum, { mean }) => sum + mean, 0) / Math.max(1, means.length - 1);
      const row = group.firstRow + particle;
      // A particle that never responds prefers nothing.
      index[row] = best.mean + rest > 0 ? (best.mean - rest) / (best.mean + rest) : 0;
      preferred[row] = best.mean > 0 ? best.label : NaN;
    }
  }
  return [index, preferred];
}

function addResponses(
  byClass: Map<number, Float64Array>, values: Float32Array, { outer, size, inner }: ReturnType<typeof axisWalk>,
  { classes, particles }: { classes: Int32Array; particles: number },
): void {
  const perParticle = size / particles;
  const perSample = outer / classes.length;
  let at = 0;
  for (let block = 0; block < outer; block++) {
    const label = classes[Math.floor(block / perSample)]!;
    let sums = byClass.get(label);
    if (!sums) byClass.set(label, (sums = new Float64Array(particles)));
    for (let index = 0; index < size; index++) {
      let sum = 0;
      for (const end = at + inner; at < end; at++) sum += Math.abs(values[at]!);
      sums[Math.floor(index / perParticle)]! += sum / (perSample * perParticle * inner);
    }
  }
}
