import { rm } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { ParticlizeError } from '../../core/graph/errors';
import { commands } from '../contributions';
import { showError } from '../messages';
import type { Model } from '../model';
import { originalId, refreshRounds, roundsPlace, whileTraining } from '../roundsOf';
import type { Services } from '../services';
import { setting } from '../settings';
import { runTrainCommand } from './trainCommand';

/** Training a model further, here or by the user's own command; the result becomes a round. */
export function registerTrain(services: Services): vscode.Disposable {
  const { compute, models, log } = services;
  const withModel = (action: (model: Model) => Promise<void>) => (target?: { readonly model?: Model }): Promise<void> | undefined => {
    const model = target?.model ?? models.active;
    return model && action(model).catch((error: unknown) => showError(error, log));
  };
  const pause = (paused: boolean) => withModel(async (model) => {
    if (!model.training) return;
    await compute.call('pauseTraining', { model: model.training.id, paused });
    if (model.training) model.training = { ...model.training, paused };
  });
  return vscode.Disposable.from(
    vscode.commands.registerCommand(commands.fineTune, withModel((model) => fineTune(services, model))),
    vscode.commands.registerCommand(commands.runTrainCommand, withModel((model) => trainByCommand(services, model))),
    vscode.commands.registerCommand(commands.pauseTraining, pause(true)),
    vscode.commands.registerCommand(commands.resumeTraining, pause(false)),
  );
}

const defaultEpochs = 10;

async function fineTune(services: Services, model: Model): Promise<void> {
  const { actions, compute, jobs } = services;
  const recipe = await actions.recipeFor(model);
  if (recipe === undefined) return;
  const answer = await vscode.window.showInputBox({
    title: vscode.l10n.t('Fine-tune {0}', model.title), prompt: vscode.l10n.t('How many times are all training samples seen?'), value: String(defaultEpochs),
    validateInput: (text) => (/^[1-9]\d{0,5}$/.test(text.trim()) ? undefined : vscode.l10n.t('A whole number from 1 up')),
  });
  if (answer === undefined) return;
  const epochs = Number(answer);
  const place = roundsPlace(model);
  const folder = path.join(place.folder, 'training');
  const resume = await mayResume(model, path.join(folder, `${path.parse(model.uri.fsPath).name}.checkpoint`));
  if (resume === undefined) return;
  const round = await jobs.run(model, vscode.l10n.t('Fine-tuning'), async (options) => {
    if (!resume) await rm(folder, { recursive: true, force: true });
    const { files } = await whileTraining(model, model.id, options, (training) => compute.call('train', {
      model: model.id, recipe, folder, name: path.basename(model.uri.fsPath), settings: { epochs, schedule: 'cosine' }, resume,
    }, training));
    return keepRound(services, model, files[0]!, recipe, vscode.l10n.t('Fine-tuned for {0} epochs', epochs));
  });
  if (!round) return;
  await rm(folder, { recursive: true, force: true });
  await done(services, model, round);
}

/** Undefined when the user would rather do nothing. */
async function mayResume(model: Model, checkpoint: string): Promise<boolean | undefined> {
  const interrupted = await vscode.workspace.fs.stat(vscode.Uri.file(checkpoint)).then(() => true, () => false);
  if (!interrupted) return false;
  const goOn = vscode.l10n.t('Go on where it was');
  const anew = vscode.l10n.t('Train from the beginning');
  const choice = await vscode.window.showQuickPick([goOn, anew], { title: vscode.l10n.t('An earlier training of {0} was interrupted', model.title) });
  return choice === undefined ? undefined : choice === goOn;
}

async function trainByCommand(services: Services, model: Model): Promise<void> {
  const { actions, jobs } = services;
  const command = setting('train.command', model.uri).trim();
  if (command === '') {
    const open = vscode.l10n.t('Open Settings');
    const choice = await vscode.window.showInformationMessage(vscode.l10n.t('Which command trains this model? The setting particlize.train.command says it.'), open);
    if (choice === open) await vscode.commands.executeCommand('workbench.action.openSettings', 'particlize.train.command');
    return;
  }
  // The recipe is asked for first: without it the result could not be measured. Untrusted folders are refused there.
  const recipe = await actions.recipeFor(model);
  if (recipe === undefined || !vscode.workspace.isTrusted) return;
  const folder = path.join(roundsPlace(model).folder, 'training');
  const round = await jobs.run(model, vscode.l10n.t('Training by your own command'), async (options) => {
    await rm(folder, { recursive: true, force: true });
    await vscode.workspace.fs.createDirectory(vscode.Uri.file(folder));
    const out = path.join(folder, path.basename(model.uri.fsPath));
    await runTrainCommand(command, { weights: model.uri.fsPath, source: model.sources[0]?.uri.fsPath, out }, options);
    return keepRound(services, model, out, recipe, vscode.l10n.t('Trained by your own command'));
  });
  if (!round) return;
  await rm(folder, { recursive: true, force: true });
  await done(services, model, round);
}

type Kept = Awaited<ReturnType<typeof keepRound>>;

async function keepRound({ compute }: Services, model: Model, file: string, recipe: string, title: string) {
  const place = roundsPlace(model);
  if (path.basename(file) === '') throw new ParticlizeError({ cause: 'nothing was written' });
  return compute.call('addRound', { model: await originalId(compute, model), recipe, file, folder: place.folder, title, parent: place.round ?? 0 });
}

async function done(services: Services, model: Model, round: Kept): Promise<void> {
  await refreshRounds(services.compute, model, setting('suggestions.maxDrop', model.uri));
  const { name } = round.evaluation.decisive;
  const open = vscode.l10n.t('Open');
  const choice = await vscode.window.showInformationMessage(
    vscode.l10n.t('{0} is now round {1}: {2} {3}.', model.title, round.round, name, (round.evaluation.metrics[name] ?? NaN).toFixed(3)), open);
  if (choice !== open) return;
  services.models.rememberRecipe(round.modelPath, model.recipe);
  await vscode.commands.executeCommand(commands.open, vscode.Uri.file(round.modelPath));
}
