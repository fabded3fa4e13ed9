/** How good and how costly a model is, on one data set. */
export interface Evaluation {
  readonly loss: number;
  /** By name: accuracy, rmse, perplexity, ... */
  readonly metrics: Readonly<Record<string, number>>;
  /** The name among `metrics` that decides, and whether more is better. */
  readonly decisive: { readonly name: string; readonly higherIsBetter: boolean };
  readonly samples: number;
  /** The same by group of samples (a noise level, ...), in their order, when the recipe names groups. */
  readonly groups?: readonly { readonly group: number; readonly samples: number; readonly loss: number; readonly metrics: Readonly<Record<string, number>> }[];
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
  readonly engine: string;
}
