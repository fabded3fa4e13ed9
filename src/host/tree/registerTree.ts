import * as vscode from 'vscode';
import { commands, contexts, views } from '../contributions';
import type { Model } from '../model';
import type { Services } from '../services';
import { ParticleTree, type TreeNode } from './particleTree';

/** The side view: models, their layers, their particles; with search, sort, a badge and multi-select. */
export function registerTree(services: Services): vscode.Disposable {
  const { models } = services;
  const tree = new ParticleTree(models);
  const view = vscode.window.createTreeView<TreeNode>(views.particles, {
    treeDataProvider: tree, canSelectMany: true, showCollapseAll: true,
  });

  const describe = (): void => {
    const { active } = models;
    // Suggestions are alternatives: together they may cost more than was accepted.
    const removable = Math.max(0, ...(active?.suggestions?.suggestions ?? []).map(({ particles }) => particles.length));
    const total = active?.summary.particleCount ?? 0;
    if (!active) view.badge = undefined;
    else if (removable > 0) view.badge = { value: removable, tooltip: vscode.l10n.t('{0} particles may be removed', removable) };
    else view.badge = { value: total, tooltip: vscode.l10n.t('{0} particles', total) };
    const parts = [tree.sortTitle(active), tree.filter && `“${tree.filter}”`].filter(Boolean);
    view.description = parts.join(' · ');
    view.message = tree.filter && active && tree.matchCount(active) === 0
      ? vscode.l10n.t('Nothing matches “{0}”.', tree.filter)
      : undefined;
    void vscode.commands.executeCommand('setContext', contexts.filtered, tree.filter !== '');
  };

  const search = async (): Promise<void> => {
    const box = vscode.window.createInputBox();
    box.title = vscode.l10n.t('Search particles');
    box.placeholder = vscode.l10n.t('Part of a layer name or an id, such as conv1 or kernel:7');
    box.value = tree.filter;
    box.onDidChangeValue((text) => {
      tree.filter = text.trim();
      describe();
    });
    box.onDidAccept(() => box.hide());
    box.onDidHide(() => box.dispose());
    box.show();
  };

  const sort = async (): Promise<void> => {
    const { active } = models;
    if (!active) return;
    const order = { label: vscode.l10n.t('Order in the layer'), column: undefined, descending: false };
    const items = active.columns.flatMap(({ name, title, meaning }) => [true, false].map((descending) => ({
      label: `$(arrow-${descending ? 'down' : 'up'}) ${title}`,
      description: descending ? vscode.l10n.t('largest first') : vscode.l10n.t('smallest first'),
      detail: meaning,
      column: name as string | undefined,
      descending,
    })));
    const picked = await vscode.window.showQuickPick([order, ...items], {
      title: vscode.l10n.t('Sort particles by'), matchOnDetail: true, matchOnDescription: true,
    });
    if (!picked) return;
    tree.sortBy(picked.column, picked.descending);
    describe();
  };

  let fromTree = false;
  const selected = ({ selection }: vscode.TreeViewSelectionChangeEvent<TreeNode>): void => {
    const last = selection.at(-1);
    if (!last) return;
    const { model } = last;
    fromTree = true;
    models.active = model;
    const rows = selection.filter((node) => node.model === model).flatMap((node) => tree.rowsOf(node));
    model.select(rows, last.kind === 'model' ? undefined : { layer: last.layer.name, row: last.kind === 'particle' ? last.row : undefined });
    fromTree = false;
  };

  const follow = (model: Model): void => {
    const [row] = model.selection;
    if (fromTree || !view.visible || row === undefined || model.selection.length > 1) return;
    const node = tree.nodeOfRow(model, row);
    if (node) void view.reveal(node, { select: true, focus: false }).then(undefined, () => undefined);
  };

  describe();
  return vscode.Disposable.from(
    view,
    tree,
    view.onDidChangeSelection(selected),
    models.onDidChange(({ model, change }) => {
      if (change === 'selection') follow(model);
      else describe();
    }),
    vscode.commands.registerCommand(commands.searchParticles, search),
    vscode.commands.registerCommand(commands.clearSearch, () => {
      tree.filter = '';
      describe();
    }),
    vscode.commands.registerCommand(commands.sortParticles, sort),
  );
}
