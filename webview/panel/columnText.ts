import type { ColumnData } from '../../src/compute/protocol';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { particleName, type ParticleLayer } from '../../src/core/charts/particleLayers';
import type { Provenance } from '../../src/core/particles/particleTable';
import { strings } from '../shared/strings';

/** A value as text: a number with its unit, the particle it names, or that it is missing. */
export function valueText(column: ColumnData, row: number, layers: readonly ParticleLayer[]): string {
  const value = column.values[row];
  if (value === undefined || Number.isNaN(value)) return strings.notComputed;
  return column.refersTo === 'row' ? particleName(layers, value) : formatNumber(value, column.unit);
}

/** Where a column's numbers come from, in one line. */
export function provenanceText({ provenance }: ColumnData): string {
  return sourceText(provenance);
}

export function sourceText(provenance: Provenance): string {
  if (provenance.source === 'weights') return strings.provenanceWeights;
  const { error } = provenance;
  const certainty = provenance.exact
    ? strings.exact
    : error
      ? strings.estimateError(error.spearman.toFixed(3), error.comparedWith)
      : strings.estimate;
  return strings.provenance(
    provenance.source === 'synthetic' ? strings.onSynthetic : strings.onData(provenance.data ?? ''),
    provenance.samples === undefined ? '' : strings.samples(provenance.samples),
    provenance.engine ?? '',
    provenance.seed === undefined ? '' : strings.seed(provenance.seed),
    certainty,
  );
}

/** Columns that colour a map or span an axis; in groups by where they come from, computed ones only. */
export function columnGroups(columns: ReadonlyMap<string, ColumnData>): { label: string; columns: ColumnData[] }[] {
  const usable = [...columns.values()].filter((column) => column.refersTo === undefined);
  return [
    { label: strings.weightsGroup, columns: usable.filter((column) => column.provenance.source === 'weights') },
    { label: strings.behaviourGroup, columns: usable.filter((column) => column.provenance.source !== 'weights') },
  ].filter((group) => group.columns.length > 0);
}

export function hasBehaviour(columns: ReadonlyMap<string, ColumnData>): boolean {
  return [...columns.values()].some((column) => column.provenance.source !== 'weights');
}
