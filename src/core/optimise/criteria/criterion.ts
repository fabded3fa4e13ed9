import type { BehaviourContext } from '../../behaviour/behaviour';
import type { BundleParts } from './bundleParts';

/** How what is known of the parts of a bundle (its slices of weight tensors, its particles) becomes one number. */
export type Reduction = (typeof reductions)[number];
export const reductions = ['sum', 'mean', 'max'] as const;

/**
 * How scores of different coupling groups are made comparable: each divided by the group's mean or largest magnitude, or (lamp: Lee et
 * al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning") by the sum of all of its group that are not smaller.
 */
export type Normalisation = (typeof normalisations)[number];
export const normalisations = ['none', 'mean', 'max', 'lamp'] as const;

/** Scores of one part: one number for each of some bundles, all of which the part is in. */
export interface PartScores {
  /** Bundle numbers, in the order of `coupling.groups` and their bundles; none twice. */
  readonly bundles: readonly number[];
  readonly values: readonly number[];
}

/** A way of saying what a bundle is worth; one file for each small family, one register line each in registry.ts. */
export interface Criterion {
  /** Stable: what --criterion names. */
  readonly name: string;
  /** Behind 'whose removal'. */
  readonly words: string;
  /** As its authors or Torch-Pruning have it. */
  readonly reduce: Reduction;
  readonly normalise: Normalisation;
  /** Parts of bundles with what each is worth (small is little). Parts about which it says nothing are left out. */
  parts(context: BehaviourContext, parts: BundleParts): Promise<Iterable<PartScores>>;
}
