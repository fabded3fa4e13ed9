import * as vscode from 'vscode';
import type { LayerDefinition, Link } from '../../core/source/definition';
import { commands } from '../contributions';
import { layerNumbers } from '../layerNumbers';
import type { Services } from '../services';
import { setting } from '../settings';
import { debounce, sourceLanguages, type ProgramLinks } from '../sourceLinks';
import { placeOf } from '../sourceProgram';
import { doubtText, lensText, type LensParts } from './lensText';

/** A line above each layer definition whose layer belongs to an open model. */
export function registerLens({ links, models }: Services): vscode.Disposable {
  const emitter = new vscode.EventEmitter<void>();
  // Columns come in quick succession.
  const refresh = debounce(() => emitter.fire(), 100);

  const provider: vscode.CodeLensProvider = {
    onDidChangeCodeLenses: emitter.event,
    provideCodeLenses: async (document, token) => {
      if (models.all.length === 0 || !setting('lens.enabled', document.uri)) return [];
      // What is known at once, moved along with the typing; the text is read again meanwhile, and then VS Code asks anew.
      const found = links.known(document) ?? (await links.modelOf(document));
      if (!found || token.isCancellationRequested) return [];
      return lensesOf(found, document);
    },
  };

  return vscode.Disposable.from(
    emitter,
    refresh,
    links.onDidChange(() => emitter.fire()),
    models.onDidChange(({ change }) => {
      if (change === 'columns' || change === 'summary' || change === 'opened' || change === 'closed') refresh.call();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('particlize.lens')) emitter.fire();
    }),
    vscode.languages.registerCodeLensProvider(sourceLanguages.map((language) => ({ language })), provider),
  );
}

function lensesOf({ program, model, links }: ProgramLinks, document: vscode.TextDocument): vscode.CodeLens[] {
  const parts = lensParts(document.uri);
  const byDefinition = new Map<LayerDefinition, Link[]>();
  for (const link of links) byDefinition.set(link.definition, [...(byDefinition.get(link.definition) ?? []), link]);
  return [...byDefinition].flatMap(([definition, own]) => {
    const place = placeOf(program, definition.anchor);
    if (!place || place.uri.toString() !== document.uri.toString()) return [];
    const layers = own.flatMap(({ layer }) => model.layer(layer) ?? []);
    const numbers = layerNumbers(model, layers);
    // A pooling or reshaping layer has nothing to say.
    if (!numbers) return [];
    const names = layers.filter(({ particles }) => particles).map(({ name }) => name);
    const text = lensText(numbers, parts, names.length);
    const doubt = doubtText(own);
    const target = { uri: document.uri, position: place.range.start };
    return [
      ...(text === '' ? [] : [new vscode.CodeLens(place.range, {
        title: text,
        tooltip: vscode.l10n.t('{0} in {1}: show its particles', names.length > 4 ? `${names.slice(0, 4).join(', ')}, …` : names.join(', '), model.title),
        command: commands.revealFromCode,
        arguments: [target],
      })]),
      ...(doubt === undefined ? [] : [new vscode.CodeLens(place.range, {
        title: doubt, tooltip: vscode.l10n.t('Say which layer this is'), command: commands.linkLayer, arguments: [target],
      })]),
    ];
  });
}

function lensParts(scope: vscode.Uri): LensParts {
  return {
    particles: setting('lens.particles', scope), dead: setting('lens.dead', scope), redundant: setting('lens.redundant', scope),
    harmless: setting('lens.harmless', scope), macs: setting('lens.macs', scope),
  };
}
