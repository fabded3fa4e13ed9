import path from 'node:path';
import * as vscode from 'vscode';
import type { Framework, LayerDefinition, Link } from '../core/source/definition';
import type { LinkedSource, Model } from './model';
import type { ModelStore } from './modelStore';
import { sourceTools } from './sourceTools';

export const sourceLanguages = ['python', 'typescript', 'typescriptreact', 'javascript', 'javascriptreact'] as const;

const pattern = '**/*.{py,ts,tsx,js,jsx,mts,mjs}';
const excluded = '**/{node_modules,.venv,venv,site-packages,dist,out,build,.git,__pycache__}/**';
const mostFiles = 2000;
/** A longer file is generated, not written: parsing it would make the editor wait. */
const longestText = 500_000;
/** A file belongs to a model when it defines at least this share of the layers that have particles. */
const leastShare = 0.5;
const mentionsLayers = /\b(Conv\w*|conv\d?d|Dense|dense|Linear|LSTM|GRU|Embedding|Sequential|sequential)\b/;

/** Finds which source files define the layers of which open model, and keeps that up to date. */
export class SourceLinks implements vscode.Disposable {
  private readonly definitions = new Map<string, { version: number | string; found: Promise<readonly LayerDefinition[]> }>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly models: ModelStore,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const watcher = vscode.workspace.createFileSystemWatcher(pattern);
    const rescan = debounce(() => this.models.all.forEach((model) => void this.scan(model)), 1000);
    const changed = (uri: vscode.Uri): void => {
      this.definitions.delete(uri.toString());
      if (this.models.all.length > 0 && !/node_modules|site-packages/.test(uri.path)) rescan.call();
    };
    this.subscriptions = [
      watcher, watcher.onDidChange(changed), watcher.onDidCreate(changed), watcher.onDidDelete(changed), rescan,
      models.onDidChange(({ model, change }) => {
        if (change === 'opened' || change === 'summary') void this.scan(model);
      }),
      vscode.workspace.onDidCloseTextDocument((document) => this.definitions.delete(document.uri.toString())),
    ];
  }

  /** The model whose layers a document defines best, among the open ones of its workspace folder. */
  async modelOf(document: vscode.TextDocument): Promise<{ readonly model: Model; readonly links: readonly Link[] } | undefined> {
    const folder = vscode.workspace.getWorkspaceFolder(document.uri);
    const near = this.models.all.filter((model) => vscode.workspace.getWorkspaceFolder(model.uri) === folder);
    if (near.length === 0) return undefined;
    const found = await this.definitionsIn(document);
    const scored = near
      .map((model) => ({ model, source: link(model, document.uri, found) }))
      .filter((each): each is { model: Model; source: LinkedSource } => each.source !== undefined)
      // Of two that fit equally (a model and its smaller self), the one that the user looks at.
      .sort((a, b) => b.source.score - a.source.score || Number(b.model === this.models.active) - Number(a.model === this.models.active));
    const [best] = scored;
    return best && { model: best.model, links: best.source.links };
  }

  async definitionsIn(document: vscode.TextDocument): Promise<readonly LayerDefinition[]> {
    const key = document.uri.toString();
    const known = this.definitions.get(key);
    if (known?.version === document.version) return known.found;
    const found = this.find(document.getText(), document.languageId, document.uri);
    this.definitions.set(key, { version: document.version, found });
    return found;
  }

  /** Looks through the workspace for the sources of a model; the result is in `model.sources`. */
  async scan(model: Model): Promise<readonly LinkedSource[]> {
    const folder = vscode.workspace.getWorkspaceFolder(model.uri);
    if (!folder) return [];
    const files = await vscode.workspace.findFiles(new vscode.RelativePattern(folder, pattern), excluded, mostFiles);
    const sources: LinkedSource[] = [];
    for (const uri of files) {
      const source = link(model, uri, await this.definitionsAt(uri));
      if (source) sources.push(source);
    }
    model.sources = sources.sort((a, b) => b.score - a.score);
    return model.sources;
  }

  dispose(): void {
    vscode.Disposable.from(...this.subscriptions).dispose();
  }

  private async definitionsAt(uri: vscode.Uri): Promise<readonly LayerDefinition[]> {
    const open = vscode.workspace.textDocuments.find((document) => document.uri.toString() === uri.toString());
    if (open) return this.definitionsIn(open);
    try {
      const { mtime, size } = await vscode.workspace.fs.stat(uri);
      if (size > longestText) return [];
      const version = `${mtime}:${size}`;
      const known = this.definitions.get(uri.toString());
      if (known?.version === version) return await known.found;
      const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
      const found = this.find(text, languageOf(uri), uri);
      this.definitions.set(uri.toString(), { version, found });
      return await found;
    } catch {
      return []; // Deleted meanwhile.
    }
  }

  private async find(text: string, languageId: string, uri: vscode.Uri): Promise<readonly LayerDefinition[]> {
    if (text.length > longestText || !mentionsLayers.test(text)) return [];
    try {
      return await sourceTools.findDefinitions(text, languageId);
    } catch (error) {
      this.log.warn(`${path.basename(uri.fsPath)}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return [];
    }
  }
}

/** The language of a file that no editor has open. */
export function languageOf(uri: vscode.Uri): string {
  const extension = path.extname(uri.path);
  if (extension === '.py') return 'python';
  if (extension === '.tsx') return 'typescriptreact';
  if (extension === '.jsx') return 'javascriptreact';
  return /^\.m?ts$/.test(extension) ? 'typescript' : 'javascript';
}

/** A call that is made once things have been quiet for a while. */
export function debounce(action: () => void, delayMs: number): vscode.Disposable & { call(): void } {
  let timer: NodeJS.Timeout | undefined;
  return {
    call: () => {
      clearTimeout(timer);
      timer = setTimeout(action, delayMs);
    },
    dispose: () => clearTimeout(timer),
  };
}

function link(model: Model, uri: vscode.Uri, definitions: readonly LayerDefinition[]): LinkedSource | undefined {
  if (definitions.length === 0) return undefined;
  const links = sourceTools.linkDefinitions(definitions, model.summary.layers);
  const wanted = model.summary.layers.filter(({ particles }) => particles).map(({ name }) => name);
  const confidence = new Map(links.map((each) => [each.layer, each.confidence]));
  const share = wanted.reduce((sum, layer) => sum + (confidence.get(layer) ?? 0), 0) / Math.max(1, wanted.length);
  if (share < leastShare) return undefined;
  const sameFramework = links.some(({ definition }) => definition.framework === frameworkOf(model));
  const sameFolder = path.dirname(uri.fsPath) === path.dirname(model.uri.fsPath);
  return { uri, links, score: share + (sameFramework ? 0.5 : 0) + (sameFolder ? 0.1 : 0) };
}

function frameworkOf(model: Model): Framework | undefined {
  const { format, producer } = model.summary;
  if (/torch/i.test(producer)) return 'pytorch';
  if (/^tfjs/.test(format)) return 'tfjs';
  return /keras|tf2onnx|tensorflow/i.test(`${format} ${producer}`) ? 'keras' : undefined;
}
