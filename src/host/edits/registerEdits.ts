import path from 'node:path';
import * as vscode from 'vscode';
import type { SuggestResult } from '../../compute/protocol';
import { ParticlizeError } from '../../core/graph/errors';
import type { Suggestion } from '../../core/optimise/plan';
import { commands } from '../contributions';
import { formatFewerMacs, formatNumber } from '../format';
import { sentenceOf, showSentence } from '../messages';
import type { Model } from '../model';
import type { Services } from '../services';
import { applyPlan, planFor, undo, type Applied } from './applyPlan';
import { compare } from './comparison';

export interface ApplyOutcome {
  readonly applied: boolean;
  /** One sentence; missing when it was applied or the user said no. */
  readonly message?: string;
}

interface ApplyTarget {
  readonly model?: Model;
  /** Suggestions to apply; missing: the user chooses. */
  readonly ids?: readonly string[];
  /** Whether what goes wrong is a notification also with `ids`: nobody else would show it. */
  readonly notify?: boolean;
}

/** Suggestions become a reviewed edit: a new model file and the changed layer definitions. */
export function registerEdits(services: Services): vscode.Disposable {
  return vscode.commands.registerCommand(
    commands.applySuggestion,
    (target?: ApplyTarget) => apply(services, target ?? {}),
  );
}

async function apply(services: Services, target: ApplyTarget): Promise<ApplyOutcome> {
  const { models, jobs, log } = services;
  const model = target.model ?? models.active;
  if (!model) return { applied: false };
  try {
    const chosen = await choose(model, target.ids);
    if (chosen.length === 0) return { applied: false };
    const title = vscode.l10n.t('Preparing the smaller model');
    const applied = await applyPlan(services, model, planFor(model, chosen),
      (work) => jobs.runOrThrow(model, title, work));
    if (!applied) return { applied: false };
    void report(services, model, applied);
    return { applied: true };
  } catch (error) {
    const message = sentenceOf(error, log);
    // The panel shows the sentence beside its button; elsewhere it is a notification.
    if (message !== undefined && (!target.ids || target.notify)) showSentence(message);
    return { applied: false, message };
  }
}

async function choose(model: Model, ids: readonly string[] | undefined): Promise<readonly Suggestion[]> {
  const result = model.suggestions;
  if (ids && result) {
    const wanted = optionsOf(result).filter(({ id }) => ids.includes(id));
    if (wanted.length > 0) return wanted;
  }
  if (!result || result.suggestions.length === 0) {
    throw new ParticlizeError({ file: model.title, cause: 'there are no suggestions yet', action: 'Run "Suggest What to Remove" first' });
  }
  const { suggestions, refusals } = result;
  if (ids) return [];
  // All of them stay inside the accepted drop: the one that saves most is ticked.
  const most = Math.min(...suggestions.map(({ predicted }) => predicted.macs));
  const items: (vscode.QuickPickItem & { suggestion?: Suggestion })[] = suggestions.map((suggestion) => ({
    label: suggestion.title, description: costs(model, suggestion), detail: suggestion.evidence, picked: suggestion.predicted.macs === most, suggestion,
  }));
  const refused = refusals.map(({ layer, reason }) => ({ label: `$(circle-slash) ${layer}`, detail: reason }));
  if (refused.length > 0) {
    items.push({ label: vscode.l10n.t('Cannot be removed'), kind: vscode.QuickPickItemKind.Separator }, ...refused);
  }
  const picked = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t('Apply suggestions to {0}', model.title), canPickMany: true, matchOnDetail: true,
    placeHolder: vscode.l10n.t('What is applied is previewed first'),
  });
  return (picked ?? []).flatMap(({ suggestion }) => (suggestion ? [suggestion] : []));
}

/** All that can be applied: the suggestions, and the options of the front that are none of them. */
function optionsOf({ suggestions, front }: SuggestResult): readonly Suggestion[] {
  return [...suggestions, ...front.filter(({ id }) => !suggestions.some((other) => other.id === id))];
}

function costs(model: Model, { predicted, lossless }: Suggestion): string {
  const metric = predicted.metric && !lossless ? `${predicted.metric.name} ${signed(predicted.metric.change)}` : undefined;
  return [lossless ? vscode.l10n.t('same outputs') : metric, formatFewerMacs(model.summary.macs, predicted.macs)].filter(Boolean).join(' · ');
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${formatNumber(value)}`;
}

/** Evaluates what was made and says what it cost, with the ways on. */
async function report(services: Services, before: Model, applied: Applied): Promise<void> {
  const openIt = vscode.l10n.t('Open');
  const undoIt = vscode.l10n.t('Undo');
  const sentence = await compare(services, before, applied);
  if (applied.warnings.length > 0) showSentence(applied.warnings.join(' '));
  const choice = await vscode.window.showInformationMessage(sentence, openIt, undoIt);
  if (choice === openIt) await vscode.commands.executeCommand(commands.open, applied.model);
  if (choice === undoIt) {
    const made = services.models.get(applied.model.fsPath);
    if (made) await services.models.close(made);
    const message = await undo(applied);
    void vscode.window.showInformationMessage(
      message ?? vscode.l10n.t('{0} is gone, and the code is as it was.', path.basename(applied.model.fsPath)));
  }
}
