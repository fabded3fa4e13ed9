import * as vscode from 'vscode';
import type { CloseEvaluation } from '../../compute/protocol';
import { formatNumber } from '../format';

/** What a round costs against the original, and who pays, as Markdown. */
export function comparisonText(title: string, { against, comparison, ...now }: CloseEvaluation): string {
  if (!against || !comparison) return '';
  const row = (name: string, before: number, after: number): string => `| ${name} | ${formatNumber(before)} | ${formatNumber(after)} |`;
  const table = (heads: readonly string[], rows: readonly string[]): string => [`| ${heads.join(' | ')} |`, `|${heads.map((_, index) => (index ? '---:' : '---')).join('|')}|`, ...rows, ''].join('\n');
  const [original, round] = [vscode.l10n.t('original'), vscode.l10n.t('this round')];
  return [
    `# ${title}`, '',
    vscode.l10n.t('Of {0} samples, {1} are worse and {2} better than with the original.', comparison.samples, comparison.lost, comparison.won), '',
    table(['', original, round], [
      ...Object.entries(now.metrics).map(([name, value]) => row(name, against.metrics[name] ?? NaN, value)),
      row(vscode.l10n.t('loss'), against.loss, now.loss), row(vscode.l10n.t('parameters'), against.parameters, now.parameters), row('MACs', against.macs, now.macs),
      row(vscode.l10n.t('bytes of the file'), against.fileBytes, now.fileBytes), row(vscode.l10n.t('milliseconds a sample'), against.latency.medianMs, now.latency.medianMs),
    ]),
    vscode.l10n.t('Time is the median of {0} runs, one sample at a time, with {1} on {2} threads.', now.latency.runs, now.latency.engine, now.latency.threads), '',
    ...(comparison.classes
      ? [`## ${vscode.l10n.t('Classes that paid')}`, '', table([vscode.l10n.t('class'), original, round], comparison.classes.map(({ name, before, after }) => row(escaped(name), before, after)))]
      : []),
    ...(comparison.paid.length > 0
      ? [`## ${vscode.l10n.t('Samples whose loss rose most')}`, '', table([vscode.l10n.t('sample'), original, round], comparison.paid.map(({ title: name, before, after }) => row(escaped(name), before, after)))]
      : []),
  ].join('\n');
}

/** Class names come out of files. */
function escaped(text: string): string {
  return text.replace(/[\\|`*_<>[\]#\n\r]/g, (character) => (/\s/.test(character) ? ' ' : `\\${character}`));
}
