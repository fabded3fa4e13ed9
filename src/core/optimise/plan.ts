/** One step of a plan; a readable JSON object. More kinds come with more actions. */
export interface PlanStep {
  readonly action: 'remove';
  /** Particle ids. */
  readonly particles: readonly string[];
}

/** A readable, editable JSON file: what is to be done to which model. */
export interface Plan {
  readonly version: 1;
  /** File name and SHA-256 of the model that it was made for. */
  readonly model: { readonly file: string; readonly sha256: string };
  readonly steps: readonly PlanStep[];
  /** What was predicted when it was made, for comparison. */
  readonly predicted?: Prediction;
}

export interface Prediction {
  /** Change against the model as it is; a lower accuracy is negative. */
  readonly loss?: number;
  readonly metric?: { readonly name: string; readonly change: number };
  /** What the model has afterwards, not the change: parameters, multiply-accumulates, bytes of weights. */
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
}

export interface Suggestion {
  /** Readable and stable within a run: 'remove:conv2' or 'remove:*'. */
  readonly id: string;
  readonly action: PlanStep['action'];
  readonly title: string;
  readonly particles: readonly string[];
  readonly predicted: Prediction;
  /** Whether outputs stay the same (removing what is dead). */
  readonly lossless: boolean;
  /** Why, in words, from its columns. */
  readonly evidence: string;
}

/** What may not be removed, and why; shown to the user as it is. */
export interface Refusal {
  readonly layer: string;
  readonly reason: string;
}

/** How a layer's sizes change: all that the source editor needs to know. */
export interface ShapeChange {
  readonly layer: string;
  readonly type: string;
  /** Tensors with their shapes before and after, in the file's own layout. */
  readonly tensors: readonly { readonly name: string; readonly before: readonly number[]; readonly after: readonly number[] }[];
  /** Width of the layer (kernels, neurons, units) before and after; undefined when it has none. */
  readonly width?: { readonly before: number; readonly after: number };
  /** Size of its input channels before and after. */
  readonly inputWidth?: { readonly before: number; readonly after: number };
}
