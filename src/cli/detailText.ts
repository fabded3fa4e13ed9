import type { DetailResult, ModelSummary } from '../compute/protocol';
import type { DetailData, Series } from '../core/behaviour/details/detailData';
import { rowIds } from './columnRows';
import { figure, textTable } from './textTable';

/** A detail for scripts: typed arrays as lists, row numbers as ids, values that are not known as null. */
export function detailJson({ info, data, provenance }: DetailResult, summary: ModelSummary): unknown {
  const ids = rowIds(summary);
  const plain = (value: unknown, key?: string): unknown => {
    if (ArrayBuffer.isView(value)) {
      const list = Array.from(value as Float32Array);
      return rowKeys.has(key ?? '') ? list.map((row) => ids[row]?.id ?? null) : list.map((number) => (Number.isFinite(number) ? number : null));
    }
    if (Array.isArray(value)) return value.map((item) => plain(item));
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, name)]));
    return typeof value === 'number' && !Number.isFinite(value) ? null : value;
  };
  return { detail: info, data: plain(data), provenance };
}

/** Fields of typed arrays that hold rows of the particle table. */
const rowKeys: ReadonlySet<string> = new Set(['rows', 'one', 'two']);

/** A detail for people: a heading and a table. */
export function detailText({ info, data }: DetailResult, summary: ModelSummary): string {
  const { head, rows } = tableOf(data, rowIds(summary).map(({ id }) => id));
  return `${info.title}: ${info.meaning}\n\n${textTable(head, rows)}`;
}

type Cells = readonly (string | number | undefined)[];

function tableOf(data: DetailData, ids: readonly string[]): { head: readonly string[]; rows: readonly Cells[] } {
  const id = (row: number): string => ids[row] ?? '';
  switch (data.kind) {
    case 'bars': return { head: [data.labelTitle, data.valueTitle], rows: data.labels.map((label, index) => [label, known(data.values[index]!)]) };
    case 'lines': return { head: [data.xTitle, ...data.series.map(({ name }) => name)], rows: Array.from(data.x, (x, index) => [x, ...seriesAt(data.series, index)]) };
    case 'text': return { head: ['Token', ...data.series.map(({ name }) => name)], rows: data.tokens.map((token, index) => [JSON.stringify(token), ...seriesAt(data.series, index)]) };
    case 'matrix': return {
      head: [data.rowTitle, ...data.columns],
      rows: data.rows.map((row, at) => [row, ...data.columns.map((_, index) => known(data.values[at * data.columns.length + index]!))]),
    };
    case 'samples': return {
      head: ['Sample', data.scoreTitle, 'Label', 'Text'],
      rows: data.samples.map(({ index, score, label, text }) => [index, known(score), label, text && textWindow(text)]),
    };
    case 'points': return {
      head: ['particle', data.xTitle, data.yTitle, ...(data.clusters ? ['Cluster'] : [])],
      rows: Array.from(data.rows, (row, index) => [id(row), known(data.x[index]!), known(data.y[index]!), ...(data.clusters ? [data.clusters[index]] : [])]),
    };
    case 'pairs': return { head: ['particle', 'with', data.valueTitle], rows: Array.from(data.one, (row, index) => [id(row), id(data.two[index]!), figure(data.values[index]!)]) };
  }
}

function seriesAt(series: readonly Series[], index: number): (number | undefined)[] {
  return series.map(({ values }) => known(values[index]!));
}

function known(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

/** The token that scored in brackets. */
function textWindow({ tokens, at }: { readonly tokens: readonly string[]; readonly at: number }): string {
  return JSON.stringify(tokens.map((token, index) => (index === at ? `[${token}]` : token)).join(tokens.some((token) => token.length > 1) ? ' ' : ''));
}
