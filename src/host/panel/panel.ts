import path from 'node:path';
import * as vscode from 'vscode';
import { inlineRows, type HostMethods, type PanelCompute, type PanelEvent, type PanelRequest, type PanelSnapshot } from '../../compute/panelProtocol';
import type { ColumnData, Params } from '../../compute/protocol';
import { syntheticRecipe } from '../../compute/syntheticRecipe';
import { CancelledError, ParticlizeError } from '../../core/graph/errors';
import { commands } from '../contributions';
import { sentenceOf } from '../messages';
import type { Model } from '../model';
import type { StoreEvent } from '../modelStore';
import type { Services } from '../services';
import { assetFolder, panelHtml } from './panelHtml';

/** What a panel may ask the compute process for; anything else it sends is refused. */
const computeMethods: ReadonlySet<string> = new Set<PanelCompute>(['columns', 'weights', 'activations', 'details', 'detail', 'mutedPrediction', 'evaluate', 'preview']);

type HostHandlers = { readonly [M in keyof HostMethods]: (params: HostMethods[M]['params']) => Promise<HostMethods[M]['result']> };

/** One webview and its model: answers what it asks, pushes what changes while it is visible. */
export class Panel implements vscode.Disposable {
  private readonly stopped = new AbortController();
  private readonly handlers: HostHandlers;

  constructor(
    private readonly webview: vscode.WebviewPanel,
    private readonly model: Model,
    private readonly services: Services,
  ) {
    this.handlers = this.makeHandlers();
    const { extensionUri, models } = services;
    webview.title = model.title;
    const icon = (theme: string): vscode.Uri => vscode.Uri.joinPath(extensionUri, 'media', 'icons', `panel-${theme}.svg`);
    webview.iconPath = { light: icon('light'), dark: icon('dark') };
    webview.webview.options = { enableScripts: true, localResourceRoots: [assetFolder(extensionUri)] };
    webview.webview.onDidReceiveMessage((message) => void this.answer(message as PanelRequest));
    webview.onDidChangeViewState(() => {
      if (webview.active) models.active = model;
      // Messages to a hidden webview are lost: all it missed comes at once.
      if (webview.visible) this.sendSnapshot();
    });
    webview.onDidDispose(() => this.stopped.abort());
    webview.webview.html = panelHtml(webview.webview, extensionUri, model.title);
  }

  reveal(): void {
    this.webview.reveal();
  }

  dispose(): void {
    this.webview.dispose();
  }

  changed(change: StoreEvent['change'], columns: readonly ColumnData[] | undefined): void {
    switch (change) {
      case 'columns':
        this.post({ kind: 'columns', columns: (columns ?? this.model.columns).map(compact) });
        break;
      case 'running':
        this.post({ kind: 'running', running: this.model.running });
        break;
      case 'rounds':
        if (this.model.rounds) this.post({ kind: 'rounds', rounds: this.model.rounds });
        break;
      case 'curve':
        this.post({ kind: 'curve', curve: this.model.curve });
        break;
      case 'selection':
        this.post({ kind: 'selection', rows: this.model.selection, focus: this.model.focus });
        break;
      case 'suggestions':
        if (this.model.suggestions) this.post({ kind: 'suggestions', suggestions: this.model.suggestions });
        else this.sendSnapshot();
        break;
      case 'summary': case 'recipe': case 'links': case 'active':
        this.sendSnapshot();
        break;
    }
  }

  private snapshot(): PanelSnapshot {
    const { model, services } = this;
    return {
      summary: model.summary,
      columns: model.columns.map(compact),
      recipe: model.recipe === undefined ? undefined : { path: model.recipe, title: model.recipe === syntheticRecipe ? vscode.l10n.t('made-up samples') : path.basename(model.recipe) },
      engine: services.models.engine?.current ?? '',
      suggestions: model.suggestions,
      running: model.running,
      selection: model.selection,
      rounds: model.rounds,
      curve: model.curve.points.length > 0 ? model.curve : undefined,
      focus: model.focus,
      linkedLayers: [...new Set(model.sources.flatMap(({ links }) => links.map(({ layer }) => layer)))],
    };
  }

  private sendSnapshot(): void {
    this.post({ kind: 'snapshot', snapshot: this.snapshot() });
  }

  private post(event: PanelEvent): void {
    if (this.webview.visible && !this.stopped.signal.aborted) void this.webview.webview.postMessage(event);
  }

  private async answer(request: PanelRequest): Promise<void> {
    const { id } = request;
    if (typeof id !== 'number') return;
    try {
      this.post({ kind: 'result', id, result: await this.perform(request) });
    } catch (error) {
      this.post({ kind: 'error', id, message: this.messageOf(error) });
    }
  }

  private async perform(request: PanelRequest): Promise<unknown> {
    if (request.kind === 'compute' && computeMethods.has(request.method)) {
      const params = { ...request.params, model: this.model.id } as Params<PanelCompute>;
      return this.services.compute.call(request.method, params, { signal: this.stopped.signal });
    }
    if (request.kind === 'host' && Object.hasOwn(this.handlers, request.method)) {
      const handler = this.handlers[request.method] as (params: unknown) => Promise<unknown>;
      return handler(request.params);
    }
    throw new ParticlizeError({ cause: `the panel asked for '${String(request.method)}', which it may not` });
  }

  private messageOf(error: unknown): string {
    if (error instanceof CancelledError) return vscode.l10n.t('Cancelled.');
    const known = sentenceOf(error, this.services.log);
    return known ?? (error instanceof Error ? error.message : String(error));
  }

  private makeHandlers(): HostHandlers {
    const { model, services } = this;
    const { actions, jobs, log } = services;
    return {
      snapshot: async () => this.snapshot(),
      values: async ({ column: name, from, to }) => {
        const column = model.column(name);
        if (!column) throw new ParticlizeError({ cause: `there is no column '${name}' any more`, action: 'Open the model again' });
        return column.values.slice(from, to);
      },
      goToDefinition: ({ layer }) => call(commands.goToDefinition, { model, layer: { name: layer } }),
      select: async ({ rows }) => {
        services.models.active = model;
        model.select(rows);
        return null;
      },
      runBehaviour: async ({ columns }) => {
        await actions.runBehaviour(model, columns);
        return null;
      },
      cancel: async () => {
        jobs.cancel(model);
        return null;
      },
      suggest: async ({ maxDrop }) => {
        await actions.suggest(model, maxDrop);
        return null;
      },
      applySuggestions: ({ ids }) => call(commands.applySuggestion, { model, ids }),
      chooseRecipe: async () => {
        await actions.chooseRecipe(model);
        return null;
      },
      saveFile: ({ name, content }) => saveFile(model, name, content),
      log: async ({ level, message }) => {
        log[level](`panel: ${message}`);
        return null;
      },
    };
  }
}

async function call<T>(command: string, argument: unknown): Promise<T> {
  return (await vscode.commands.executeCommand(command, argument)) as T;
}

async function saveFile(model: Model, name: string, content: string | Uint8Array): Promise<{ path?: string }> {
  const target = await vscode.window.showSaveDialog({
    defaultUri: vscode.Uri.joinPath(model.uri, '..', path.basename(name)),
    title: vscode.l10n.t('Save {0}', path.basename(name)),
  });
  if (!target) return {};
  await vscode.workspace.fs.writeFile(target, typeof content === 'string' ? new TextEncoder().encode(content) : content);
  return { path: target.fsPath };
}

/** Arrays from the process may be views of a larger message, all of which would travel on to the webview; large ones are asked for. */
function compact(column: ColumnData): ColumnData {
  const { values } = column;
  if (values.length > inlineRows) return { ...column, values: new Float32Array() };
  return values.byteLength === values.buffer.byteLength ? column : { ...column, values: values.slice() };
}
