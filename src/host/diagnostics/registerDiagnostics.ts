import * as vscode from 'vscode';
import { layerNumbers, mostWasted } from '../layerNumbers';
import type { Services } from '../services';
import { setting } from '../settings';
import { debounce, sourceLanguages } from '../sourceLinks';
import { placeOf } from '../sourceProgram';

/** Hints (three dots below the code, nothing in the Problems view) where much of a layer does no good. */
export function registerDiagnostics({ links, models }: Services): vscode.Disposable {
  const collection = vscode.languages.createDiagnosticCollection('particlize');

  const update = (document: vscode.TextDocument): void => {
    const share = setting('hints.share', document.uri);
    const found = setting('hints.enabled', document.uri) ? links.known(document) : undefined;
    const hints = (found?.links ?? []).flatMap(({ definition, layer: name }) => {
      const layer = found!.model.layer(name);
      const numbers = layer && layerNumbers(found!.model, [layer]);
      const place = numbers && placeOf(found!.program, definition.anchor);
      if (!numbers || place?.uri.toString() !== document.uri.toString()) return [];
      const wasted = mostWasted(numbers);
      if (wasted.share < share) return [];
      const hint = new vscode.Diagnostic(place.range, `${name}: ${wasted.sentence}.`, vscode.DiagnosticSeverity.Hint);
      hint.source = 'Particlize';
      return [hint];
    });
    collection.set(document.uri, hints);
  };
  const updateAll = debounce(() => {
    for (const document of vscode.workspace.textDocuments) {
      if ((sourceLanguages as readonly string[]).includes(document.languageId) && isShown(document)) update(document);
    }
  }, 200);

  return vscode.Disposable.from(
    collection,
    updateAll,
    links.onDidChange(() => updateAll.call()),
    models.onDidChange(({ change }) => {
      if (change === 'columns' || change === 'summary' || change === 'opened' || change === 'closed') updateAll.call();
    }),
    vscode.window.onDidChangeVisibleTextEditors(() => updateAll.call()),
    vscode.workspace.onDidCloseTextDocument(({ uri }) => collection.delete(uri)),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('particlize.hints')) updateAll.call();
    }),
  );
}

function isShown(document: vscode.TextDocument): boolean {
  return vscode.window.visibleTextEditors.some((editor) => editor.document === document);
}
