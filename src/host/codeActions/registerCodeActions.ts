import * as vscode from 'vscode';
import type { Suggestion } from '../../core/optimise/plan';
import { parseParticleId } from '../../core/particles/particle';
import { commands } from '../contributions';
import { formatFewerMacs, formatNumber } from '../format';
import type { Model } from '../model';
import type { Services } from '../services';
import { linksAt, sourceLanguages } from '../sourceLinks';

const kind = vscode.CodeActionKind.RefactorRewrite.append('particlize');

/** Suggestions about a layer as refactorings of its definition: VS Code's preview comes before anything is changed. */
export function registerCodeActions({ links, models }: Services): vscode.Disposable {
  return vscode.languages.registerCodeActionsProvider(sourceLanguages.map((language) => ({ language })), {
    provideCodeActions: async (document, range, _context, token) => {
      const found = models.all.length > 0 ? (links.known(document) ?? (await links.modelOf(document))) : undefined;
      if (!found || token.isCancellationRequested) return [];
      const layers = new Set(linksAt(found, document, range.start).map(({ layer }) => layer));
      if (![...layers].some((layer) => found.model.layer(layer)?.particles)) return [];
      const { model } = found;
      if (!model.suggestions) return vscode.workspace.isTrusted ? [suggestAction(model)] : [];
      // Among several that remove from this layer, the ones about it alone come first.
      return model.suggestions.suggestions
        .filter((suggestion) => layersOf(suggestion).some((layer) => layers.has(layer)))
        .sort((a, b) => layersOf(a).length - layersOf(b).length)
        .map((suggestion) => applyAction(model, suggestion));
    },
  }, { providedCodeActionKinds: [kind] });
}

function suggestAction(model: Model): vscode.CodeAction {
  const title = vscode.l10n.t('Particlize: look for what can be removed from {0}', model.title);
  const action = new vscode.CodeAction(title, kind);
  action.command = { title, command: commands.suggest, arguments: [{ model }] };
  return action;
}

function applyAction(model: Model, suggestion: Suggestion): vscode.CodeAction {
  const { metric, macs } = suggestion.predicted;
  const cost = suggestion.lossless
    ? vscode.l10n.t('same outputs')
    : metric && `${metric.name} ${metric.change > 0 ? '+' : ''}${formatNumber(metric.change)}`;
  const details = [cost, formatFewerMacs(model.summary.macs, macs)].filter(Boolean).join(', ');
  const action = new vscode.CodeAction(`Particlize: ${suggestion.title} (${details})…`, kind);
  action.command = { title: action.title, command: commands.applySuggestion, arguments: [{ model, ids: [suggestion.id], notify: true }] };
  return action;
}

function layersOf({ particles }: Suggestion): readonly string[] {
  return [...new Set(particles.flatMap((id) => parseParticleId(id)?.layer ?? []))];
}
