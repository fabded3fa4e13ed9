import type { NdArray } from '../graph/tensor';

export type TaskKind = 'classification' | 'regression' | 'nextToken' | 'ranking' | 'reconstruction';

/** Samples that fit one model's inputs, already preprocessed by a recipe; read by ranges. */
export interface Dataset {
  readonly title: string;
  readonly task: TaskKind;
  readonly count: number;
  readonly seed: number;
  readonly synthetic: boolean;
  /** Class names for classification, in the order of the logits. */
  readonly classes?: readonly string[];
  /** The model's output that is judged, when the recipe names one. */
  readonly output?: string;
  /** The metric that decides, when the recipe names one. */
  readonly metric?: string;
  /** Inputs of samples [from, to) by model input name; first axis is the sample. */
  inputs(from: number, to: number): Promise<Map<string, NdArray>>;
  /** Class index or target of samples [from, to); undefined when the recipe has no labels. */
  labels(from: number, to: number): Promise<NdArray | undefined>;
  /** The picture of a sample before preprocessing, for showing: [height, width] or [height, width, 3], 0..1. */
  picture?(index: number): Promise<NdArray>;
}
