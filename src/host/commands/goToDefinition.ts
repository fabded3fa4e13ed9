import * as vscode from 'vscode';
import type { Model } from '../model';
import type { Services } from '../services';

/** Shows where a layer is defined in code; asks which file when several define it. */
export async function goToDefinition(
  { links }: Services, model: Model, layer: string | undefined,
): Promise<{ found: boolean; message?: string }> {
  const name = layer ?? (await pickLayer(model));
  if (name === undefined) return { found: false };
  const sources = model.sources.length > 0 ? model.sources : await links.scan(model);
  const places = sources.flatMap(({ uri, links: all }) =>
    all.filter((link) => link.layer === name).map(({ definition, reason }) => ({ uri, definition, reason })));
  if (places.length === 0) {
    const message = vscode.l10n.t('No definition of {0} was found in the code of this workspace.', name);
    void vscode.window.showInformationMessage(message);
    return { found: false, message };
  }
  const place = places.length === 1 ? places[0] : (await vscode.window.showQuickPick(
    places.map((each) => ({ label: vscode.workspace.asRelativePath(each.uri), description: each.definition.type, detail: each.reason, ...each })),
    { title: vscode.l10n.t('Definitions of {0}', name) },
  ));
  if (!place) return { found: true };
  const document = await vscode.workspace.openTextDocument(place.uri);
  const { start, end } = place.definition.anchor;
  await vscode.window.showTextDocument(document, {
    selection: new vscode.Range(document.positionAt(start), document.positionAt(end)),
    viewColumn: vscode.window.visibleTextEditors.find((editor) => editor.document === document)?.viewColumn,
  });
  return { found: true };
}

async function pickLayer(model: Model): Promise<string | undefined> {
  const layers = model.summary.layers.map(({ name, type }) => ({ label: name, description: type }));
  return (await vscode.window.showQuickPick(layers, { title: vscode.l10n.t('Go to the definition of') }))?.label;
}
