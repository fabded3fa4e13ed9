import * as vscode from 'vscode';
import type { RoundSummary } from '../../compute/protocol';
import { commands } from '../contributions';
import { formatNumber, formatShare } from '../format';
import type { Model } from '../model';
import type { ModelStore } from '../modelStore';

export interface RoundNode {
  readonly model: Model;
  readonly round: RoundSummary;
}

/** The rounds of the active model, in their order. */
export class RoundsTree implements vscode.TreeDataProvider<RoundNode>, vscode.Disposable {
  private readonly emitter = new vscode.EventEmitter<void>();

  readonly onDidChangeTreeData = this.emitter.event;

  constructor(private readonly models: ModelStore) {}

  refresh(): void {
    this.emitter.fire();
  }

  getChildren(node?: RoundNode): RoundNode[] {
    const model = this.models.active;
    if (node || !model?.rounds) return [];
    return model.rounds.rounds.map((round) => ({ model, round }));
  }

  getTreeItem({ model, round }: RoundNode): vscode.TreeItem {
    const [original] = model.rounds?.rounds ?? [];
    const { decisive, metrics, macs, parameters } = round.evaluation;
    const isOriginal = round.round === 0;
    const item = new vscode.TreeItem(isOriginal ? vscode.l10n.t('Original') : vscode.l10n.t('Round {0}', round.round));
    const share = formatShare(macs, original?.evaluation.macs ?? macs);
    item.id = `${round.folder}`;
    item.description = [`${decisive.name} ${formatNumber(metrics[decisive.name] ?? NaN)}`, vscode.l10n.t('{0} of MACs', share), round.best ? vscode.l10n.t('best') : ''].filter(Boolean).join(' · ');
    item.iconPath = new vscode.ThemeIcon(isOriginal ? 'home' : round.best ? 'star-full' : round.withinDrop ? 'pass' : 'circle-slash');
    item.contextValue = isOriginal ? 'roundOriginal' : 'round';
    item.tooltip = [
      round.title,
      vscode.l10n.t('{0} parameters, {1} MACs, {2} bytes', parameters.toLocaleString(), macs.toLocaleString(), round.fileBytes.toLocaleString()),
      round.latency && vscode.l10n.t('{0} ms a sample: median of {1} runs, {2}, {3} threads',
        formatNumber(round.latency.medianMs), round.latency.runs, round.latency.engine, round.latency.threads),
      round.withinDrop ? undefined : vscode.l10n.t('It loses {0}, more than the accepted drop.', formatNumber(round.drop)),
      round.training?.message,
    ].filter(Boolean).join('\n');
    item.accessibilityInformation = { label: `${item.label as string}, ${item.description}` };
    item.command = { command: commands.openRound, title: vscode.l10n.t('Open'), arguments: [{ model, round }] };
    return item;
  }

  dispose(): void {
    this.emitter.dispose();
  }
}
