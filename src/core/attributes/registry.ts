import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { ColumnInfo, ParticleTable } from '../particles/particleTable';
import type { AttributeFamily, AttributeServices } from './attribute';
import { effectiveRank } from './effectiveRank';
import { similarity } from './similarity';
import { size } from './size';
import { weightStatistics } from './weightStatistics';

/** Every family of weight-only columns; a new one is one file and one line here. */
export const attributeFamilies: readonly AttributeFamily[] = [weightStatistics, size, similarity, effectiveRank];

export const attributeColumns: readonly ColumnInfo[] = attributeFamilies.flatMap((family) => family.columns);

/** Adds the named weight-only columns (all that are not only for who asks for them, when undefined) to the table; those that are there already cost nothing. */
export async function addAttributes(
  graph: ModelGraph, table: ParticleTable, names?: ReadonlySet<string>, task?: Task, services?: AttributeServices,
): Promise<void> {
  const wanted = attributeFamilies.filter((family) =>
    family.columns.some(({ name }) => (names ? names.has(name) : !family.onRequest) && !table.column(name)),
  );
  for (const [done, family] of wanted.entries()) {
    throwIfCancelled(task);
    task?.progress?.(done, wanted.length, family.columns[0]?.title);
    const values = await family.compute(graph, table, task, services);
    family.columns.forEach((column, index) =>
      table.add({ ...column, provenance: { source: 'weights', exact: true }, values: values[index]! }),
    );
  }
}
