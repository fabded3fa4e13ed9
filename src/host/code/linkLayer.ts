import * as vscode from 'vscode';
import type { LayerDefinition, Link } from '../../core/source/definition';
import { formatCount } from '../format';
import type { Model } from '../model';
import type { Services } from '../services';
import { linksAt } from '../sourceLinks';
import { programOf } from '../sourceProgram';

interface LayerItem extends vscode.QuickPickItem {
  readonly choose: () => Promise<void>;
}

/** Lets the user say which layer a definition makes; remembered in the workspace. */
export async function linkLayer({ links, models }: Services, document: vscode.TextDocument, position: vscode.Position): Promise<void> {
  const found = await links.modelOf(document);
  const model = found?.model ?? models.active;
  if (!model) return;
  const definition = (found && linksAt(found, document, position)[0]?.definition) ?? (await definitionAt(links, document, position));
  if (!definition) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No layer is defined in this line.'));
    return;
  }
  const all = links.link(model, programOf(document), await links.definitionsIn(document));
  const items: LayerItem[] = [
    ...layerItems(model, definition, all).map(({ layer, ...item }) => ({ ...item, choose: () => links.correct(model, document, definition, [layer]) })),
    {
      label: `$(circle-slash) ${vscode.l10n.t('Not a layer of {0}', model.title)}`, alwaysShow: true,
      choose: () => links.correct(model, document, definition, []),
    },
  ];
  if (links.corrections(model, programOf(document).uri).length > 0) {
    items.push({
      label: `$(discard) ${vscode.l10n.t('Forget what was said about this file')}`, alwaysShow: true,
      choose: () => links.forgetCorrections(model, document),
    });
  }
  const written = definition.name ? `${definition.name} = ${definition.type}` : definition.type;
  const picked = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t('{0}: which layer of {1} is this?', written, model.title), matchOnDescription: true, matchOnDetail: true,
    placeHolder: vscode.l10n.t('What you say is remembered in this workspace'),
  });
  await picked?.choose();
}

/** The layers, those that it is linked to first, with how sure that is and why. */
function layerItems(model: Model, definition: LayerDefinition, all: readonly Link[]): readonly (vscode.QuickPickItem & { readonly layer: string })[] {
  const items = model.summary.layers.filter(({ particles }) => particles).map(({ name, type, particles }) => {
    const link = all.find(({ layer }) => layer === name);
    const here = link !== undefined && link.definition.span.start === definition.span.start;
    const width = definition.sizes.find(({ role }) => role === 'width')?.value;
    const fits = width === undefined || width === particles?.count;
    const state = link
      ? here
        ? vscode.l10n.t('linked here, {0} %: {1}', Math.round(100 * link.confidence), link.reason)
        : vscode.l10n.t('linked to other code, {0} %: {1}', Math.round(100 * link.confidence), link.reason)
      : vscode.l10n.t('not linked to any code');
    const order = here ? 0 : link === undefined ? (fits ? 1 : 2) : fits ? 3 : 4;
    return {
      layer: name, order, label: `${here ? '$(check) ' : ''}${name}`,
      description: `${type} · ${formatCount(particles!.count, particles!.kind)}`,
      detail: fits ? state : `${state} · ${vscode.l10n.t('the code says {0}', width)}`,
    };
  });
  return items.sort((a, b) => a.order - b.order);
}

async function definitionAt(
  links: Services['links'], document: vscode.TextDocument, position: vscode.Position,
): Promise<LayerDefinition | undefined> {
  const start = programOf(document).parts.find((part) => part.document === document)?.start ?? 0;
  const offset = start + document.offsetAt(position);
  const { start: from, end: to } = { start: start + document.offsetAt(position.with({ character: 0 })), end: start + document.offsetAt(document.lineAt(position.line).range.end) };
  const definitions = await links.definitionsIn(document);
  const around = definitions.filter(({ span }) => span.start <= offset && offset <= span.end);
  const [innermost] = around.sort((a, b) => a.span.end - a.span.start - (b.span.end - b.span.start));
  return innermost ?? definitions.find(({ anchor }) => anchor.start >= from && anchor.start <= to);
}
