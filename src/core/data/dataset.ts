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
  /**
   * Rows that the model gets for one sample, one behind the other on the first axis: 1 when absent. In a ranking a sample is a
   * held-out item in front of items that its user never rated. A run on samples [from, to) then gives (to - from) * rowsPerSample rows.
   */
  readonly rowsPerSample?: number;
  /** How a ranking is judged: places that count as found, and the loss. */
  readonly ranking?: { readonly k: number; readonly loss: 'bce' | 'bpr' };
  /** Inputs of samples [from, to) by model input name; first axis is the sample, or the row where a sample has several. */
  inputs(from: number, to: number): Promise<Map<string, NdArray>>;
  /** Whole numbers by which results are told apart (a noise level, ...), of samples [from, to). */
  groups?(from: number, to: number): Promise<Int32Array>;
  /** The tokens of a sample in words, when it is text. */
  tokens?(index: number): Promise<readonly string[]>;
  /** A sample in words: 'user 12, item 40'. */
  caption?(index: number): Promise<string>;
  /** Class index or target of samples [from, to), or a token number for each position ([samples, positions]; -1 does not count); undefined when the recipe has no labels. */
  labels(from: number, to: number): Promise<NdArray | undefined>;
  /** The picture of a sample before preprocessing, for showing: [height, width] or [height, width, 3], 0..1. */
  picture?(index: number): Promise<NdArray>;
}
