import * as vscode from 'vscode';
import type { LayerSummary } from '../../compute/protocol';
import type { Link } from '../../core/source/definition';
import { commands } from '../contributions';
import { formatCount, formatNumber, formatShare, formatValue } from '../format';
import { importanceColumn, layerNumbers, valuesOf } from '../layerNumbers';
import type { Model } from '../model';
import type { Services } from '../services';
import { setting } from '../settings';
import { linksAt, sourceLanguages } from '../sourceLinks';
import { placeOf } from '../sourceProgram';
import { histogramSvg } from './histogramSvg';

/** Layers of one definition that a hover shows in full. */
const mostLayers = 3;

/** Over a layer's definition: how its particles' worth is spread, its key numbers, and the ways on. */
export function registerHover({ links }: Services): vscode.Disposable {
  return vscode.languages.registerHoverProvider(sourceLanguages.map((language) => ({ language })), {
    provideHover: async (document, position, token) => {
      if (!setting('hover.enabled', document.uri)) return undefined;
      const found = links.known(document) ?? (await links.modelOf(document));
      if (!found || token.isCancellationRequested) return undefined;
      const own = linksAt(found, document, position);
      const [first] = own;
      const place = first && placeOf(found.program, first.definition.anchor);
      // Only over the layer's name and call head: the arguments belong to the language's own hovers.
      if (!first || !place || place.range.start.line !== position.line) return undefined;
      const shown = own.flatMap((link) => layerText(found.model, link) ?? []);
      if (shown.length === 0) return undefined;
      const more = shown.length > mostLayers ? [new vscode.MarkdownString(vscode.l10n.t('and {0} more layers of this definition', shown.length - mostLayers))] : [];
      return new vscode.Hover([...shown.slice(0, mostLayers), ...more], place.range);
    },
  });
}

function layerText(model: Model, link: Link): vscode.MarkdownString | undefined {
  const layer = model.layer(link.layer);
  const numbers = layer && layerNumbers(model, [layer]);
  if (!layer || !numbers) return undefined;
  const text = new vscode.MarkdownString('', true);
  // Nothing but our own commands, whatever a layer's name looks like.
  text.isTrusted = { enabledCommands: [commands.revealFromCode, commands.linkLayer] };
  text.appendMarkdown(`**${escaped(layer.name)}** · ${escaped(layer.type)} · ${escaped(model.title)}\n\n`);
  const argument = encodeURIComponent(JSON.stringify([{ model: model.uri.fsPath, layer: layer.name }]));
  text.appendMarkdown(`[$(target) ${vscode.l10n.t('Show its particles')}](command:${commands.revealFromCode}?${argument})`);
  text.appendMarkdown(` · ${escaped(vscode.l10n.t('linked: {0}, {1} %', link.reason, Math.round(100 * link.confidence)))}\n\n`);
  const chart = chartOf(model, layer);
  if (chart) text.appendMarkdown(chart);
  const rows: [string, string][] = [[vscode.l10n.t('Particles'), formatCount(numbers.count, numbers.kind)]];
  const part = (title: string, count: number | undefined): void => {
    if (count !== undefined) rows.push([title, `${count} (${formatShare(count, numbers.count)})`]);
  };
  part(vscode.l10n.t('Dead'), numbers.dead);
  part(vscode.l10n.t('Redundant'), numbers.redundant);
  part(vscode.l10n.t('Harmless'), numbers.harmless);
  if (layer.macs !== undefined && numbers.macs !== undefined) rows.push([vscode.l10n.t('MACs'), `${formatNumber(layer.macs)} (${formatShare(numbers.macs, 1)})`]);
  rows.push([vscode.l10n.t('Parameters'), `${layer.parameters.toLocaleString('en')} (${formatShare(numbers.parameters, 1)})`]);
  if (layer.outputShape) rows.push([vscode.l10n.t('Output'), layer.outputShape.map((size) => size ?? '?').join(' × ')]);
  text.appendMarkdown(`| | |\n|:--|--:|\n${rows.map(([name, value]) => `| ${escaped(name)} | ${escaped(value)} |`).join('\n')}\n\n`);
  return text;
}

function chartOf(model: Model, layer: LayerSummary): string | undefined {
  const column = importanceColumn(model, layer);
  const values = column && valuesOf(model, layer, column.name);
  if (!column || !values) return undefined;
  const dark = vscode.window.activeColorTheme.kind === vscode.ColorThemeKind.Dark || vscode.window.activeColorTheme.kind === vscode.ColorThemeKind.HighContrast;
  const colours = dark ? { bar: '#4c9be8', low: '#d9822b', text: '#cccccc' } : { bar: '#1f6fb5', low: '#c25a00', text: '#444444' };
  const limit = column.name.endsWith('LossChange') ? 0 : undefined;
  const write = (value: number): string => formatValue(model, { ...column, values: Float32Array.of(value) }, 0);
  const svg = histogramSvg({ values, limit }, write, colours);
  const alt = vscode.l10n.t('{0}: how it is spread over {1}', column.title, layer.name);
  const estimate = column.provenance.exact ? '' : ` ${vscode.l10n.t('(estimate)')}`;
  return `${escaped(column.title)}${estimate}\n\n![${escaped(alt)}](data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')})\n\n`;
}

/** Text of files as plain text in Markdown. */
function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>~&$]/g, '\\$&');
}
