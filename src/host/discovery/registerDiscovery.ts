import { open } from 'node:fs/promises';
import * as vscode from 'vscode';
import { contexts } from '../contributions';
import type { Services } from '../services';

const pattern = '**/*model*.json';
const excluded = '**/{node_modules,.git,dist,out,build,venv,.venv,site-packages}/**';
const mostFiles = 200;
const headBytes = 4096;

/**
 * Keeps the list of .json files in the workspace that are TensorFlow.js models, so that only they have "Particlize" in
 * their menu: a menu's condition cannot look inside a file.
 */
export function registerDiscovery({ log }: Services): vscode.Disposable {
  const found = new Set<string>();
  const publish = (): void => {
    // In a remote window menus know the path as it stands in the URI, in a local one as the system writes it.
    const paths = [...found].flatMap((uri) => [vscode.Uri.parse(uri).fsPath, vscode.Uri.parse(uri).path]);
    void vscode.commands.executeCommand('setContext', contexts.modelFiles, [...new Set(paths)]);
  };

  const look = async (uri: vscode.Uri): Promise<void> => {
    if (await isTfjsModel(uri.fsPath)) found.add(uri.toString());
    else found.delete(uri.toString());
  };

  const lookAndPublish = (uri: vscode.Uri): void => void look(uri).then(publish);
  const watcher = vscode.workspace.createFileSystemWatcher(pattern);
  void vscode.workspace.findFiles(pattern, excluded, mostFiles).then(async (files) => {
    await Promise.all(files.map(look));
    publish();
    log.debug(`${found.size} TensorFlow.js models among ${files.length} files.`);
  });
  return vscode.Disposable.from(
    watcher,
    watcher.onDidCreate(lookAndPublish),
    watcher.onDidChange(lookAndPublish),
    watcher.onDidDelete((uri) => {
      found.delete(uri.toString());
      publish();
    }),
  );
}

/** A TensorFlow.js model names its topology or its weights early in the file. */
async function isTfjsModel(file: string): Promise<boolean> {
  try {
    const handle = await open(file);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
      return /"(modelTopology|weightsManifest)"\s*:|"format"\s*:\s*"(layers|graph)-model"/.test(buffer.toString('latin1', 0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch {
    return false;
  }
}
