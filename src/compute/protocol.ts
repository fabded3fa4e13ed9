import type { Replacement } from '../core/behaviour/ablation/sweep';
import type { DetailInfo } from '../core/behaviour/details/detail';
import type { DetailData } from '../core/behaviour/details/detailData';
import type { LayerDrift } from '../core/behaviour/activationDrift';
import type { GuessedRecipe } from '../core/data/guessRecipe';
import type { ClassScore, Comparison, Confusion } from '../core/evaluate/comparison';
import type { Evaluation } from '../core/evaluate/evaluation';
import type { Latency } from '../core/evaluate/latency';
import type { Finding, Task } from '../core/graph/errors';
import type { Shape } from '../core/graph/modelGraph';
import type { Goal, Outcome } from '../core/loop/goal';
import type { Round } from '../core/loop/round';
import type { CurvePoint, EpochRow, FineTuned, FineTuneOptions } from '../core/train/fineTune';
import type { OptimiserKind } from '../core/train/optimisers';
import type { Plan, Refusal, ShapeChange } from '../core/optimise/plan';
import type { Suggestions } from '../core/optimise/suggest';
import type { SuggestOptions } from '../core/optimise/suggestOptions';
import type { ReverseFile } from './reverseFile';
import type { ParticleKind } from '../core/graph/ops/operator';
import type { ColumnInfo, Provenance } from '../core/particles/particleTable';

/**
 * What the compute process offers: one typed map, from which call, result and error types follow. Everything in it
 * survives structured cloning; numbers travel as typed arrays.
 */
export interface ComputeMethods {
  engines: { params: Record<string, never>; result: EngineStatus };
  /** Opens a file (or returns the session that has it, when its size and time are unchanged). */
  open: { params: { path: string }; result: ModelSummary };
  close: { params: { model: ModelId }; result: null };
  /** Columns by name; computes weight-only ones that are missing, leaves out behaviour columns not computed yet. */
  columns: { params: { model: ModelId; names?: readonly string[] }; result: readonly ColumnData[] };
  /** Runs behaviour columns; `columns` events bring values as they come. */
  behaviour: { params: BehaviourRequest; result: readonly ColumnData[] };
  /** What can be looked at closely in a layer and in its particles; costs nothing. */
  details: { params: { model: ModelId; layer: string }; result: readonly DetailInfo[] };
  /** Computes one of them. */
  detail: { params: DetailRequest; result: DetailResult };
  /** Weight slices of particles [from, to) of a layer, one after another: [to - from, ...shape of one]. */
  weights: { params: { model: ModelId; layer: string; from: number; to: number }; result: ArrayData };
  /** What particles of a layer do on one sample: [count, ...spatial], plus the sample's picture and prediction. */
  activations: { params: { model: ModelId; recipe: string; layer: string; sample: number }; result: ActivationData };
  /** What the model says of one sample as it is and with these rows of the table off. */
  mutedPrediction: { params: { model: ModelId; recipe: string; sample: number; rows: readonly number[] }; result: MutedPrediction };
  suggest: { params: SuggestRequest; result: SuggestResult };
  /** What a plan would change, without writing. */
  preview: { params: { model: ModelId; plan: Plan }; result: PlanPreview };
  /** Writes the changed model beside the original (never over a file); returns what was written. */
  apply: { params: { model: ModelId; plan: Plan; folder: string; name?: string }; result: ApplyResult };
  /** Exact effects of some particles, one after the other (core/behaviour/ablation/effects.ts): how processes share a sweep. None when they cannot be told apart. */
  sweep: { params: SweepRequest; result: { readonly effects: Float32Array } };
  evaluate: { params: { model: ModelId; recipe: string; samples?: number }; result: Evaluation };
  /** The same with measured latency, file size and confusion; with `against`, which classes and samples paid. */
  evaluateClosely: { params: CloseRequest; result: CloseEvaluation };
  /** Trains further and writes the result into a folder; `training` events bring the curves. A cancelled run can be resumed. */
  train: { params: TrainRequest; result: TrainResult };
  /** Holds training of a model between two steps, or lets it go on. */
  pauseTraining: { params: { model: ModelId; paused: boolean }; result: null };
  /** Removes, trains and evaluates until the target is met; `round` and `training` events tell how it goes. Called again, it goes on. */
  loop: { params: LoopRequest; result: LoopResult };
  /** The rounds of a model that are kept in a folder, by default the one beside it. */
  rounds: { params: { model: ModelId; folder?: string; maxDrop?: number }; result: RoundsResult };
  /** Keeps a model file that the user's own training made as the next round. */
  addRound: { params: { model: ModelId; recipe: string; file: string; folder?: string; title?: string; parent?: number }; result: RoundSummary };
  /** Recipes in the folder of the model that fit its inputs, best first. */
  recipes: { params: { model: ModelId }; result: readonly RecipeMatch[] };
  /** A recipe that joins the model and these files or folders, with what was guessed and why. Writes it to `out` when given, never over a file. */
  guessRecipe: { params: { model: ModelId; files: readonly string[]; out?: string }; result: RecipeGuess };
  /** How differently each layer responds to two splits of a recipe: drift in the model's own activations. */
  activationDrift: { params: { model: ModelId; recipe: string; split: string; comparedWith: string; samples?: number }; result: readonly LayerDrift[] };
}

export type ModelId = string;
export type Method = keyof ComputeMethods;
export type Params<M extends Method> = ComputeMethods[M]['params'];
export type Result<M extends Method> = ComputeMethods[M]['result'];

/** What a running call gets: cancellation, progress, and a way to send columns before all of them are there. */
export interface ComputeTask extends Task {
  columns?(model: ModelId, columns: readonly ColumnData[]): void;
  training?(model: ModelId, update: TrainingUpdate): void;
  round?(model: ModelId, round: RoundSummary): void;
}

/** The implementation of the map: `createSessions(options)` returns one. Rejects with a ParticlizeError or CancelledError. */
export type MethodTable = {
  readonly [M in Method]: (params: Params<M>, task: ComputeTask) => Promise<Result<M>>;
};

/** Settings that hold for the life of a compute process; it is started anew when one of them changes. */
export interface ComputeOptions {
  /** 'auto' takes the fastest that works here. */
  readonly engine: 'auto' | 'ort-native' | 'ort-web' | 'tfjs-wasm' | 'tfjs-node';
  /** 0: as many as the machine has cores. */
  readonly threads: number;
  readonly memoryMegabytes: number;
  /** Processes that share an exact sweep; missing: as many as threads, 1: none but this one. */
  readonly workers?: number;
  /** Where exact sweeps keep what they have found, to go on after a cancel; missing: nowhere. */
  readonly cacheFolder?: string;
}

export interface EngineStatus {
  /** The one that runs by default, and all that were found. */
  readonly current: string;
  readonly available: readonly { readonly id: string; readonly title: string }[];
  /** Why a better one is not used: 'onnxruntime-node is not installed for darwin-x64'. */
  readonly notes: readonly string[];
}

export interface LayerSummary {
  readonly name: string;
  /** The file's own word. */
  readonly type: string;
  readonly outputShape?: Shape;
  readonly parameters: number;
  /** undefined where sizes are not known without running. */
  readonly macs?: number;
  /** Particles, when it has any. */
  readonly particles?: { readonly kind: ParticleKind; readonly count: number; readonly firstRow: number };
  /** Layers that consume its output. */
  readonly next: readonly string[];
  /** Why coupling stops or removal is refused here, when it does. */
  readonly note?: string;
}

export interface ModelSummary {
  readonly model: ModelId;
  readonly path: string;
  readonly format: string;
  readonly formatTitle: string;
  readonly producer: string;
  /** See fileDigest: of a large file not of all its bytes. */
  readonly sha256: string;
  /** With its shards and external data. */
  readonly sizeBytes: number;
  readonly inputs: readonly { readonly name: string; readonly shape?: Shape; readonly dtype?: string }[];
  readonly outputs: readonly { readonly name: string; readonly shape?: Shape; readonly dtype?: string }[];
  readonly layers: readonly LayerSummary[];
  readonly particleCount: number;
  readonly parameters: number;
  readonly macs: number;
  readonly findings: readonly Finding[];
  readonly writable: boolean;
}

export interface ColumnData extends ColumnInfo {
  readonly provenance: Provenance;
  /** One a row of the table; NaN where not computed. */
  readonly values: Float32Array;
}

export interface ArrayData {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface BehaviourRequest {
  readonly model: ModelId;
  readonly recipe: string;
  readonly columns?: readonly string[];
  readonly layers?: readonly string[];
  readonly samples?: number;
  readonly seed?: number;
}

export interface SweepRequest {
  readonly model: ModelId;
  /** Requests of one run find the samples loaded. */
  readonly run: string;
  readonly recipe: string;
  readonly samples?: number;
  readonly seed?: number;
  readonly layer: string;
  readonly replacement: Replacement;
  readonly particles: readonly number[];
  /** Of the model that the asking process has. */
  readonly sha256: string;
}

export interface DetailRequest {
  readonly model: ModelId;
  readonly name: string;
  readonly layer: string;
  /** Index in the layer, for details of one particle. */
  readonly particle?: number;
  /** Details of weights alone do without. */
  readonly recipe?: string;
  /** The sample to show, for details of one; the first one by default. */
  readonly sample?: number;
  readonly samples?: number;
  readonly seed?: number;
}

export interface DetailResult {
  readonly info: DetailInfo;
  readonly data: DetailData;
  readonly provenance: Provenance;
}

export interface ActivationData extends ArrayData {
  /** How many samples the recipe gives. */
  readonly samples: number;
  readonly picture?: ArrayData;
  readonly label?: string;
  readonly prediction: Prediction;
}

export interface Prediction {
  readonly classes: readonly string[];
  /** Probabilities for a classification, else the output as it is; of a sequence its last place. */
  readonly scores: Float32Array;
}

export interface MutedPrediction extends Prediction {
  /** How many samples the recipe gives. */
  readonly samples: number;
  readonly label?: string;
  /** As `scores`, with the particles off. */
  readonly muted: Float32Array;
}

export interface SuggestRequest extends Pick<SuggestOptions, 'maxDrop' | 'target' | 'limits' | 'multipleOf' | 'front' | 'criterion'> {
  readonly model: ModelId;
  readonly recipe: string;
  readonly samples?: number;
}

export type SuggestResult = Suggestions;

export interface TrainRequest {
  readonly model: ModelId;
  readonly recipe: string;
  readonly settings: TrainSettings;
  /** Is made when it is not there; nothing in it is written over. */
  readonly folder: string;
  /** Of the new model file. */
  readonly name?: string;
  /** File of the model that is learnt from (the original of a pruned one). */
  readonly distil?: string;
  /** Goes on from the checkpoint in the folder. */
  readonly resume?: boolean;
}

/** What is left out is taken from fineTuneOptions in trainJob.ts. */
export interface TrainSettings extends
  Pick<FineTuneOptions, 'epochs' | 'steps' | 'patience' | 'distillation' | 'loss' | 'clipNorm' | 'frozenLayers' | 'freezeBatchNorm' | 'dropout'>,
  Partial<Pick<FineTuneOptions, 'batch' | 'seed' | 'learningRate' | 'warmUpSteps'>> {
  readonly optimiser?: OptimiserKind;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
  /** 'step' divides by ten after each third. */
  readonly schedule?: 'constant' | 'cosine' | 'step';
}

/** What is new since the last: points of the curves, rows of the table. */
export interface TrainingUpdate {
  readonly points: readonly CurvePoint[];
  readonly rows: readonly EpochRow[];
}

export interface TrainResult extends Omit<FineTuned, 'graph'> {
  /** Absolute paths; the first is the model. */
  readonly files: readonly string[];
  readonly trainingSamples: number;
  /** 0: there were too few to hold any out, and the last weights were kept. */
  readonly validationSamples: number;
}

export interface LoopRequest extends LoopGoal {
  readonly model: ModelId;
  readonly recipe: string;
  /** Where rounds are kept; `.particlize` beside the model by default. */
  readonly folder?: string;
  /** Of every round; 'cosine' unless it names a schedule. */
  readonly settings: TrainSettings;
  /** Each round also learns from the original's outputs. */
  readonly distil?: boolean;
  /** How particles are chosen: by what is lost once the next layers make up for it (the default, where MACs are the target), or by exact ablation. */
  readonly criterion?: LoopCriterion;
  /** Training rows that particles are chosen on; 512 by default. */
  readonly samples?: number;
  readonly seed?: number;
}

export type LoopCriterion = 'compensated' | 'ablation';

export type LoopGoal = Pick<Goal, 'target' | 'maxDrop'> & Partial<Pick<Goal, 'rounds'>>;

export interface RoundSummary extends Round {
  /** Absolute. */
  readonly folder: string;
  readonly modelPath: string;
  /** Of the deciding metric against the original; negative is a gain. */
  readonly drop: number;
  readonly withinDrop: boolean;
  /** The cheapest within the drop. */
  readonly best: boolean;
}

export interface LoopResult extends Outcome {
  readonly folder: string;
  readonly rounds: readonly RoundSummary[];
  /** Absolute path of the best round's model. */
  readonly model: string;
  /** Rounds that no other one beats in both MACs and metric. */
  readonly pareto: readonly number[];
  readonly findings: readonly Finding[];
}

export interface RoundsResult {
  readonly folder: string;
  readonly rounds: readonly RoundSummary[];
  /** Rounds that cannot be read. */
  readonly findings: readonly Finding[];
}

export interface CloseRequest {
  readonly model: ModelId;
  readonly recipe: string;
  readonly samples?: number;
  /** File of the model that it is compared with (the original of a pruned one). */
  readonly against?: string;
}

export interface CloseEvaluation extends Evaluation {
  readonly fileBytes: number;
  readonly latency: Latency;
  /** Of classification, up to 200 classes. */
  readonly confusion?: Confusion;
  readonly classes?: readonly ClassScore[];
  readonly against?: Evaluation & { readonly fileBytes: number; readonly latency: Latency; readonly confusion?: Confusion };
  readonly comparison?: Comparison;
}

export interface PlanPreview {
  readonly changes: readonly ShapeChange[];
  readonly refusals: readonly Refusal[];
  /** What else there is to say, one sentence each. */
  readonly notes?: readonly string[];
  readonly before: { readonly parameters: number; readonly macs: number; readonly bytes: number };
  readonly after: { readonly parameters: number; readonly macs: number; readonly bytes: number };
}

export interface ApplyResult extends PlanPreview {
  /** Absolute paths; the first is the model, the last ones the plan that was carried out and the way back. */
  readonly files: readonly string[];
  readonly reverse: ReverseFile;
}

export interface RecipeGuess extends GuessedRecipe {
  /** Where it was written. */
  readonly path?: string;
}

export interface RecipeMatch {
  readonly path: string;
  readonly fits: boolean;
  /** Why it does not fit, in one sentence. */
  readonly reason?: string;
}

/** Host to compute. */
export type Request =
  | { readonly kind: 'call'; readonly id: number; readonly method: Method; readonly params: unknown }
  | { readonly kind: 'cancel'; readonly id: number };

/** Compute to host. */
export type Response =
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: RemoteError }
  | { readonly kind: 'progress'; readonly id: number; readonly done: number; readonly total: number; readonly message?: string }
  | { readonly kind: 'columns'; readonly id: number; readonly model: ModelId; readonly columns: readonly ColumnData[] }
  | { readonly kind: 'training'; readonly id: number; readonly model: ModelId; readonly update: TrainingUpdate }
  | { readonly kind: 'round'; readonly id: number; readonly model: ModelId; readonly round: RoundSummary }
  | { readonly kind: 'ready' };

export interface RemoteError {
  /** One clear sentence for the user. */
  readonly message: string;
  readonly cancelled?: boolean;
  /** Something nobody foresaw: offered to the log, never shown as it is. */
  readonly stack?: string;
}
