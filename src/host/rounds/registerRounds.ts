import path from 'node:path';
import * as vscode from 'vscode';
import { commands, views } from '../contributions';
import { showError } from '../messages';
import type { Model } from '../model';
import { originalId, refreshRounds, roundsPlace, whileTraining } from '../roundsOf';
import type { Services } from '../services';
import { sampleLimit, setting } from '../settings';
import { comparisonText } from './roundComparison';
import { RoundsTree, type RoundNode } from './roundsTree';

const scheme = 'particlize-rounds';

/** The loop and its rounds: start it, watch it, return to any round, compare it with the original. */
export function registerRounds(services: Services): vscode.Disposable {
  const { compute, models, log } = services;
  const tree = new RoundsTree(models);
  const view = vscode.window.createTreeView(views.rounds, { treeDataProvider: tree });
  const texts = new Map<string, string>();
  const refresh = async (model = models.active): Promise<void> => {
    if (!model) return;
    try {
      await refreshRounds(compute, model, setting('suggestions.maxDrop', model.uri));
    } catch (error) {
      log.warn(error instanceof Error ? error.message : String(error));
    }
  };
  const describe = (): void => {
    const { active } = models;
    view.message = active?.training?.paused ? vscode.l10n.t('Training is paused.') : active?.rounds?.findings[0]?.message;
    tree.refresh();
  };
  return vscode.Disposable.from(
    tree, view,
    models.onDidChange(({ model, change }) => {
      if (change === 'rounds' || change === 'active' || change === 'closed' || change === 'training') describe();
      if (change === 'opened' || (change === 'active' && !model.rounds)) void refresh(model);
    }),
    vscode.workspace.registerTextDocumentContentProvider(scheme, { provideTextDocumentContent: (uri) => texts.get(uri.toString()) ?? '' }),
    vscode.commands.registerCommand(commands.refreshRounds, () => refresh()),
    vscode.commands.registerCommand(commands.optimiseUntil, (target?: { readonly model?: Model }) => {
      const model = target?.model ?? models.active;
      return model && optimise(services, model, refresh);
    }),
    vscode.commands.registerCommand(commands.openRound, async (node?: RoundNode) => {
      if (!node) return;
      models.rememberRecipe(node.round.modelPath, node.model.recipe);
      await vscode.commands.executeCommand(commands.open, vscode.Uri.file(node.round.modelPath));
    }),
    vscode.commands.registerCommand(commands.compareRound, async (node?: RoundNode) => {
      if (!node) return;
      const text = await compareRound(services, node);
      if (text === undefined) return;
      const uri = vscode.Uri.from({ scheme, path: `/${path.basename(roundsPlace(node.model).original)} ${path.basename(node.round.folder)} ${++compared}.md` });
      texts.set(uri.toString(), text);
      await vscode.commands.executeCommand('markdown.showPreview', uri);
    }),
  );
}

let compared = 0;

/** Asks for the target and the drop, and goes round until it is met. */
async function optimise(services: Services, model: Model, refresh: (model: Model) => Promise<void>): Promise<void> {
  const { actions, compute, jobs, log } = services;
  const recipe = await actions.recipeFor(model);
  if (recipe === undefined) return;
  const title = vscode.l10n.t('Optimise until target');
  const percent = await askNumber(title, vscode.l10n.t('How much of its MACs may be left, in per cent?'), 25, (value) => value > 0 && value <= 100);
  if (percent === undefined) return;
  const points = await askNumber(title, vscode.l10n.t('How much of the metric may be lost, in points (1 is 0.01)?'), 100 * setting('suggestions.maxDrop', model.uri), (value) => value >= 0 && value <= 100);
  if (points === undefined) return;
  const { folder } = roundsPlace(model);
  let id: string;
  try {
    id = await originalId(compute, model);
  } catch (error) {
    showError(error, log);
    return;
  }
  const result = await jobs.run(model, vscode.l10n.t('Optimising'), (options) => whileTraining(model, id, options, (training) => compute.call('loop', {
    model: id, recipe, folder, target: { macs: percent / 100 }, maxDrop: points / 100, settings: { epochs: epochsPerRound },
  }, { ...training, round: () => void refresh(model) })));
  await refresh(model);
  if (!result) return;
  const open = vscode.l10n.t('Open the Result');
  const sentence = vscode.l10n.t('{0}: {1}.', model.title, result.message);
  const choice = result.best === 0
    ? void await vscode.window.showInformationMessage(sentence)
    : await vscode.window.showInformationMessage(sentence, open);
  if (choice !== open) return;
  services.models.rememberRecipe(result.model, recipe);
  await vscode.commands.executeCommand(commands.open, vscode.Uri.file(result.model));
}

const epochsPerRound = 20;

async function compareRound({ actions, compute, jobs }: Services, { model, round }: RoundNode): Promise<string | undefined> {
  const recipe = await actions.recipeFor(model);
  if (recipe === undefined) return undefined;
  const { original } = roundsPlace(model);
  const result = await jobs.run(model, vscode.l10n.t('Comparing'), async (options) => {
    const opened = await compute.call('open', { path: round.modelPath }, options);
    return compute.call('evaluateClosely', { model: opened.model, recipe, samples: sampleLimit(model.uri), against: original }, options);
  });
  return result && comparisonText(vscode.l10n.t('{0}: round {1} against the original', path.basename(original), round.round), result);
}

async function askNumber(title: string, prompt: string, value: number, fits: (value: number) => boolean): Promise<number | undefined> {
  const parse = (text: string): number => Number(text.replace('%', '').replace(',', '.').trim() || NaN);
  const answer = await vscode.window.showInputBox({
    title, prompt, value: String(Number(value.toPrecision(6))),
    validateInput: (text) => (fits(parse(text)) ? undefined : vscode.l10n.t('A number from 0 to 100')),
  });
  return answer === undefined ? undefined : parse(answer);
}
