import * as vscode from 'vscode';
import type { ColumnData } from '../compute/protocol';
import type { Model } from './model';

/** A value as the tree and tooltips show it: short, with its unit; a dash where there is none. */
export function formatValue(model: Model, column: ColumnData, row: number): string {
  const value = column.values[row];
  if (value === undefined || Number.isNaN(value)) return '–';
  if (column.refersTo === 'row') return model.idOf(value);
  if (column.unit === 'share') return `${formatNumber(value * 100)} %`;
  return column.unit ? `${formatNumber(value)} ${column.unit}` : formatNumber(value);
}

/** Three significant digits, without a tail of zeros; large counts in full. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** '16 kernels', '1 neuron'. */
export function formatCount(count: number, kind: string): string {
  return `${count.toLocaleString('en')} ${kind}${count === 1 ? '' : 's'}`;
}

export function formatShare(part: number, whole: number): string {
  const percent = whole > 0 ? (100 * part) / whole : 0;
  return `${percent > 0 && percent < 1 ? '< 1' : percent.toFixed(0)} %`;
}

/** '4.1× fewer MACs'; where that would be about 1×, '3 % fewer MACs'. */
export function formatFewerMacs(before: number, after: number): string {
  const times = before / Math.max(1, after);
  return vscode.l10n.t('{0} fewer MACs', times >= 1.15 ? `${times.toFixed(1)}×` : formatShare(before - after, before));
}
