import path from 'node:path';
import * as vscode from 'vscode';
import type { LayerSummary } from '../../compute/protocol';
import { commands, modelExtensions } from '../contributions';
import { formatNumber } from '../format';
import { showError } from '../messages';
import type { Model } from '../model';
import type { Services } from '../services';
import { goToDefinition } from './goToDefinition';

/** What menus, tree, lenses and the panel hand to a command (the palette: nothing); multi-select adds a list of them. */
export interface Target {
  readonly model?: Model;
  readonly layer?: LayerSummary | { readonly name: string };
  readonly row?: number;
}

export function registerCommands(services: Services): vscode.Disposable {
  const { models, actions, jobs, log } = services;

  const open = async (uri?: vscode.Uri): Promise<Model | undefined> => {
    const file = uri instanceof vscode.Uri ? uri : await pickModel();
    if (!file) return undefined;
    try {
      const title = vscode.l10n.t('Opening {0}', path.basename(file.fsPath));
      const model = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title }, () => models.open(file));
      await vscode.commands.executeCommand(commands.showPanel, { model });
      return model;
    } catch (error) {
      showError(error, log);
      return undefined;
    }
  };

  /** Runs with the model that a menu or view means, or else the active one. */
  const withModel = <T>(action: (model: Model, target: Target, all: readonly Target[]) => T) =>
    (target?: Target | vscode.Uri, all?: readonly Target[]): T | undefined => {
      const given = target && !(target instanceof vscode.Uri) ? target : {};
      const model = given.model ?? models.active;
      return model && action(model, given, Array.isArray(all) && all.length > 0 ? all : [given]);
    };

  const handlers: Readonly<Record<string, (...args: never[]) => unknown>> = {
    [commands.open]: open,
    [commands.openFile]: open,
    [commands.close]: withModel((model) => models.close(model)),
    [commands.runBehaviour]: withModel((model) => actions.runBehaviour(model)),
    [commands.cancel]: withModel((model) => jobs.cancel(model)),
    [commands.suggest]: withModel((model) => suggest(services, model)),
    [commands.evaluate]: withModel((model) => evaluate(services, model)),
    [commands.chooseRecipe]: withModel((model) => actions.chooseRecipe(model)),
    [commands.revealParticle]: withModel((model, _target, all) => reveal(model, all)),
    [commands.goToDefinition]: withModel((model, { layer }) => goToDefinition(services, model, layer?.name)),
    [commands.copyId]: withModel((model, _target, all) => vscode.env.clipboard.writeText(
      all.map(({ layer, row }) => (row === undefined ? (layer?.name ?? model.title) : model.idOf(row))).join('\n'))),
    [commands.showLog]: () => log.show(),
  };
  return vscode.Disposable.from(
    ...Object.entries(handlers).map(([command, handler]) => vscode.commands.registerCommand(command, handler)),
  );
}

/** Lets the user choose among the model files of the workspace, or any other. */
async function pickModel(): Promise<vscode.Uri | undefined> {
  const endings = [...modelExtensions.map((extension) => `*${extension}`), 'model.json'].join(',');
  const files = await vscode.workspace.findFiles(`**/{${endings}}`, '**/{node_modules,.git}/**', 500);
  type Item = vscode.QuickPickItem & { readonly uri?: vscode.Uri };
  const items: Item[] = files
    .map((uri) => ({ label: vscode.workspace.asRelativePath(uri), uri }))
    .sort((a, b) => a.label.localeCompare(b.label));
  const browse: Item = { label: `$(folder-opened) ${vscode.l10n.t('Choose a file…')}` };
  const picked = await vscode.window.showQuickPick([...items, browse], {
    title: vscode.l10n.t('Open a model'), placeHolder: vscode.l10n.t('Model files in this workspace'),
  });
  if (!picked) return undefined;
  if (picked.uri) return picked.uri;
  const chosen = await vscode.window.showOpenDialog({ title: vscode.l10n.t('Open a model') });
  return chosen?.[0];
}

async function suggest({ actions }: Services, model: Model): Promise<void> {
  const result = await actions.suggest(model);
  if (!result) return;
  const [best] = [...result.suggestions].sort((a, b) => a.predicted.macs - b.predicted.macs);
  if (!best) {
    void vscode.window.showInformationMessage(vscode.l10n.t('{0}: nothing can be removed within the accepted drop.', model.title));
    return;
  }
  const apply = vscode.l10n.t('Apply…');
  const choice = await vscode.window.showInformationMessage(
    vscode.l10n.t('{0}: suggestions to choose from: {1}; such as: {2}.', model.title, result.suggestions.length, best.title), apply);
  if (choice === apply) await vscode.commands.executeCommand(commands.applySuggestion, { model });
}

async function evaluate({ actions }: Services, model: Model): Promise<void> {
  const evaluation = await actions.evaluate(model);
  if (!evaluation) return;
  const metrics = Object.entries(evaluation.metrics).map(([name, value]) => `${name} ${formatNumber(value)}`).join(', ');
  void vscode.window.showInformationMessage(
    vscode.l10n.t('{0}: {1}, loss {2}, on {3} samples with {4}.',
      model.title, metrics, formatNumber(evaluation.loss), evaluation.samples, evaluation.engine),
  );
}

async function reveal(model: Model, targets: readonly Target[]): Promise<void> {
  const rows = targets.flatMap(({ layer, row }) => (row !== undefined ? [row] : layer ? model.rowsOf(layer.name) : []));
  const last = targets.at(-1);
  const layer = last?.row === undefined ? last?.layer : model.layerOf(last.row);
  if (layer) model.select(rows, { layer: layer.name, row: last?.row });
  await vscode.commands.executeCommand(commands.showPanel, { model });
}
