import type { Finding, Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { ColumnInfo, ParticleTable } from '../particles/particleTable';
import type { WeightSummer } from './sums/weightSummer';

/** A family of columns computed from weights alone; one file each, one register line in registry.ts. */
export interface AttributeFamily {
  readonly columns: readonly ColumnInfo[];
  /** Computed only when one of its columns is named: it takes long on large models. */
  readonly onRequest?: boolean;
  /** One array of `table.rowCount` values a column, in the order of `columns`. */
  compute(graph: ModelGraph, table: ParticleTable, task?: Task, services?: AttributeServices): Promise<readonly Float32Array[]>;
}

/** What the surroundings lend: more threads, and an ear for what could not be computed. */
export interface AttributeServices {
  readonly summer?: WeightSummer;
  report?(finding: Finding): void;
}
