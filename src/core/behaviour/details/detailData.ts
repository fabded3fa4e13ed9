/**
 * The shapes that a detail may have: plain objects and typed arrays that survive structured cloning. Rows are row numbers
 * of the particle table, from which a face makes ids. Values that are not known are NaN.
 */
export type DetailData = BarsData | LinesData | MatrixData | SamplesData | TextData | PointsData | PairsData;

/** One value a label. */
export interface BarsData {
  readonly kind: 'bars';
  readonly labels: readonly string[];
  readonly values: Float32Array;
  /** What labels and values are: axis titles. */
  readonly labelTitle: string;
  readonly valueTitle: string;
}

/** Curves over one axis; every series is as long as `x`. */
export interface LinesData {
  readonly kind: 'lines';
  readonly x: Float32Array;
  readonly series: readonly Series[];
  readonly xTitle: string;
  readonly valueTitle: string;
}

export interface Series {
  readonly name: string;
  readonly values: Float32Array;
}

/** values[row * columns.length + column]. */
export interface MatrixData {
  readonly kind: 'matrix';
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  readonly values: Float32Array;
  readonly rowTitle: string;
  readonly columnTitle: string;
  readonly valueTitle: string;
  readonly scale: 'sequential' | 'diverging';
  /** Cluster of each row (and column), where rows are ordered by them. */
  readonly clusters?: Int32Array;
}

/** Samples of the data with a score each, best first. */
export interface SamplesData {
  readonly kind: 'samples';
  readonly samples: readonly ScoredSample[];
  readonly scoreTitle: string;
}

export interface ScoredSample {
  /** Number of the sample in the data. */
  readonly index: number;
  readonly score: number;
  /** Class, user or item, in words. */
  readonly label?: string;
  /** [height, width] or [height, width, 3], 0..1. */
  readonly picture?: { readonly shape: readonly number[]; readonly values: Float32Array };
  /** A window of the sequence around the place `at` that scored. */
  readonly text?: { readonly tokens: readonly string[]; readonly at: number };
}

/** A sequence with values for each token. */
export interface TextData {
  readonly kind: 'text';
  readonly tokens: readonly string[];
  readonly series: readonly Series[];
  readonly valueTitle: string;
}

/** Particles on a plane: point k is row `rows[k]`, in cluster `clusters[k]` when there are any. */
export interface PointsData {
  readonly kind: 'points';
  readonly rows: Int32Array;
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly clusters?: Int32Array;
  readonly xTitle: string;
  readonly yTitle: string;
}

/** Pairs of particles, strongest first. */
export interface PairsData {
  readonly kind: 'pairs';
  readonly one: Int32Array;
  readonly two: Int32Array;
  readonly values: Float32Array;
  readonly valueTitle: string;
}
