import * as vscode from 'vscode';
import { formatCount, formatValue } from '../format';
import type { TreeNode } from './particleTree';

/** Codicons by what a layer consists of, or else by what it does. */
const kindIcons: Readonly<Record<string, string>> = {
  kernel: 'symbol-array', neuron: 'symbol-ruler', unit: 'history', head: 'eye', factor: 'symbol-key',
};
const typeIcons: readonly (readonly [RegExp, string])[] = [
  [/pool/i, 'fold'],
  [/relu|sigmoid|tanh|softmax|gelu|activation|elu/i, 'pulse'],
  [/norm/i, 'settings'],
  [/flatten|reshape|transpose|permute/i, 'symbol-structure'],
  [/add|concat|merge|mul/i, 'git-merge'],
  [/input/i, 'arrow-right'],
];

export function treeItem(node: TreeNode, sortColumn: string | undefined, filtered: boolean): vscode.TreeItem {
  const open = vscode.TreeItemCollapsibleState;
  switch (node.kind) {
    case 'model': {
      const { summary } = node.model;
      const item = new vscode.TreeItem(node.model.title, open.Expanded);
      item.id = summary.path;
      item.description = `${formatCount(summary.particleCount, 'particle')} · ${summary.formatTitle}`;
      item.iconPath = new vscode.ThemeIcon('type-hierarchy-sub');
      item.contextValue = 'model';
      item.tooltip = modelTooltip(node.model.summary.path, [
        `${summary.formatTitle}, ${summary.producer}`,
        formatCount(summary.parameters, 'parameter'),
        `${summary.macs.toLocaleString('en')} MACs`,
        ...summary.findings.map(({ place, message }) => `${place}: ${message}`),
      ]);
      return item;
    }
    case 'layer': {
      const { layer, model } = node;
      const { particles } = layer;
      const state = !particles ? open.None : filtered ? open.Expanded : open.Collapsed;
      const item = new vscode.TreeItem(layer.name, state);
      // A search opens layers: another id, or VS Code would keep what the user had closed.
      item.id = `${model.summary.path}#${layer.name}${filtered ? '?' : ''}`;
      item.description = [
        particles ? formatCount(particles.count, particles.kind) : layer.type,
        layer.parameters > 0 ? formatCount(layer.parameters, 'parameter') : undefined,
      ].filter(Boolean).join(' · ');
      item.iconPath = new vscode.ThemeIcon(layerIcon(layer.type, particles?.kind));
      item.contextValue = particles ? 'layer' : 'layerWithout';
      item.tooltip = modelTooltip(`${layer.name} (${layer.type})`, [
        layer.outputShape ? `[${layer.outputShape.map((size, axis) => size ?? (axis === 0 ? 'N' : '?')).join(', ')}]` : '',
        layer.macs === undefined ? '' : `${layer.macs.toLocaleString('en')} MACs`,
        layer.note ?? '',
      ]);
      return item;
    }
    case 'page': {
      const item = new vscode.TreeItem(`${node.from + 1} – ${node.to}`, open.Collapsed);
      item.id = `${node.model.summary.path}#${node.layer.name}#${node.from}`;
      item.iconPath = new vscode.ThemeIcon('ellipsis');
      return item;
    }
    case 'particle': {
      const { model, row } = node;
      const id = model.idOf(row);
      const item = new vscode.TreeItem(id.slice(node.layer.name.length + 1), open.None);
      item.id = `${model.summary.path}#${id}`;
      const column = sortColumn === undefined ? undefined : model.column(sortColumn);
      if (column) item.description = formatValue(model, column, row);
      const proposed = model.suggestions?.suggestions.some(({ particles }) => particles.includes(id)) ?? false;
      item.iconPath = proposed
        ? new vscode.ThemeIcon('lightbulb', new vscode.ThemeColor('editorLightBulb.foreground'))
        : new vscode.ThemeIcon('circle-small');
      item.contextValue = 'particle';
      item.accessibilityInformation = { label: `${id} ${item.description ?? ''}` };
      return item;
    }
  }
}

function layerIcon(type: string, kind: string | undefined): string {
  return (kind && kindIcons[kind]) ?? typeIcons.find(([pattern]) => pattern.test(type))?.[1] ?? 'symbol-misc';
}

/** Plain text only: names come from files. */
function modelTooltip(title: string, lines: readonly string[]): string {
  return [title, ...lines.filter(Boolean)].join('\n');
}
