import path from 'node:path';
import * as vscode from 'vscode';
import { commands } from '../contributions';
import type { Services } from '../services';
import { setting } from '../settings';

/** Opens the model that the workspace's settings name. */
export function registerStartup({ log }: Services): vscode.Disposable {
  const file = setting('startup.open').trim();
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (file === '' || !folder) return new vscode.Disposable(() => undefined);
  const uri = vscode.Uri.joinPath(folder.uri, file);
  if (path.relative(folder.uri.fsPath, uri.fsPath).startsWith('..')) {
    log.warn(`particlize.startup.open names ${file}, which is outside of the workspace folder.`);
  } else {
    void vscode.commands.executeCommand(commands.open, uri);
  }
  return new vscode.Disposable(() => undefined);
}
