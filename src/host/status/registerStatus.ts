import * as vscode from 'vscode';
import { commands, type CommandName } from '../contributions';
import { formatCount, formatNumber } from '../format';
import type { Services } from '../services';

/** The status bar item: which model, which engine, what runs; a click offers what can be done. */
export function registerStatus({ models }: Services): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('particlize.status', vscode.StatusBarAlignment.Left, 10);
  item.name = 'Particlize';
  item.command = commands.showActions;

  const update = (): void => {
    const { active, engine } = models;
    if (!active) {
      item.hide();
      return;
    }
    const { running, evaluation, summary } = active;
    const percent = running && running.total > 0 ? ` ${((100 * running.done) / running.total).toFixed(0)} %` : '';
    item.text = running
      ? `$(sync~spin) ${active.title}: ${running.title}${percent}`
      : `$(type-hierarchy-sub) ${active.title}${engine ? ` · ${engine.current}` : ''}`;
    const decisive = evaluation?.decisive.name;
    item.tooltip = [
      summary.path,
      `${formatCount(summary.particleCount, 'particle')} · ${formatCount(summary.parameters, 'parameter')}`,
      evaluation && decisive ? `${decisive} ${formatNumber(evaluation.metrics[decisive] ?? NaN)}` : '',
      ...(engine?.notes ?? []),
    ].filter(Boolean).join('\n');
    item.show();
  };

  const showActions = async (): Promise<void> => {
    const { active } = models;
    if (!active) return;
    const choices: readonly (readonly [CommandName, string, string])[] = active.running
      ? [['cancel', 'debug-stop', vscode.l10n.t('Cancel: {0}', active.running.title)], ['showLog', 'output', vscode.l10n.t('Show log')]]
      : [
          ['showPanel', 'open-preview', vscode.l10n.t('Show the panel')],
          ['runBehaviour', 'play', vscode.l10n.t('Run on data')],
          ['suggest', 'lightbulb', vscode.l10n.t('Suggest what to remove')],
          ...(active.suggestions?.suggestions.length
            ? [['applySuggestion', 'check', vscode.l10n.t('Apply suggestions…')] as const]
            : []),
          ['evaluate', 'beaker', vscode.l10n.t('Evaluate')],
          ['chooseRecipe', 'database', vscode.l10n.t('Choose the data recipe…')],
          ['open', 'folder-opened', vscode.l10n.t('Open another model…')],
          ['showLog', 'output', vscode.l10n.t('Show log')],
        ];
    const picked = await vscode.window.showQuickPick(
      choices.map(([command, icon, label]) => ({ label: `$(${icon}) ${label}`, command })),
      { title: active.title },
    );
    if (picked) await vscode.commands.executeCommand(commands[picked.command]);
  };

  update();
  return vscode.Disposable.from(
    item,
    models.onDidChange(({ change }) => {
      if (change !== 'columns' && change !== 'selection') update();
    }),
    vscode.commands.registerCommand(commands.showActions, showActions),
  );
}
