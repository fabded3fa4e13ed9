import type { ColumnData } from '../compute/protocol';
import { originText, shownColumns, type ReportContent } from './reportContent';
import { figure } from './textTable';

/** A notebook of finished outputs for Particlize's renderer, with plain text where that is not installed. */
export function notebookReport(content: ReportContent): string {
  const { summary, suggestions: { baseline, suggestions, refusals }, maxDrop, recipe } = content;
  const name = summary.path.split(/[/\\]/).pop()!;
  const cells = [
    markdown(`# ${name}`, '', `${summary.formatTitle}, ${figure(summary.particleCount)} particles, ${figure(summary.parameters)} parameters, ${figure(summary.macs)} multiply-accumulates for one sample.`),
    markdown('## How good it is', '', ...tableLines(['measure', 'value'], [
      ['loss', baseline.loss], ...Object.entries(baseline.metrics), ['samples', baseline.samples], ['data', recipe], ['engine', baseline.engine]])),
    markdown('## Its particles', '', 'One cell a particle.'),
    ...shownColumns(content).flatMap((column) => [markdown(`### ${column.title}`, '', `${column.meaning} ${originText(column)}`), heatmapCell(column, content)]),
    markdown('## What can go', '', ...(suggestions.length
      ? tableLines(['suggestion', 'removes', `change of ${baseline.decisive.name}`, 'parameters left', 'why'], suggestions.map(({ title, particles, predicted, evidence }) =>
        [title, particles.length, predicted.metric?.change, predicted.parameters, evidence]))
      : [`Nothing within a drop of ${figure(maxDrop)}.`])),
    ...(refusals.length ? [markdown('### What stays', '', ...refusals.map(({ layer, reason }) => `- \`${layer}\`: ${reason}`))] : []),
  ];
  return `${JSON.stringify({
    cells: cells.map((cell, index) => ({ id: `cell${index}`, ...cell })),
    metadata: { language_info: { name: 'python' } }, nbformat: 4, nbformat_minor: 5,
  }, null, 1)}\n`;
}

function heatmapCell(column: ColumnData, { summary }: ReportContent): object {
  const groups = summary.layers.flatMap(({ name, particles }) => (particles ? [{ name, ...particles }] : []));
  const values = groups.flatMap(({ firstRow, count }) => Array.from(column.values.subarray(firstRow, firstRow + count), shortened));
  const payload = {
    version: 1, kind: 'heatmap', title: `${column.title} of every particle`,
    layers: groups.map(({ name, kind, count }) => ({ name, kind, count })),
    column: { name: column.name, title: column.title, unit: column.unit, scale: column.scale, meaning: column.meaning }, values,
  };
  const plain = groups.map(({ name, count }) => `${name}: ${count} particles\n`);
  return {
    cell_type: 'code', execution_count: null, metadata: {}, source: [`# ${column.title}, computed by Particlize`],
    outputs: [{
      output_type: 'display_data', metadata: {},
      data: { 'application/vnd.particlize.v1+json': payload, 'text/plain': [`${column.title}\n`, ...plain] },
    }],
  };
}

/** Five digits: a notebook is read by people and kept in version control. */
function shortened(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(5)) : null;
}

function markdown(...lines: readonly string[]): object {
  return { cell_type: 'markdown', metadata: {}, source: lines.map((line, index) => (index < lines.length - 1 ? `${line}\n` : line)) };
}

function tableLines(head: readonly string[], rows: readonly (readonly (string | number | undefined)[])[]): string[] {
  const cellText = (value: string | number | undefined): string => (typeof value === 'number' ? figure(value) : (value ?? '').replaceAll('|', '\\|'));
  const line = (row: readonly (string | number | undefined)[]): string => `| ${row.map(cellText).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
