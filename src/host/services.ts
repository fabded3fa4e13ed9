import * as vscode from 'vscode';
import { ComputeClient } from '../compute/client';
import { Jobs } from './jobs';
import { showSentence } from './messages';
import { ModelActions } from './modelActions';
import { ModelStore } from './modelStore';
import { computeOptions } from './settings';
import { SourceLinks } from './sourceLinks';

/** The only place where features meet: each gets this and nothing of another feature. */
export interface Services extends vscode.Disposable {
  readonly extensionUri: vscode.Uri;
  readonly log: vscode.LogOutputChannel;
  readonly compute: ComputeClient;
  readonly models: ModelStore;
  readonly jobs: Jobs;
  readonly actions: ModelActions;
  readonly links: SourceLinks;
}

/** Makes everything, starts nothing: the compute process comes with the first call. */
export function createServices(context: vscode.ExtensionContext): Services {
  const log = vscode.window.createOutputChannel('Particlize', { log: true });
  const compute = new ComputeClient({
    script: vscode.Uri.joinPath(context.extensionUri, 'dist', 'compute.js').fsPath,
    options: () => ({ ...computeOptions(), cacheFolder: vscode.Uri.joinPath(context.globalStorageUri, 'sweeps').fsPath }),
    log: (level, text) => log[level](text),
    crashed: showSentence,
    reopened: (_model, summary) => models.reopened(summary),
  });
  const models: ModelStore = new ModelStore(compute, context.workspaceState, log);
  const jobs = new Jobs(log);
  const settingsChanged = vscode.workspace.onDidChangeConfiguration((event) => {
    if (!event.affectsConfiguration('particlize.compute')) return;
    compute.stop();
    models.forgetEngine();
  });
  const links = new SourceLinks(models, context.workspaceState, log);
  const disposables = vscode.Disposable.from(settingsChanged, links, jobs, models, compute, log);
  return {
    extensionUri: context.extensionUri, log, compute, models, jobs, links,
    actions: new ModelActions(compute, models, jobs, log),
    dispose: () => void disposables.dispose(),
  };
}
