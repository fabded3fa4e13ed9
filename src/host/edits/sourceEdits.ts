import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import type { ShapeChange } from '../../core/optimise/plan';
import type { LinkedSource, Model } from '../model';
import type { SourceLinks } from '../sourceLinks';
import { placeOf, textOf } from '../sourceProgram';

/** What changes in one document: a file, or a cell of a notebook. */
export interface DocumentEdits {
  readonly document: vscode.TextDocument;
  readonly before: string;
  readonly edits: readonly { readonly range: vscode.Range; readonly text: string; readonly label: string }[];
  /** What has to be changed by hand, and why. */
  readonly manual: readonly { readonly range: vscode.Range; readonly reason: string }[];
  /** Of the file that the model most likely came from; the others only define the same layers. */
  readonly isMain: boolean;
}

/** Sources whose scores differ by less are equally likely: the user says which one the model came from. */
const sameScore = 0.05;

/** What has to change in the code so that it fits the new weights; undefined when the user did not say in which of two files. */
export async function sourceEditsFor(
  links: SourceLinks, model: Model, changes: readonly ShapeChange[], newFile: string,
): Promise<readonly DocumentEdits[] | undefined> {
  // Scores of now: a file that was edited and set back since would seem to contradict the model.
  const sources = await links.scan(model);
  const main = await mainSource(links, model, sources);
  if (main === 'unsaid') return undefined;
  const found: DocumentEdits[] = [];
  for (const { uri } of sources) {
    // The text may have changed since it was linked: offsets must be those of now.
    const opened = await links.open(uri).catch(() => undefined);
    if (opened) found.push(...(await editsOf(links, model, opened, changes, newFile, uri === main)));
  }
  return found.sort((a, b) => Number(b.isMain) - Number(a.isMain));
}

async function editsOf(
  links: SourceLinks, model: Model, { program, definitions }: Awaited<ReturnType<SourceLinks['open']>>,
  changes: readonly ShapeChange[], newFile: string, isMain: boolean,
): Promise<readonly DocumentEdits[]> {
  const { uri, languageId } = program;
  const { edits, manual } = await links.tools.editsFor(textOf(program), languageId, links.link(model, program, definitions), changes, {
    before: relative(uri, model.uri.fsPath), after: relative(uri, newFile),
  });
  const byDocument = new Map(program.parts.map(({ document }) => [document.uri.toString(), { document, edits: [] as Edit[], manual: [] as Note[] }]));
  const locked = await isReadOnly(uri);
  for (const { span, text, label } of edits) {
    const place = placeOf(program, span);
    const at = place && byDocument.get(place.uri.toString());
    if (!at) continue;
    if (locked) at.manual.push({ range: place.range, reason: vscode.l10n.t('{0}: write {1} here; the file is read-only', label, text) });
    else at.edits.push({ range: place.range, text, label });
  }
  for (const { span, reason } of manual) {
    const place = placeOf(program, span);
    if (place) byDocument.get(place.uri.toString())?.manual.push({ range: place.range, reason });
  }
  return [...byDocument.values()]
    .filter((one) => one.edits.length + one.manual.length > 0)
    .map((one) => ({ ...one, before: one.document.getText(), isMain }));
}

type Edit = DocumentEdits['edits'][number];
type Note = DocumentEdits['manual'][number];

/** Asked once: the answer is remembered for this model. */
async function mainSource(links: SourceLinks, model: Model, sources: readonly LinkedSource[]): Promise<vscode.Uri | undefined | 'unsaid'> {
  const [best] = sources;
  if (!best) return undefined;
  const rivals = sources.filter(({ score }) => score > best.score - sameScore);
  if (rivals.length === 1) return best.uri;
  const picked = await vscode.window.showQuickPick(
    rivals.map(({ uri, links: own }) => ({
      label: vscode.workspace.asRelativePath(uri), detail: own.slice(0, 4).map(({ definition, layer }) => `${definition.type} ${layer}`).join(', '), uri,
    })),
    { title: vscode.l10n.t('Which code defines {0}?', model.title), placeHolder: vscode.l10n.t('Asked once; its sizes are changed with the model') },
  );
  if (!picked) return 'unsaid';
  await links.chooseSource(model, picked.uri);
  return picked.uri;
}

/** By its permissions, which hold in the editor also for those whom the disk would let write. */
async function isReadOnly(uri: vscode.Uri): Promise<boolean> {
  if (vscode.workspace.fs.isWritableFileSystem(uri.scheme) === false) return true;
  return uri.scheme === 'file' && stat(uri.fsPath).then(({ mode }) => (mode & 0o222) === 0, () => false);
}

function relative(source: vscode.Uri, file: string): string {
  return path.relative(path.dirname(source.fsPath), file).split(path.sep).join('/');
}
