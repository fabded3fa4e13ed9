import { access, mkdtemp, readFile, rm, rmdir, stat, statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import * as vscode from 'vscode';
import type { CallOptions } from '../../compute/client';
import type { ApplyResult, PlanPreview } from '../../compute/protocol';
import { reverseEnding } from '../../compute/reverseFile';
import { planEnding } from '../../compute/saveModel';
import { ParticlizeError } from '../../core/graph/errors';
import { planOf, type Plan, type Suggestion } from '../../core/optimise/plan';
import { formatFewerMacs } from '../format';
import type { Model } from '../model';
import type { Services } from '../services';
import { sourceEditsFor, type DocumentEdits } from './sourceEdits';

export interface Applied {
  /** The new model's main file. */
  readonly model: vscode.Uri;
  readonly preview: PlanPreview;
  /** All that was created: files, or the folder that holds them. */
  readonly created: readonly vscode.Uri[];
  /** Edited documents with their text before and after. */
  readonly edited: readonly { readonly uri: vscode.Uri; readonly before: string; readonly after: string }[];
  /** What does not fit yet, one sentence each. */
  readonly warnings: readonly string[];
}

const weightActions: ReadonlySet<string> = new Set(['reweight', 'maskConnections', 'reconstruct']);

/** The preview passes file contents through VS Code's main process: beyond this, the file is moved instead. */
const largestContents = 64_000_000;

export function planFor(model: Model, suggestions: readonly Suggestion[]): Plan {
  return planOf({ file: path.basename(model.uri.fsPath), sha256: model.summary.sha256 }, suggestions);
}

/**
 * Makes the smaller model in a temporary folder, shows new file and source edits together in VS Code's refactor preview
 * and lets VS Code do what the user accepts. Undefined when the user discards: then nothing is left behind.
 * Rejects with a ParticlizeError.
 */
export async function applyPlan(
  { compute, links }: Services, model: Model, plan: Plan, run: <T>(work: (options: CallOptions) => Promise<T>) => Promise<T>,
): Promise<Applied | undefined> {
  const target = await freeTarget(model.uri.fsPath);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'particlize-'));
  try {
    const result = await run(async (options) => {
      const preview = await compute.call('preview', { model: model.id, plan }, options);
      // Plans may change weights alone; when nothing at all is done although nothing was refused, apply says so.
      if (preview.changes.length === 0 && preview.refusals.length > 0 && plan.steps.every(({ action }) => !weightActions.has(action))) throw refused(model, preview);
      return compute.call('apply', { model: model.id, plan, folder, name: path.basename(target.file) }, options);
    });
    await checkRoom(target.within, result);
    const documents = result.changes.length === 0 ? [] : await sourceEditsFor(links, model, result.changes, target.file);
    if (!documents) return undefined;
    const created = newFiles(result, folder, target);
    const edit = await workspaceEdit(model, result, created, documents);
    const applied = await vscode.workspace.applyEdit(edit, { isRefactoring: true });
    if (!applied || !(await exists(target.file))) {
      const begun = await removeLeftovers(target, created);
      const changed = documents.find(({ document, before }) => document.getText() !== before);
      if (changed) {
        throw new ParticlizeError({
          file: changed.document.uri.fsPath, cause: 'it was changed while the preview was open, so nothing was applied', action: 'Apply again',
        });
      }
      // VS Code does not say why it gave up: a discarded preview begins nothing.
      if (begun) throw new ParticlizeError({ file: target.file, cause: 'the new model could not be written; what had been written of it was removed' });
      await checkWritable(target.within);
      return undefined;
    }
    return await outcome(result, target, created, documents);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Takes back what was applied; returns a sentence when it could not be taken back wholly. */
export async function undo({ created, edited }: Applied): Promise<string | undefined> {
  const edit = new vscode.WorkspaceEdit();
  const kept: string[] = [];
  for (const { uri, before, after } of edited) {
    const document = await vscode.workspace.openTextDocument(uri);
    if (document.getText() === before) continue;
    if (document.getText() !== after) kept.push(path.basename(uri.fsPath));
    else edit.replace(uri, new vscode.Range(document.positionAt(0), document.positionAt(after.length)), before);
  }
  for (const uri of created) edit.deleteFile(uri, { recursive: true, ignoreIfNotExists: true });
  await vscode.workspace.applyEdit(edit, { isRefactoring: true });
  if (kept.length === 0) return undefined;
  return vscode.l10n.t('{0} was changed since and stays as it is.', kept.join(', '));
}

interface Target {
  /** Where the new model's main file will be. */
  readonly file: string;
  /** The folder that is made for it, when its format is several files. */
  readonly folder?: string;
  /** The folder that must exist and be writable. */
  readonly within: string;
}

/** A name beside the original that nothing has: model.particlized.onnx, or the folder model.particlized/ for model.json. */
async function freeTarget(original: string): Promise<Target> {
  const within = path.dirname(original);
  const { name, ext } = path.parse(original);
  const base = name.replace(/\.particlized(-\d+)?$/, '');
  await checkWritable(within);
  for (let n = 1; ; n++) {
    const stem = path.join(within, `${base}.particlized${n === 1 ? '' : `-${n}`}`);
    const target = ext === '.json' ? { file: path.join(stem, `${name}${ext}`), folder: stem, within } : { file: `${stem}${ext}`, within };
    const taken = await Promise.all([target.folder ?? target.file, `${target.file}${planEnding}`, `${target.file}${reverseEnding}`].map(exists));
    if (!taken.includes(true)) return target;
  }
}

/** By trying: permissions alone do not tell of a disk that is read-only, or of a folder that has gone since. */
async function checkWritable(within: string): Promise<void> {
  try {
    await rmdir(await mkdtemp(path.join(within, '.particlize-')));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const full = code === 'ENOSPC' || code === 'EDQUOT';
    throw new ParticlizeError({
      file: within,
      cause: full ? 'the disk is full' : code === 'ENOENT' || code === 'ENOTDIR' ? 'the folder is not there any more' : 'the folder cannot be written',
      action: full ? 'Make room and apply again' : 'Allow writing there, or copy the model elsewhere',
    }, { cause: error });
  }
}

async function checkRoom(within: string, { files }: ApplyResult): Promise<void> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const needed = sizes.reduce((sum, size) => sum + size, 0);
  const disk = await statfs(within).catch(() => undefined);
  if (disk && disk.bavail * disk.bsize < needed) {
    throw new ParticlizeError({
      file: within, cause: `the disk has no room for the new model, which needs ${(needed / 1e6).toFixed(1)} MB`, action: 'Make room and apply again',
    });
  }
}

interface NewFile {
  readonly from: string;
  readonly to: vscode.Uri;
}

function newFiles({ files }: ApplyResult, folder: string, target: Target): readonly NewFile[] {
  return files.map((from) => ({ from, to: vscode.Uri.file(path.join(path.dirname(target.file), path.relative(folder, from))) }));
}

async function workspaceEdit(
  model: Model, result: ApplyResult, created: readonly NewFile[], documents: readonly DocumentEdits[],
): Promise<vscode.WorkspaceEdit> {
  const edit = new vscode.WorkspaceEdit();
  const file = {
    needsConfirmation: false,
    label: vscode.l10n.t('New model, {0}', formatFewerMacs(result.before.macs, result.after.macs)),
    description: vscode.l10n.t('{0} → {1} parameters', result.before.parameters, result.after.parameters),
  };
  for (const { from, to } of created) {
    const { size } = await stat(from);
    if (size > largestContents) edit.renameFile(vscode.Uri.file(from), to, {}, file);
    else edit.createFile(to, { contents: new Uint8Array(await readFile(from)) }, file);
  }
  for (const { document, edits, manual, isMain } of documents) {
    for (const { range, text, label } of edits) {
      // Files that define the same layers but are not where the model came from start unticked.
      edit.replace(document.uri, range, text, { needsConfirmation: !isMain, label });
    }
    // A note where it belongs: it puts what stands there in its own place, and starts unticked.
    for (const { range, reason } of isMain ? manual : []) {
      edit.replace(document.uri, range, document.getText(range), {
        needsConfirmation: true, label: vscode.l10n.t('By hand, line {0}', range.start.line + 1), description: reason, iconPath: new vscode.ThemeIcon('edit'),
      });
    }
  }
  // VS Code opens the preview only when an edit needs confirmation, and such edits start unticked. This one forces it and
  // does nothing: it "creates" a file that is there.
  edit.createFile(model.uri, { ignoreIfExists: true }, { needsConfirmation: true, label: file.label });
  return edit;
}

async function outcome(
  preview: PlanPreview, target: Target, created: readonly NewFile[], documents: readonly DocumentEdits[],
): Promise<Applied> {
  const edited: { uri: vscode.Uri; before: string; after: string }[] = [];
  const warnings: string[] = [];
  if (preview.changes.length === 0) warnings.push(vscode.l10n.t('Only weights changed, so the code stays as it is.'));
  for (const { document, before, edits, manual, isMain } of documents) {
    const name = path.basename(document.uri.fsPath);
    const after = document.getText();
    if (after !== before) edited.push({ uri: document.uri, before, after });
    if (after === before && edits.length > 0 && isMain) {
      warnings.push(vscode.l10n.t('{0} was left as it is, so it does not fit the new weights.', name));
    }
    if (!isMain && after === before) continue;
    for (const { range, reason } of manual) {
      warnings.push(vscode.l10n.t('{0}, line {1}: change this by hand: {2}.', name, range.start.line + 1, reason));
    }
  }
  const all = target.folder === undefined ? created.map(({ to }) => to) : [vscode.Uri.file(target.folder)];
  return { model: vscode.Uri.file(target.file), preview, created: all, edited, warnings };
}

/**
 * When the user unticked the model itself, or writing failed half way, parts of it help nobody. A file that somebody else
 * put there while the preview was open is not ours: only the beginning of what we were to write is removed. Returns whether
 * there was any.
 */
async function removeLeftovers(target: Target, created: readonly NewFile[]): Promise<boolean> {
  let begun = false;
  for (const { from, to } of created) {
    const [wanted, there] = await Promise.all([from, to.fsPath].map((file) => readFile(file).catch(() => undefined)));
    if (!wanted || !there || !wanted.subarray(0, there.length).equals(there)) continue;
    await rm(to.fsPath, { force: true });
    begun = true;
  }
  if (target.folder !== undefined) await rmdir(target.folder).catch(() => undefined);
  return begun;
}

function refused(model: Model, { refusals }: PlanPreview): ParticlizeError {
  const [first] = refusals;
  return new ParticlizeError({
    file: model.title, place: first?.layer,
    cause: first ? first.reason.replace(/\.$/, '') : 'nothing of this plan can be removed',
  });
}

function exists(file: string): Promise<boolean> {
  return access(file).then(() => true, () => false);
}
