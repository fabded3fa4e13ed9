import * as vscode from 'vscode';
import type { PanelState } from '../../compute/panelProtocol';
import { commands, panelType } from '../contributions';
import { showError } from '../messages';
import type { Model } from '../model';
import type { Services } from '../services';
import { Panel } from './panel';
import { missingPage } from './panelHtml';

/** One panel for each model; it survives a reload of the window. */
export function registerPanel(services: Services): vscode.Disposable {
  const { models, log } = services;
  const panels = new Map<string, Panel>();

  const adopt = (webview: vscode.WebviewPanel, model: Model): Panel => {
    const panel = new Panel(webview, model, services);
    panels.set(model.uri.fsPath, panel);
    webview.onDidDispose(() => panels.delete(model.uri.fsPath));
    return panel;
  };

  const show = (model: Model | undefined = models.active): void => {
    if (!model) return;
    const panel = panels.get(model.uri.fsPath);
    if (panel) {
      panel.reveal();
      return;
    }
    const column = vscode.window.activeTextEditor?.viewColumn ?? vscode.ViewColumn.Active;
    adopt(vscode.window.createWebviewPanel(panelType, model.title, column), model);
  };

  return vscode.Disposable.from(
    vscode.commands.registerCommand(commands.showPanel, (target?: { model?: Model }) => show(target?.model)),
    models.onDidChange(({ model, change, columns }) => {
      if (change === 'closed') panels.get(model.uri.fsPath)?.dispose();
      else panels.get(model.uri.fsPath)?.changed(change, columns);
    }),
    vscode.window.registerWebviewPanelSerializer(panelType, {
      deserializeWebviewPanel: async (webview, state: Partial<PanelState> | undefined) => {
        const file = typeof state?.path === 'string' ? state.path : undefined;
        if (file === undefined) {
          webview.dispose();
          return;
        }
        try {
          adopt(webview, await models.open(vscode.Uri.file(file)));
        } catch (error) {
          webview.webview.html = missingPage(vscode.l10n.t('{0} could not be opened.', file));
          showError(error, log);
        }
      },
    }),
    new vscode.Disposable(() => panels.forEach((panel) => panel.dispose())),
  );
}
