import type { BehaviourContext } from '../../behaviour/behaviour';
import type { Coupling } from '../groups';
import { bundleParts } from './bundleParts';
import type { Normalisation, PartScores, Reduction } from './criterion';
import { criterionNamed } from './registry';

export interface CriterionChoice {
  readonly criterion: string;
  /** The criterion's own when left out, as is normalise. */
  readonly reduce?: Reduction;
  readonly normalise?: Normalisation;
}

/**
 * What each bundle is worth by a criterion, in the order of `coupling.groups` and their bundles; NaN where the criterion
 * says nothing. Parts are reduced and groups normalised as in Torch-Pruning (Fang et al. 2023, "DepGraph"), but that several indices
 * of one part which belong to one bundle (flattened places) are added up before a maximum is taken. Rejects with a ParticlizeError
 * when there is no such criterion, or it cannot be computed on this model and data.
 */
export async function scoreBundles(context: BehaviourContext, coupling: Coupling, { criterion: name, reduce, normalise }: CriterionChoice): Promise<Float64Array> {
  const criterion = criterionNamed(name);
  const parts = bundleParts(context.graph, context.table, coupling);
  const scores = reduced(await criterion.parts(context, parts), parts.groupOfBundle, reduce ?? criterion.reduce);
  let first = 0;
  for (const { bundles } of coupling.groups) {
    normaliseGroup(scores.subarray(first, first + bundles.length), normalise ?? criterion.normalise);
    first += bundles.length;
  }
  return scores;
}

/** A mean is over all parts of a group, also for bundles that some of them do not have. */
function reduced(parts: Iterable<PartScores>, groupOfBundle: Int32Array, reduction: Reduction): Float64Array {
  const scores = new Float64Array(groupOfBundle.length).fill(NaN);
  const partsOf = new Map<number, number>();
  for (const { bundles, values } of parts) {
    const touched = new Set<number>();
    bundles.forEach((bundle, at) => {
      const [before, value] = [scores[bundle]!, values[at]!];
      if (Number.isNaN(value)) return;
      touched.add(groupOfBundle[bundle]!);
      scores[bundle] = Number.isNaN(before) ? value : reduction === 'max' ? Math.max(before, value) : before + value;
    });
    for (const group of touched) partsOf.set(group, (partsOf.get(group) ?? 0) + 1);
  }
  if (reduction === 'mean') scores.forEach((score, bundle) => (scores[bundle] = score / (partsOf.get(groupOfBundle[bundle]!) ?? 1)));
  return scores;
}

/** In place. Magnitudes are what divides, so that scores below zero (what harms) stay below. */
function normaliseGroup(scores: Float64Array, normalisation: Normalisation): void {
  if (normalisation === 'none') return;
  const known = Array.from(scores.keys()).filter((at) => !Number.isNaN(scores[at]!));
  if (normalisation === 'lamp') {
    // From the largest down: what is left when all smaller ones are gone.
    known.sort((one, two) => scores[two]! - scores[one]! || two - one);
    let left = 0;
    for (const at of known) {
      left += Math.abs(scores[at]!);
      if (left > 0) scores[at]! /= left;
    }
    return;
  }
  const magnitudes = known.map((at) => Math.abs(scores[at]!));
  const unit = normalisation === 'max' ? magnitudes.reduce((most, value) => Math.max(most, value), 0) : magnitudes.reduce((sum, value) => sum + value, 0) / known.length;
  if (unit > 0) for (const at of known) scores[at]! /= unit;
}
