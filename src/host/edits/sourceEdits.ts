import path from 'node:path';
import * as vscode from 'vscode';
import type { ShapeChange } from '../../core/optimise/plan';
import type { ManualEdit, SourceEdit } from '../../core/source/definition';
import type { LinkedSource, Model } from '../model';
import { sourceTools } from '../sourceTools';

export interface DocumentEdits {
  readonly document: vscode.TextDocument;
  readonly before: string;
  readonly edits: readonly SourceEdit[];
  readonly manual: readonly ManualEdit[];
  /** The file that the model most likely came from; the others only define the same layers. */
  readonly isMain: boolean;
}

/** What has to change in the code so that it fits the new weights; the likeliest source comes first. */
export async function sourceEditsFor(
  model: Model, sources: readonly LinkedSource[], changes: readonly ShapeChange[], newFile: string,
): Promise<readonly DocumentEdits[]> {
  const found: DocumentEdits[] = [];
  for (const { uri } of sources) {
    const document = await vscode.workspace.openTextDocument(uri);
    const before = document.getText();
    // The text may have changed since it was linked: offsets must be those of now.
    const definitions = await sourceTools.findDefinitions(before, document.languageId);
    const links = sourceTools.linkDefinitions(definitions, model.summary.layers);
    const { edits, manual } = await sourceTools.editsFor(before, document.languageId, links, changes, {
      before: relative(uri, model.uri.fsPath), after: relative(uri, newFile),
    });
    if (edits.length + manual.length > 0) found.push({ document, before, edits, manual, isMain: found.length === 0 });
  }
  return found;
}

function relative(source: vscode.Uri, file: string): string {
  return path.relative(path.dirname(source.fsPath), file).split(path.sep).join('/');
}
