import path from 'node:path';
import * as vscode from 'vscode';
import type { ComputeClient } from '../compute/client';
import { showError } from './messages';
import type { Model } from './model';

/**
 * Writes a recipe beside the model from data files that the user chooses, once they have seen what was guessed and why; never over
 * a file. Gives its path and opens it, or undefined when they think better of it.
 */
export async function makeRecipe(compute: ComputeClient, model: Model, log: vscode.LogOutputChannel): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: vscode.l10n.t('Data files for {0}', model.title), canSelectMany: true, canSelectFiles: true, canSelectFolders: true,
    defaultUri: vscode.Uri.file(path.dirname(model.uri.fsPath)),
  });
  if (!chosen?.length) return undefined;
  const files = chosen.map(({ fsPath }) => fsPath);
  try {
    const guess = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Looking at the data') },
      () => compute.call('guessRecipe', { model: model.id, files }));
    const write = vscode.l10n.t('Write');
    const answer = await vscode.window.showInformationMessage(vscode.l10n.t('Write this recipe for {0}?', model.title), {
      modal: true,
      detail: [
        ...guess.guesses.map(({ field, value, why }) => `${field} = ${value}: ${why}`),
        ...(guess.misfit === undefined ? [] : ['', vscode.l10n.t('The model does not take this data as it is: {0}.', guess.misfit)]),
      ].join('\n'),
    }, write);
    if (answer !== write) return undefined;
    const name = `${path.basename(model.uri.fsPath).replace(/\.[^.]*$/, '')}.particlize.json`;
    const { path: written } = await compute.call('guessRecipe', { model: model.id, files, out: path.join(path.dirname(model.uri.fsPath), name) });
    if (written === undefined) return undefined;
    await vscode.window.showTextDocument(vscode.Uri.file(written), { viewColumn: vscode.ViewColumn.Beside, preview: true });
    return guess.misfit === undefined ? written : undefined;
  } catch (error) {
    showError(error, log);
    return undefined;
  }
}
