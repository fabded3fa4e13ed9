import * as vscode from 'vscode';
import type { Link } from '../../core/source/definition';
import type { Model } from '../model';
import type { Services } from '../services';
import { notebookCellScheme, placeOf } from '../sourceProgram';

interface Place {
  /** The file or notebook. */
  readonly uri: vscode.Uri;
  readonly link: Link;
  readonly location: vscode.Location;
}

/** Shows where a layer is defined in code; when several files define it, asks once which one the model came from. */
export async function goToDefinition(
  { links }: Services, model: Model, layer: string | undefined,
): Promise<{ found: boolean; message?: string }> {
  const name = layer ?? (await pickLayer(model));
  if (name === undefined) return { found: false };
  const sources = model.sources.length > 0 ? model.sources : await links.scan(model);
  const places: Place[] = [];
  for (const { uri } of sources) {
    // The text may have changed since the workspace was looked through.
    const opened = await links.open(uri).catch(() => undefined);
    if (!opened) continue;
    for (const link of links.link(model, opened.program, opened.definitions).filter((one) => one.layer === name)) {
      const location = placeOf(opened.program, link.definition.anchor);
      if (location) places.push({ uri, link, location });
    }
  }
  if (places.length === 0) {
    const message = vscode.l10n.t('No definition of {0} was found in the code of this workspace.', name);
    void vscode.window.showInformationMessage(message);
    return { found: false, message };
  }
  const said = links.chosenSource(model);
  const place = places.length === 1 ? places[0] : (places.find(({ uri }) => uri.toString() === said) ?? (await ask(places, name)));
  if (!place) return { found: true };
  if (places.length > 1 && said !== place.uri.toString()) await links.chooseSource(model, place.uri);
  await show(place);
  return { found: true };
}

async function ask(places: readonly Place[], name: string): Promise<Place | undefined> {
  return (await vscode.window.showQuickPick(
    places.map((place) => ({
      label: vscode.workspace.asRelativePath(place.uri), description: place.link.definition.type, detail: place.link.reason, place,
    })),
    { title: vscode.l10n.t('Definitions of {0}', name), placeHolder: vscode.l10n.t('The file that the model came from; asked once') },
  ))?.place;
}

async function show({ uri, location: { uri: place, range } }: Place): Promise<void> {
  if (place.scheme === notebookCellScheme) {
    const notebook = await vscode.workspace.openNotebookDocument(uri);
    const cell = notebook.getCells().find(({ document }) => document.uri.toString() === place.toString());
    if (cell) await vscode.window.showNotebookDocument(notebook, { selections: [new vscode.NotebookRange(cell.index, cell.index + 1)] });
    return;
  }
  const document = await vscode.workspace.openTextDocument(place);
  await vscode.window.showTextDocument(document, {
    selection: range, viewColumn: vscode.window.visibleTextEditors.find((editor) => editor.document === document)?.viewColumn,
  });
}

async function pickLayer(model: Model): Promise<string | undefined> {
  const layers = model.summary.layers.map(({ name, type }) => ({ label: name, description: type }));
  return (await vscode.window.showQuickPick(layers, { title: vscode.l10n.t('Go to the definition of') }))?.label;
}
