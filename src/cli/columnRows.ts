import type { ColumnData, ModelSummary } from '../compute/protocol';
import { particleId } from '../core/particles/particle';
import { textTable } from './textTable';

/** Columns as the contract of the command line has them: information about each, and a row a particle. */
export interface ColumnRows {
  readonly columns: readonly { readonly name: string; readonly title: string; readonly unit: string; readonly meaning: string; readonly provenance: ColumnData['provenance'] }[];
  /** `id`, then one value a column; null where it does not apply. */
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
}

export function columnRows(summary: ModelSummary, columns: readonly ColumnData[], layers?: readonly string[]): ColumnRows {
  const ids = rowIds(summary);
  const rows = ids.flatMap(({ id, layer }, row) => {
    if (layers && !layers.includes(layer)) return [];
    const values = columns.map((column) => {
      const value = column.values[row]!;
      if (!Number.isFinite(value)) return [column.name, null] as const;
      return [column.name, column.refersTo === 'row' ? ids[value]?.id ?? null : value] as const;
    });
    return [{ id, ...Object.fromEntries(values) }];
  });
  return {
    columns: columns.map(({ name, title, unit, meaning, provenance }) => ({ name, title, unit, meaning, provenance })),
    rows,
  };
}

export function columnText({ columns, rows }: ColumnRows): string {
  return textTable(
    ['particle', ...columns.map(({ title, unit }) => (unit ? `${title} [${unit}]` : title))],
    rows.map((row) => [String(row['id']), ...columns.map(({ name }) => row[name] ?? undefined)]),
  );
}

/** RFC 4180, names of columns in the first row. */
export function columnCsv({ columns, rows }: ColumnRows): string {
  const names = ['id', ...columns.map(({ name }) => name)];
  const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const lines = rows.map((row) => names.map((name) => quoted(String(row[name] ?? ''))).join(','));
  return `${[names.join(','), ...lines].join('\r\n')}\r\n`;
}

/** Ids by row of the table, from the summary alone. */
export function rowIds(summary: ModelSummary): readonly { readonly id: string; readonly layer: string }[] {
  const ids: { id: string; layer: string }[] = new Array(summary.particleCount);
  for (const { name, particles } of summary.layers) {
    for (let index = 0; index < (particles?.count ?? 0); index++) {
      ids[particles!.firstRow + index] = { id: particleId({ layer: name, kind: particles!.kind, index }), layer: name };
    }
  }
  return Array.from(ids, (entry, row) => entry ?? { id: `row ${row}`, layer: '' });
}
