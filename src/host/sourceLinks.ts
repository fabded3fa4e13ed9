import path from 'node:path';
import * as vscode from 'vscode';
import type { FoundDefinitions } from '../compute/sourceWorker';
import type { DefinitionKey, Framework, LayerDefinition, Link, LinkCorrection } from '../core/source/definition';
import { keyOfDefinition } from '../core/source/definitionKey';
import type { LinkedSource, Model } from './model';
import type { ModelStore } from './modelStore';
import { notebookCellScheme, placeOf, programOf, programOfNotebook, textOf, type SourceProgram } from './sourceProgram';
import { SourceTools } from './sourceTools';
import { moveLinks } from './trackedSpans';

export const sourceLanguages = ['python', 'typescript', 'typescriptreact', 'javascript', 'javascriptreact'] as const;

const pattern = '**/*.{py,ts,tsx,js,jsx,mts,mjs}';
const excluded = '**/{node_modules,.venv,venv,site-packages,dist,out,build,.git,__pycache__}/**';
const mostFiles = 2000;
/** Looking through the workspace passes over longer files; one that is open in an editor may be longer. */
const longestFile = 500_000;
const longestText = 4_000_000;
/** A file belongs to a model when it defines at least this share of the layers that have particles. */
const leastShare = 0.5;
const mentionsLayers = /\b(Conv\w*|conv\d?d|Dense|dense|Linear|LSTM|GRU|Embedding|Sequential|sequential)\b/;

/** A program's links to the model that it defines, in offsets of the program. */
export interface ProgramLinks {
  readonly program: SourceProgram;
  readonly model: Model;
  readonly links: readonly Link[];
}

/** What is known of an open program. */
interface Tracked {
  /** Version of the text that `links` were found in. */
  version?: string;
  links: readonly Link[];
  model?: Model;
  running?: Promise<void>;
  timer?: NodeJS.Timeout;
  /** How long reading took the last time, in milliseconds. */
  tookMs: number;
}

/** Finds which source files define the layers of which open model, and keeps that up to date. */
export class SourceLinks implements vscode.Disposable {
  readonly tools = new SourceTools();
  private readonly definitions = new Map<string, { version: string; found: Promise<FoundDefinitions> }>();
  private readonly tracked = new Map<string, Tracked>();
  private readonly emitter = new vscode.EventEmitter<void>();
  private readonly subscriptions: vscode.Disposable[];

  /** Links of an open document are other ones than before. */
  readonly onDidChange = this.emitter.event;

  constructor(
    private readonly models: ModelStore,
    private readonly memory: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const watcher = vscode.workspace.createFileSystemWatcher(pattern);
    const rescan = debounce(() => this.models.all.forEach((model) => void this.scan(model)), 1000);
    const changed = (uri: vscode.Uri): void => {
      this.definitions.delete(uri.toString());
      if (this.models.all.length > 0 && !/node_modules|site-packages/.test(uri.path)) rescan.call();
    };
    const forget = (uri: vscode.Uri): void => {
      clearTimeout(this.tracked.get(uri.toString())?.timer);
      this.tracked.delete(uri.toString());
      this.definitions.delete(uri.toString());
    };
    this.subscriptions = [
      watcher, watcher.onDidChange(changed), watcher.onDidCreate(changed), watcher.onDidDelete(changed), rescan, this.emitter, this.tools,
      models.onDidChange(({ model, change }) => {
        if (change === 'opened' || change === 'summary') void this.scan(model);
        if (change === 'opened' || change === 'summary' || change === 'closed' || change === 'active') this.relinkAll();
      }),
      vscode.workspace.onDidChangeTextDocument((event) => this.edited(event)),
      vscode.workspace.onDidChangeNotebookDocument(({ notebook, contentChanges }) => {
        const known = contentChanges.length > 0 ? this.tracked.get(notebook.uri.toString()) : undefined;
        // Cells came or went: offsets of what is behind them say nothing any more.
        if (known) this.plan(programOfNotebook(notebook), Object.assign(known, { links: [], version: undefined }));
      }),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => forget(uri)),
      vscode.workspace.onDidCloseNotebookDocument(({ uri }) => forget(uri)),
    ];
  }

  /** What is known of a document at once, moved along with what was typed since; reading it again begins when it is needed. */
  known(document: vscode.TextDocument): ProgramLinks | undefined {
    if (!this.mayDefine(document)) return undefined;
    const program = programOf(document);
    const state = this.stateOf(program);
    if (state.version !== program.version && !state.timer && !state.running) this.plan(program, state);
    return state.model && { program, model: state.model, links: state.links };
  }

  /** The model whose layers a document defines best, among the open ones of its workspace folder, for the text of now. */
  async modelOf(document: vscode.TextDocument): Promise<ProgramLinks | undefined> {
    if (!this.mayDefine(document)) return undefined;
    let program = programOf(document);
    const state = this.stateOf(program);
    for (let round = 0; state.version !== program.version && round < 5; round++) {
      await (state.running ?? this.read(program, state));
      program = programOf(document);
    }
    return state.model && { program, model: state.model, links: state.links };
  }

  /** All layer definitions of a document. */
  async definitionsIn(document: vscode.TextDocument): Promise<readonly LayerDefinition[]> {
    return (await this.find(programOf(document))).definitions;
  }

  /** Links of a program's definitions to a model's layers, with what the user said of them. */
  link(model: Model, program: Pick<SourceProgram, 'uri'>, definitions: readonly LayerDefinition[]): readonly Link[] {
    return this.tools.linkDefinitions(definitions, model.summary.layers, this.corrections(model, program.uri));
  }

  /** Remembers, in this workspace, which layers a definition makes: none, when the list is empty. */
  async correct(model: Model, document: vscode.TextDocument, definition: LayerDefinition, layers: readonly string[]): Promise<void> {
    const { uri } = programOf(document);
    const definitions = await this.definitionsIn(document);
    const now = definitions.find(({ span, type }) => span.start === definition.span.start && type === definition.type);
    if (!now) return;
    const key: DefinitionKey = keyOfDefinition(definitions, now);
    const before = this.link(model, { uri }, definitions).filter((link) => link.definition === now).map(({ layer }) => layer);
    const said = [
      ...layers.map((layer): LinkCorrection => ({ layer, definition: key })),
      ...before.filter((layer) => !layers.includes(layer)).map((layer): LinkCorrection => ({ layer })),
    ];
    const kept = this.corrections(model, uri).filter(({ layer }) => !said.some((one) => one.layer === layer));
    await this.memory.update(correctionKey(model, uri), [...kept, ...said]);
    this.relinkAll();
    await this.scan(model);
  }

  /** Forgets what the user said of a file's links. */
  async forgetCorrections(model: Model, document: vscode.TextDocument): Promise<void> {
    await this.memory.update(correctionKey(model, programOf(document).uri), undefined);
    this.relinkAll();
    await this.scan(model);
  }

  corrections(model: Model, uri: vscode.Uri): readonly LinkCorrection[] {
    return this.memory.get<readonly LinkCorrection[]>(correctionKey(model, uri), []);
  }

  /** The file that the user named as the definition of a model, where several could be. */
  chosenSource(model: Model): string | undefined {
    return this.memory.get<string>(`definition:${model.uri.fsPath}`);
  }

  async chooseSource(model: Model, uri: vscode.Uri): Promise<void> {
    await this.memory.update(`definition:${model.uri.fsPath}`, uri.toString());
    await this.scan(model);
  }

  /** Looks through the workspace for the sources of a model; the result is in `model.sources`. */
  async scan(model: Model): Promise<readonly LinkedSource[]> {
    const folder = vscode.workspace.getWorkspaceFolder(model.uri);
    if (!folder) return [];
    const files = await vscode.workspace.findFiles(new vscode.RelativePattern(folder, pattern), excluded, mostFiles);
    const sources: LinkedSource[] = [];
    const add = (uri: vscode.Uri, { definitions }: FoundDefinitions): void => {
      const source = this.sourceOf(model, uri, definitions);
      if (source) sources.push(source);
    };
    for (const uri of files) add(uri, await this.definitionsAt(uri));
    for (const notebook of vscode.workspace.notebookDocuments) {
      if (vscode.workspace.getWorkspaceFolder(notebook.uri) === folder) add(notebook.uri, await this.find(programOfNotebook(notebook)));
    }
    model.sources = sources.sort((a, b) => b.score - a.score);
    return model.sources;
  }

  /** The source as it is now, with links for the text of now. Rejects when it is gone. */
  async open(uri: vscode.Uri): Promise<{ readonly program: SourceProgram; readonly definitions: readonly LayerDefinition[] }> {
    const notebook = vscode.workspace.notebookDocuments.find((one) => one.uri.toString() === uri.toString());
    const program = notebook ? programOfNotebook(notebook) : programOf(await vscode.workspace.openTextDocument(uri));
    return { program, definitions: (await this.find(program)).definitions };
  }

  /** How well definitions explain a model; undefined when they hardly do. */
  sourceOf(model: Pick<Model, 'summary' | 'uri'>, uri: vscode.Uri, definitions: readonly LayerDefinition[]): LinkedSource | undefined {
    if (definitions.length === 0) return undefined;
    const links = this.tools.linkDefinitions(definitions, model.summary.layers, this.corrections(model as Model, uri));
    const wanted = model.summary.layers.filter(({ particles }) => particles).map(({ name }) => name);
    const confidence = new Map(links.map((each) => [each.layer, each.confidence]));
    const share = wanted.reduce((sum, layer) => sum + (confidence.get(layer) ?? 0), 0) / Math.max(1, wanted.length);
    if (share < leastShare) return undefined;
    const sameFramework = links.some(({ definition }) => definition.framework === frameworkOf(model));
    const sameFolder = path.dirname(uri.fsPath) === path.dirname(model.uri.fsPath);
    const chosen = this.chosenSource(model as Model) === uri.toString();
    return { uri, links, score: share + (sameFramework ? 0.5 : 0) + (sameFolder ? 0.1 : 0) + (chosen ? 10 : 0) };
  }

  dispose(): void {
    for (const { timer } of this.tracked.values()) clearTimeout(timer);
    vscode.Disposable.from(...this.subscriptions).dispose();
  }

  private mayDefine(document: vscode.TextDocument): boolean {
    return this.models.all.length > 0 && (sourceLanguages as readonly string[]).includes(document.languageId);
  }

  private stateOf({ uri }: SourceProgram): Tracked {
    let state = this.tracked.get(uri.toString());
    if (!state) this.tracked.set(uri.toString(), (state = { links: [], tookMs: 0 }));
    return state;
  }

  private relinkAll(): void {
    for (const [key, state] of this.tracked) {
      state.version = undefined;
      const program = openProgram(key);
      if (program) this.plan(program, state);
    }
  }

  private edited({ document, contentChanges }: vscode.TextDocumentChangeEvent): void {
    const notebook = document.uri.scheme === notebookCellScheme;
    if (contentChanges.length === 0 || (!notebook && !this.tracked.has(document.uri.toString()))) return;
    const program = programOf(document);
    const state = this.tracked.get(program.uri.toString());
    if (!state) return;
    const start = program.parts.find((part) => part.document === document)?.start ?? 0;
    for (const { rangeOffset, rangeLength, text } of contentChanges) {
      state.links = moveLinks(state.links, { offset: start + rangeOffset, length: rangeLength, inserted: text.length });
    }
    this.plan(program, state);
  }

  /** Reads a program again when typing rests: soon for a usual file, later for one that takes long. */
  private plan(program: SourceProgram, state: Tracked): void {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => {
      state.timer = undefined;
      const now = openProgram(program.uri.toString());
      if (now && !state.running) void this.read(now, state);
    }, Math.min(1500, 10 + state.tookMs / 4));
  }

  private read(program: SourceProgram, state: Tracked): Promise<void> {
    state.running = this.readNow(program, state).finally(() => (state.running = undefined));
    return state.running;
  }

  private async readNow(program: SourceProgram, state: Tracked): Promise<void> {
    const start = performance.now();
    const { definitions, errors } = await this.find(program);
    state.tookMs = performance.now() - start;
    const now = openProgram(program.uri.toString());
    if (now && now.version !== program.version) {
      // Typing went on: what was found stands where nothing stands any more. The moved links are better.
      this.plan(now, state);
      return;
    }
    const near = this.models.all.filter((model) => folderOf(model.uri) === folderOf(program.uri));
    const scored = near
      .map((model) => ({ model, source: this.sourceOf(model, program.uri, definitions) }))
      .filter((each): each is { model: Model; source: LinkedSource } => each.source !== undefined)
      // Of two that fit equally (a model and its smaller self), the one that the user looks at.
      .sort((a, b) => b.source.score - a.source.score || Number(b.model === this.models.active) - Number(a.model === this.models.active));
    const [best] = scored;
    // Half-typed code hides what is behind it from the parser: what was linked before stays until it can be read again.
    const typing = errors > 0 && state.links.length > 0 && state.model !== undefined && near.includes(state.model);
    const found = best?.source.links ?? [];
    const links = typing && (best === undefined || best.model === state.model)
      ? [...found, ...state.links.filter(({ layer }) => !found.some((link) => link.layer === layer))]
      : found;
    state.model = typing && !best ? state.model : best?.model;
    state.links = links;
    state.version = program.version;
    this.emitter.fire();
  }

  private async definitionsAt(uri: vscode.Uri): Promise<FoundDefinitions> {
    const open = vscode.workspace.textDocuments.find((document) => document.uri.toString() === uri.toString());
    if (open) return this.find(programOf(open));
    try {
      const { mtime, size } = await vscode.workspace.fs.stat(uri);
      if (size > longestFile) return nothing;
      const version = `${mtime}:${size}`;
      const known = this.definitions.get(uri.toString());
      if (known?.version === version) return await known.found;
      const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
      return await this.remember(uri, version, text, languageOf(uri));
    } catch {
      return nothing; // Deleted meanwhile.
    }
  }

  private find(program: SourceProgram): Promise<FoundDefinitions> {
    const known = this.definitions.get(program.uri.toString());
    const version = `open:${program.version}`;
    return known?.version === version ? known.found : this.remember(program.uri, version, textOf(program), program.languageId);
  }

  private remember(uri: vscode.Uri, version: string, text: string, languageId: string): Promise<FoundDefinitions> {
    const found = this.analyse(uri, text, languageId);
    this.definitions.set(uri.toString(), { version, found });
    return found;
  }

  private async analyse(uri: vscode.Uri, text: string, languageId: string): Promise<FoundDefinitions> {
    if (text.length > longestText || !mentionsLayers.test(text)) return nothing;
    try {
      return await this.tools.findDefinitions(text, languageId);
    } catch (error) {
      this.log.warn(`${path.basename(uri.fsPath)}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return nothing;
    }
  }
}

const nothing: FoundDefinitions = { definitions: [], errors: 0 };

/** Links at a place of a document: those of the innermost definition there, or of the one that its line begins with. */
export function linksAt({ program, links }: ProgramLinks, document: vscode.TextDocument, position: vscode.Position): readonly Link[] {
  const part = program.parts.find((one) => one.document === document);
  if (!part) return [];
  const offset = part.start + document.offsetAt(position);
  const around = links.filter(({ definition: { span } }) => span.start <= offset && offset <= span.end);
  const onLine = links.filter(({ definition }) => {
    const place = placeOf(program, definition.anchor);
    return place !== undefined && place.uri.toString() === document.uri.toString() && place.range.start.line === position.line;
  });
  const found = around.length > 0 ? around : onLine;
  const [innermost] = [...found].sort((a, b) => a.definition.span.end - a.definition.span.start - (b.definition.span.end - b.definition.span.start));
  return innermost ? found.filter(({ definition }) => definition === innermost.definition) : [];
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

function openProgram(uri: string): SourceProgram | undefined {
  const document = vscode.workspace.textDocuments.find((one) => one.uri.toString() === uri);
  if (document) return programOf(document);
  const notebook = vscode.workspace.notebookDocuments.find((one) => one.uri.toString() === uri);
  return notebook && programOfNotebook(notebook);
}

/** A notebook's cells belong to the folder of the notebook. */
function folderOf(uri: vscode.Uri): vscode.WorkspaceFolder | undefined {
  return vscode.workspace.getWorkspaceFolder(uri);
}

function correctionKey(model: Pick<Model, 'uri'>, uri: vscode.Uri): string {
  return `links:${model.uri.fsPath}:${uri.toString()}`;
}

function frameworkOf(model: Pick<Model, 'summary'>): Framework | undefined {
  const { format, producer } = model.summary;
  if (/torch/i.test(producer)) return 'pytorch';
  if (/^tfjs/.test(format)) return 'tfjs';
  return /keras|tf2onnx|tensorflow/i.test(`${format} ${producer}`) ? 'keras' : undefined;
}
