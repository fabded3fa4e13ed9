import path from 'node:path';
import * as vscode from 'vscode';
import { commands, modelExtensions } from '../contributions';
import { formatCount } from '../format';
import type { Services } from '../services';
import { programOf } from '../sourceProgram';

const mostModels = 200;

interface Candidate {
  readonly uri: vscode.Uri;
  readonly score: number;
  /** Layers with particles that the code defines. */
  readonly defined: number;
  readonly layers: number;
}

/** Looks through the workspace for models that a file's code defines, and opens the one that it is, or that the user chooses. */
export async function findModel(services: Services, document: vscode.TextDocument): Promise<void> {
  const { uri } = programOf(document);
  const name = path.basename(uri.path);
  const title = vscode.l10n.t('Looking for the model of {0}', name);
  const found = await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title, cancellable: true },
    (progress, token) => candidatesFor(services, document, progress, token));
  if (!found) return;
  const [best, second] = found;
  if (!best) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No model in this workspace has the layers that {0} defines.', name));
    return;
  }
  const chosen = second ? await choose(found, name) : best;
  if (!chosen) return;
  const model = await services.models.open(chosen.uri).catch(() => undefined);
  // Said once: the next time that this model's definition is meant, it is this file.
  if (model && second) await services.links.chooseSource(model, uri);
  await vscode.commands.executeCommand(commands.open, chosen.uri);
}

/** Undefined when cancelled. */
async function candidatesFor(
  { compute, models, links, log }: Services, document: vscode.TextDocument,
  progress: vscode.Progress<{ message?: string; increment?: number }>, token: vscode.CancellationToken,
): Promise<readonly Candidate[] | undefined> {
  const definitions = await links.definitionsIn(document);
  const { uri } = programOf(document);
  const folder = vscode.workspace.getWorkspaceFolder(uri);
  if (definitions.length === 0 || !folder) return [];
  const endings = [...modelExtensions.map((extension) => `*${extension}`), 'model.json'].join(',');
  const files = await vscode.workspace.findFiles(
    new vscode.RelativePattern(folder, `**/{${endings}}`), '**/{node_modules,.git,.venv,venv,site-packages}/**', mostModels, token);
  const found: Candidate[] = [];
  for (const file of files) {
    if (token.isCancellationRequested) return undefined;
    progress.report({ message: vscode.workspace.asRelativePath(file), increment: 100 / files.length });
    const open = models.get(file.fsPath);
    // Opening reads a file's header. What cannot be read is no candidate.
    const summary = open?.summary ?? (await compute.call('open', { path: file.fsPath }).catch((error: unknown) => {
      log.info(`${path.basename(file.fsPath)}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }));
    if (!summary) continue;
    const source = links.sourceOf({ summary, uri: file }, uri, definitions);
    const layers = summary.layers.filter(({ particles }) => particles);
    if (source) {
      const defined = layers.filter(({ name }) => source.links.some(({ layer }) => layer === name)).length;
      found.push({ uri: file, score: source.score, defined, layers: layers.length });
    }
    // Somebody may have opened it meanwhile.
    if (!open && !models.get(file.fsPath)) await compute.call('close', { model: summary.model }).catch(() => undefined);
  }
  return found.sort((a, b) => b.score - a.score);
}

async function choose(found: readonly Candidate[], name: string): Promise<Candidate | undefined> {
  const items = found.map((candidate) => ({
    label: vscode.workspace.asRelativePath(candidate.uri),
    description: vscode.l10n.t('{0} of {1} defined here', candidate.defined, formatCount(candidate.layers, 'layer')), candidate,
  }));
  const picked = await vscode.window.showQuickPick(items, { title: vscode.l10n.t('Which model does {0} define?', name) });
  return picked?.candidate;
}
