import * as vscode from 'vscode';
import { commands } from '../contributions';
import type { Services } from '../services';
import { linksAt } from '../sourceLinks';
import { findModel } from './findModel';
import { linkLayer } from './linkLayer';

/** What a lens, a hover or the cursor means: a place in code, or a layer by name. */
export type CodeTarget = { readonly uri: vscode.Uri; readonly position: vscode.Position } | { readonly model: string; readonly layer: string };

/** From code to the model: its particles, its file, and which layer a definition really is. */
export function registerCode(services: Services): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.commands.registerCommand(commands.revealFromCode, (target?: CodeTarget | vscode.Uri) => reveal(services, target)),
    vscode.commands.registerCommand(commands.linkLayer, async (target?: CodeTarget | vscode.Uri) => {
      const place = await placeMeant(target);
      if (place) await linkLayer(services, place.document, place.position);
    }),
    vscode.commands.registerCommand(commands.findModel, async () => {
      const place = await placeMeant(undefined);
      if (place) await findModel(services, place.document);
    }),
  );
}

async function reveal({ links, models }: Services, target: CodeTarget | vscode.Uri | undefined): Promise<void> {
  if (target && 'layer' in target) {
    const model = models.get(target.model);
    const layer = model?.layer(target.layer);
    if (layer) await vscode.commands.executeCommand(commands.revealParticle, { model, layer });
    return;
  }
  const place = await placeMeant(target);
  if (!place) return;
  const found = await links.modelOf(place.document);
  const layers = found ? linksAt(found, place.document, place.position).flatMap(({ layer }) => found.model.layer(layer) ?? []) : [];
  const own = layers.filter(({ particles }) => particles);
  if (!found || own.length === 0) {
    const message = found
      ? vscode.l10n.t('No layer of {0} with particles is defined in this line.', found.model.title)
      : vscode.l10n.t('No open model is defined here.');
    const search = vscode.l10n.t('Find its model');
    const choice = await vscode.window.showInformationMessage(message, ...(found ? [] : [search]));
    if (choice === search) await vscode.commands.executeCommand(commands.findModel);
    return;
  }
  const chosen = own.length === 1 ? own : await chooseLayers(own.map((layer) => ({ label: layer.name, description: layer.type, layer })));
  if (!chosen) return;
  const targets = chosen.map((layer) => ({ model: found.model, layer }));
  await vscode.commands.executeCommand(commands.revealParticle, targets[0], targets);
}

/** One definition that makes several layers: all of them, or one. */
async function chooseLayers<T>(items: readonly (vscode.QuickPickItem & { readonly layer: T })[]): Promise<readonly T[] | undefined> {
  const all = { label: vscode.l10n.t('All {0} layers', items.length), layer: undefined };
  const picked = await vscode.window.showQuickPick<vscode.QuickPickItem & { readonly layer?: T }>(
    [all, ...items], { title: vscode.l10n.t('This definition makes several layers') });
  if (!picked) return undefined;
  return picked.layer === undefined ? items.map(({ layer }) => layer) : [picked.layer];
}

/** A menu of the editor hands over its file only: then the cursor says where. */
async function placeMeant(
  target: CodeTarget | vscode.Uri | undefined,
): Promise<{ readonly document: vscode.TextDocument; readonly position: vscode.Position } | undefined> {
  if (target && 'position' in target) {
    return { document: await vscode.workspace.openTextDocument(target.uri), position: target.position };
  }
  const editor = vscode.window.activeTextEditor;
  return editor && { document: editor.document, position: editor.selection.active };
}
