import type { ColumnData, ModelSummary, SuggestResult } from '../compute/protocol';

/** What both kinds of report are made of. */
export interface ReportContent {
  readonly summary: ModelSummary;
  readonly columns: readonly ColumnData[];
  readonly suggestions: SuggestResult;
  readonly maxDrop: number;
  readonly recipe: string;
}

/** Columns that say most, first; those that nothing was computed for are left out. */
export function shownColumns({ columns }: ReportContent): readonly ColumnData[] {
  // A number of another particle is not a colour.
  const filled = columns.filter(({ values, refersTo }) => refersTo !== 'row' && values.some((value) => !Number.isNaN(value)));
  const rank = (name: string): number => (preferred.includes(name) ? preferred.indexOf(name) : preferred.length);
  return [...filled].sort((one, two) => rank(one.name) - rank(two.name));
}

const preferred = ['contribution', 'ablationLossChange', 'activationMean', 'deadShare', 'classSelectivity', 'l2'];

/** Where a column's numbers come from, in words. */
export function originText({ provenance: { source, data, samples, engine, exact } }: ColumnData): string {
  if (source === 'weights') return 'From the weights.';
  return `${exact ? 'Measured' : 'Estimated'} on ${samples} samples of ${data}${engine ? ` with ${engine}` : ''}.`;
}
