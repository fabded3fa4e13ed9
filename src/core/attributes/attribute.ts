import type { Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { ColumnInfo, ParticleTable } from '../particles/particleTable';

/** A family of columns computed from weights alone; one file each, one register line in registry.ts. */
export interface AttributeFamily {
  readonly columns: readonly ColumnInfo[];
  /** One array of `table.rowCount` values a column, in the order of `columns`. */
  compute(graph: ModelGraph, table: ParticleTable, task?: Task): Promise<readonly Float32Array[]>;
}
