import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { ParticlizeApi } from '../../src/extension';

/** The extension under test, activated. */
export async function extension(): Promise<ParticlizeApi> {
  const found = vscode.extensions.getExtension<ParticlizeApi>('particlize.particlize');
  assert.ok(found, 'the extension is loaded');
  return found.activate();
}

/** A file of the sample workspace that the tests run in. */
export function sampleFile(name: string): vscode.Uri {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(folder, 'the sample workspace is open');
  return vscode.Uri.joinPath(folder.uri, name);
}

export async function until(condition: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`Waited in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
