import type { Dataset } from '../data/dataset';
import type { Engine } from '../graph/engine';
import type { Finding, Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { ParticleKind } from '../graph/ops/operator';
import type { ColumnInfo, ParticleTable } from '../particles/particleTable';
import type { SweepStore, SweepWorkers } from './ablation/work';

export interface BehaviourContext {
  readonly graph: ModelGraph;
  readonly table: ParticleTable;
  readonly engine: Engine;
  readonly data: Dataset;
  /** Only these layers; all when undefined. */
  readonly layers?: ReadonlySet<string>;
  /** Bytes that activations and batches may take at once. */
  readonly memoryBytes: number;
  readonly task?: Task;
  /** Processes that share an exact sweep when it takes long. */
  readonly workers?: SweepWorkers;
  /** Where an exact sweep keeps what it has, and finds what an earlier one had. */
  readonly store?: SweepStore;
  /** Called when values of a column are there (partial columns arrive as the sweep goes). */
  arrived?(column: string, values: Float32Array): void;
  report(finding: Finding): void;
}

export interface BehaviourColumn extends ColumnInfo {
  readonly exact: boolean;
  /** The exact column that this one estimates; the registry measures how well. */
  readonly estimateOf?: string;
}

/** A family of columns computed by running the model; one file each, one register line in registry.ts. */
export interface BehaviourFamily {
  readonly columns: readonly BehaviourColumn[];
  /** Left out, with a finding, when the data has no labels. */
  readonly needsLabels?: boolean;
  /** Computed only when one of its columns is named: it takes long, or few want it. */
  readonly onRequest?: boolean;
  /** The kinds of particles that it is about; a model that has none of them does not get its columns unless they are named. */
  readonly kinds?: readonly ParticleKind[];
  compute(context: BehaviourContext): Promise<readonly Float32Array[]>;
}
