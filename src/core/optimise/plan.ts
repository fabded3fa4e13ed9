/** One step of a plan. Particle ids are those of the model that the plan is for, whatever earlier steps did. */
export type PlanStep =
  | RemoveStep | RemoveHeadStep | RemoveBlockStep | MergeStep | FoldStep | ReweightStep | ReconstructStep | MaskConnectionsStep | FactoriseStep | GrowStep;

/** Takes particles away, and all that can only go together with them has to be named too. */
export interface RemoveStep {
  readonly action: 'remove';
  /** Particle ids. */
  readonly particles: readonly string[];
}

/** The same for attention heads alone. */
export interface RemoveHeadStep {
  readonly action: 'removeHead';
  readonly particles: readonly string[];
}

/** A residual sum passes on what goes around its branch. */
export interface RemoveBlockStep {
  readonly action: 'removeBlock';
  /** The layer of the sum. */
  readonly block: string;
}

/** Particles that say the same as another one: its outgoing weights take theirs up. */
export interface MergeStep {
  readonly action: 'merge';
  readonly into: string;
  readonly particles: readonly string[];
  /** How many times what `into` says each of them says; 1 when left out. */
  readonly scales?: readonly number[];
}

/** Particles that always say the same number: the next layer's bias takes it up. */
export interface FoldStep {
  readonly action: 'fold';
  readonly particles: readonly string[];
  /** What the next layer reads of each. */
  readonly values: readonly number[];
}

/** Multiplies what the next layers make of particles. */
export interface ReweightStep {
  readonly action: 'reweight';
  readonly particles: readonly string[];
  readonly factors: readonly number[];
}

/** New weights for a layer, computed from data when the plan was made; the plan carries them, so that it needs no data. */
export interface ReconstructStep {
  readonly action: 'reconstruct';
  readonly layer: string;
  readonly tensors: readonly {
    readonly name: string;
    /** As the tensor is after the steps in front of this one, in the graph's layout. */
    readonly shape: readonly number[];
    /** Little-endian, in base64. */
    readonly float32: string;
  }[];
}

/** Sets the smallest weights of a layer to zero. */
export interface MaskConnectionsStep {
  readonly action: 'maskConnections';
  readonly layer: string;
  /** Share of its weights; zeros that are there count. */
  readonly share: number;
}

/** Two thin layers in place of one: the best approximation of that rank. */
export interface FactoriseStep {
  readonly action: 'factorise';
  readonly layer: string;
  readonly rank: number;
  /** Convolutions: fewer channels and then 1 x 1 ('channels', the default), or columns and then rows ('spatial'). */
  readonly way?: 'channels' | 'spatial';
}

/** Has particles twice, with half the outgoing weights each. */
export interface GrowStep {
  readonly action: 'grow';
  readonly particles: readonly string[];
  /** Standard deviation of what is added to the copies' own weights, relative to theirs; 0 (function preserving) when left out. */
  readonly noise?: number;
  readonly seed?: number;
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
  /** Change against the model as it is; a lower accuracy is negative. Measured on `samples`, which nothing was chosen by where `chosenOn` is there. */
  readonly loss?: number;
  readonly metric?: { readonly name: string; readonly change: number };
  readonly samples?: number;
  /** The same on the samples by which it was chosen: flattering, as a rule. */
  readonly chosenOn?: { readonly samples: number; readonly loss: number; readonly metric: number };
  /** What the model has afterwards, not the change: parameters, multiply-accumulates, bytes of weights. */
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
  /** Milliseconds a sample takes before and after, measured on the engine here, one at a time. */
  readonly latencyMs?: { readonly before: number; readonly after: number };
}

export interface Suggestion {
  /** Readable and stable within a run: 'remove:conv2' or 'remove:*'. */
  readonly id: string;
  readonly action: PlanStep['action'];
  readonly title: string;
  /** Particles that it is about. */
  readonly particles: readonly string[];
  /** What a plan of it does. */
  readonly steps: readonly PlanStep[];
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

/** The plan of one suggestion, or of several together. */
export function planOf(model: Plan['model'], suggestions: readonly Suggestion[]): Plan {
  const steps = suggestions.flatMap((suggestion) => suggestion.steps);
  const removed = [...new Set(steps.flatMap((step) => (step.action === 'remove' ? step.particles : [])))];
  // What one suggestion removes another may remove too. New weights were computed for one of them alone.
  const others = steps.filter(({ action }) => action !== 'remove' && (action !== 'reconstruct' || suggestions.length === 1));
  return {
    version: 1, model, steps: [...(removed.length ? [{ action: 'remove' as const, particles: removed }] : []), ...others],
    ...(suggestions.length === 1 && { predicted: suggestions[0]!.predicted }),
  };
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
