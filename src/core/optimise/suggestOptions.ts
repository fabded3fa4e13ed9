import type { CriterionChoice } from './criteria/scoreBundles';

export interface SuggestOptions {
  /** Largest accepted drop of the deciding metric: 0.01 is one point of accuracy. */
  readonly maxDrop: number;
  /** Shares of what the model costs now that suffice: then the smallest set that reaches them is proposed. */
  readonly target?: Target;
  /** By layer: the largest share of its particles that may go; 0 leaves it alone. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Layers keep a number of particles that this divides (8 where hardware likes it), unless they had none such. */
  readonly multipleOf?: number;
  /** Whether the model's format can say operators that come or go. */
  readonly structural?: boolean;
  /** Ranks by this alone; by ablation in several ways when left out. Whatever ranks, what is proposed was measured. */
  readonly criterion?: CriterionChoice;
  /** Whether options with reconstructed weights are looked for too; true when left out. They take the longest. */
  readonly front?: boolean;
}

export interface Target {
  readonly macs?: number;
  readonly parameters?: number;
  readonly bytes?: number;
  /** Of the time a sample takes, measured on the engine here. */
  readonly latency?: number;
}
