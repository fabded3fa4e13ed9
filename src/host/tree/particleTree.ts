import * as vscode from 'vscode';
import type { LayerSummary } from '../../compute/protocol';
import { formatValue } from '../format';
import type { Model } from '../model';
import type { ModelStore } from '../modelStore';
import { treeItem } from './treeItem';

export type TreeNode =
  | { readonly kind: 'model'; readonly model: Model }
  | { readonly kind: 'layer'; readonly model: Model; readonly layer: LayerSummary }
  | { readonly kind: 'page'; readonly model: Model; readonly layer: LayerSummary; readonly from: number; readonly to: number }
  | { readonly kind: 'particle'; readonly model: Model; readonly layer: LayerSummary; readonly row: number };

/** VS Code slows down with thousands of siblings: larger layers get pages. */
export const pageSize = 500;

/** Nodes of the side view; texts and icons are in treeItem.ts. */
export class ParticleTree implements vscode.TreeDataProvider<TreeNode>, vscode.Disposable {
  private readonly emitter = new vscode.EventEmitter<TreeNode | undefined>();
  private readonly subscription: vscode.Disposable;
  private text = '';
  private sort: { readonly column: string; readonly descending: boolean } | undefined;
  private refreshing: NodeJS.Timeout | undefined;

  readonly onDidChangeTreeData = this.emitter.event;

  constructor(private readonly models: ModelStore) {
    this.subscription = models.onDidChange(({ change }) => {
      if (change === 'opened' || change === 'closed' || change === 'summary') this.refresh(0);
      // Columns come in bursts while a sweep runs.
      else if (change === 'columns' || change === 'suggestions' || change === 'links') this.refresh(300);
    });
  }

  get filter(): string {
    return this.text;
  }

  set filter(text: string) {
    if (text === this.text) return;
    this.text = text;
    this.refresh(50);
  }

  sortBy(column: string | undefined, descending: boolean): void {
    this.sort = column === undefined ? undefined : { column, descending };
    this.refresh(0);
  }

  sortTitle(model: Model | undefined): string | undefined {
    const column = this.sort && model?.column(this.sort.column);
    return column && `${this.sort?.descending ? '↓' : '↑'} ${column.title}`;
  }

  getChildren(node?: TreeNode): TreeNode[] {
    if (!node) return this.models.all.map((model) => ({ kind: 'model', model }));
    switch (node.kind) {
      case 'model':
        return this.layersOf(node.model).map((layer) => ({ kind: 'layer', model: node.model, layer }));
      case 'layer': {
        const rows = this.sorted(node.model, node.layer);
        if (rows.length <= pageSize) return rows.map((row) => this.particle(node, row));
        return Array.from({ length: Math.ceil(rows.length / pageSize) }, (_, page) => ({
          kind: 'page', model: node.model, layer: node.layer, from: page * pageSize, to: Math.min(rows.length, (page + 1) * pageSize),
        }));
      }
      case 'page':
        return this.sorted(node.model, node.layer).slice(node.from, node.to).map((row) => this.particle(node, row));
      case 'particle':
        return [];
    }
  }

  getParent(node: TreeNode): TreeNode | undefined {
    const { model } = node;
    if (node.kind === 'model') return undefined;
    if (node.kind === 'layer') return { kind: 'model', model };
    const { layer } = node;
    if (node.kind === 'page') return { kind: 'layer', model, layer };
    const rows = this.sorted(model, layer);
    if (rows.length <= pageSize) return { kind: 'layer', model, layer };
    const from = Math.floor(Math.max(0, rows.indexOf(node.row)) / pageSize) * pageSize;
    return { kind: 'page', model, layer, from, to: Math.min(rows.length, from + pageSize) };
  }

  getTreeItem(node: TreeNode): vscode.TreeItem {
    return treeItem(node, this.sort?.column, this.text !== '');
  }

  /** Tooltips list every column: they are made when the mouse rests on a row. */
  resolveTreeItem(item: vscode.TreeItem, node: TreeNode): vscode.TreeItem {
    if (node.kind === 'particle') item.tooltip = particleTooltip(node.model, node.row);
    return item;
  }

  nodeOfRow(model: Model, row: number): TreeNode | undefined {
    const layer = model.layerOf(row);
    return layer && this.matches(model, layer, row) ? { kind: 'particle', model, layer, row } : undefined;
  }

  /** Rows that a node stands for. */
  rowsOf(node: TreeNode): readonly number[] {
    if (node.kind === 'particle') return [node.row];
    if (node.kind === 'model') return [];
    const rows = this.sorted(node.model, node.layer);
    return node.kind === 'page' ? rows.slice(node.from, node.to) : rows;
  }

  matchCount(model: Model): number {
    return this.layersOf(model).length;
  }

  dispose(): void {
    clearTimeout(this.refreshing);
    this.subscription.dispose();
    this.emitter.dispose();
  }

  private refresh(delayMs: number): void {
    if (delayMs > 0 && this.refreshing) return;
    clearTimeout(this.refreshing);
    this.refreshing = setTimeout(() => {
      this.refreshing = undefined;
      this.emitter.fire(undefined);
    }, delayMs);
  }

  private particle(node: { readonly model: Model; readonly layer: LayerSummary }, row: number): TreeNode {
    return { kind: 'particle', model: node.model, layer: node.layer, row };
  }

  private layersOf(model: Model): readonly LayerSummary[] {
    if (!this.text) return model.summary.layers;
    return model.summary.layers.filter((layer) => matchesText(layer.name, this.text)
      || model.rowsOf(layer.name).some((row) => matchesText(model.idOf(row), this.text)));
  }

  private matches(model: Model, layer: LayerSummary, row: number): boolean {
    return !this.text || matchesText(layer.name, this.text) || matchesText(model.idOf(row), this.text);
  }

  private sorted(model: Model, layer: LayerSummary): readonly number[] {
    const rows = model.rowsOf(layer.name).filter((row) => this.matches(model, layer, row));
    const values = this.sort && model.column(this.sort.column)?.values;
    if (!values) return rows;
    const sign = this.sort?.descending ? -1 : 1;
    const key = (row: number): number => {
      const value = values[row]!;
      return Number.isNaN(value) ? Infinity : sign * value; // What has no value comes last either way.
    };
    return [...rows].sort((a, b) => (key(a) === key(b) ? a - b : key(a) - key(b)));
  }
}

function matchesText(name: string, text: string): boolean {
  return name.toLowerCase().includes(text.toLowerCase());
}

function particleTooltip(model: Model, row: number): vscode.MarkdownString {
  const lines = model.columns.map((column) =>
    `| ${escapeCell(column.title)} | ${escapeCell(formatValue(model, column, row))} |`);
  const { suggestions } = model;
  const id = model.idOf(row);
  const proposed = suggestions?.suggestions.find(({ particles }) => particles.includes(id));
  const markdown = new vscode.MarkdownString(`**${escapeCell(id)}**\n\n`);
  if (lines.length > 0) markdown.appendMarkdown(`| | |\n|---|---:|\n${lines.join('\n')}\n\n`);
  if (proposed) markdown.appendText(`${proposed.title}: ${proposed.evidence}`);
  return markdown;
}

/** Names come from files: they must not become markup. */
function escapeCell(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+!|<>~-]/g, '\\$&').replace(/\s+/g, ' ');
}
