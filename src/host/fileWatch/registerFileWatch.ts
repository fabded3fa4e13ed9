import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { showError } from '../messages';
import type { Model } from '../model';
import type { Services } from '../services';

/** A training run writes a file in many steps: the question comes when it has rested for this long. */
const restMs = 700;

/** Says so when the file of an open model changes or goes; what is shown stays until the user reloads. */
export function registerFileWatch(services: Services): vscode.Disposable {
  const { models } = services;
  const watches = new Map<Model, vscode.Disposable>();
  return vscode.Disposable.from(
    models.onDidChange(({ model, change }) => {
      if (change === 'opened') watches.set(model, watch(services, model));
      if (change !== 'closed') return;
      watches.get(model)?.dispose();
      watches.delete(model);
    }),
    new vscode.Disposable(() => watches.forEach((each) => each.dispose())),
  );
}

function watch({ models, log }: Services, model: Model): vscode.Disposable {
  const file = model.uri.fsPath;
  const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(vscode.Uri.file(path.dirname(file)), path.basename(file)));
  let waiting: NodeJS.Timeout | undefined;
  let asking = false;
  const ask = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      const gone = await stat(file).then(() => false, () => true);
      const [reload, close] = [vscode.l10n.t('Reload'), vscode.l10n.t('Close')];
      const choice = gone
        ? await vscode.window.showWarningMessage(
          vscode.l10n.t('{0} is gone from the disk. What is shown was read before; close it, or put the file back and reload.', model.title), reload, close)
        : await vscode.window.showWarningMessage(
          vscode.l10n.t('{0} has changed on the disk. What is shown was read before; reload to see the new contents.', model.title), reload);
      if (models.get(file) !== model) return;
      if (choice === close) await models.close(model);
      if (choice === reload) await models.open(model.uri);
    } catch (error) {
      showError(error, log);
    } finally {
      asking = false;
    }
  };
  const changed = (): void => {
    clearTimeout(waiting);
    waiting = setTimeout(() => void ask(), restMs);
  };
  return vscode.Disposable.from(
    watcher, watcher.onDidChange(changed), watcher.onDidCreate(changed), watcher.onDidDelete(changed),
    new vscode.Disposable(() => clearTimeout(waiting)),
  );
}
