import type { Method, ModelSummary, Params, Result, ColumnData, SuggestResult, RoundsResult, TrainingUpdate } from './protocol';

/**
 * Between panel and host. The panel pulls: it calls the compute methods (the host passes them on, for its own model
 * only) and the host's own; the host pushes events while the panel is visible and a snapshot when it becomes so.
 */
export type PanelCompute = Extract<Method, 'columns' | 'weights' | 'activations' | 'details' | 'detail' | 'mutedPrediction' | 'evaluate' | 'preview'>;

/** Columns of up to this many rows travel whole. */
export const inlineRows = 65_536;

export interface HostMethods {
  /** All the panel needs to draw itself anew. */
  snapshot: { params: Record<string, never>; result: PanelSnapshot };
  /** Rows [from, to) of a column whose values did not come with it. */
  values: { params: { column: string; from: number; to: number }; result: Float32Array };
  goToDefinition: { params: { layer: string }; result: { found: boolean; message?: string } };
  select: { params: { rows: readonly number[] }; result: null };
  runBehaviour: { params: { columns?: readonly string[] }; result: null };
  cancel: { params: Record<string, never>; result: null };
  suggest: { params: { maxDrop: number }; result: null };
  /** Opens VS Code's refactor preview for these suggestions. */
  applySuggestions: { params: { ids: readonly string[] }; result: { applied: boolean; message?: string } };
  chooseRecipe: { params: Record<string, never>; result: null };
  /** Asks where to, writes, reports. */
  saveFile: { params: { name: string; content: string | Uint8Array }; result: { path?: string } };
  /** Writes a line to the Particlize output. */
  log: { params: { level: 'info' | 'warn' | 'error'; message: string }; result: null };
}

/**
 * What the panel hands to `setState`, so that VS Code can bring it back after a window reload: `path` is
 * `snapshot.summary.path`, the rest is the panel's own. Its page is `<main id="root">`, `panel.css` and `panel.js`.
 */
export interface PanelState {
  readonly path: string;
  readonly view?: unknown;
}

export interface PanelSnapshot {
  readonly summary: ModelSummary;
  /** Of large models (more rows than inlineRows) without values, here and in `columns` events: the panel asks for the ranges that it shows. */
  readonly columns: readonly ColumnData[];
  readonly recipe?: { readonly path: string; readonly title: string };
  /** Its title, as users know it. */
  readonly engine: string;
  readonly suggestions?: SuggestResult;
  readonly running?: Running;
  readonly selection: readonly number[];
  readonly focus?: Focus;
  /** Layers whose definition in code is known. */
  readonly linkedLayers: readonly string[];
  readonly error?: string;
  /** Rounds of removing and training, when there are any. */
  readonly rounds?: RoundsResult;
  /** Curves of the training that goes on, or was the last. */
  readonly curve?: TrainingUpdate;
}

/** What another face (tree, code lens) asked to look at: a layer, or one particle of it. */
export interface Focus {
  readonly layer: string;
  readonly row?: number;
  /** Told apart from the last one by this number: a snapshot repeats it, and must not turn the page again. */
  readonly turn: number;
}

export interface Running {
  readonly title: string;
  readonly done: number;
  readonly total: number;
  readonly message?: string;
  readonly remainingMs?: number;
}

export type PanelRequest =
  | { readonly kind: 'compute'; readonly id: number; readonly method: PanelCompute; readonly params: Omit<Params<PanelCompute>, 'model'> }
  | { readonly kind: 'host'; readonly id: number; readonly method: keyof HostMethods; readonly params: unknown };

export type PanelEvent =
  | { readonly kind: 'result'; readonly id: number; readonly result: Result<PanelCompute> | unknown }
  | { readonly kind: 'error'; readonly id: number; readonly message: string }
  | { readonly kind: 'snapshot'; readonly snapshot: PanelSnapshot }
  | { readonly kind: 'columns'; readonly columns: readonly ColumnData[] }
  | { readonly kind: 'running'; readonly running?: Running }
  | { readonly kind: 'rounds'; readonly rounds: RoundsResult }
  /** All of the curve; at most ten times a second. */
  | { readonly kind: 'curve'; readonly curve: TrainingUpdate }
  | { readonly kind: 'suggestions'; readonly suggestions: SuggestResult }
  | { readonly kind: 'selection'; readonly rows: readonly number[]; readonly focus?: Focus };
