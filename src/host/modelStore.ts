import * as vscode from 'vscode';
import type { ComputeClient } from '../compute/client';
import type { ColumnData, EngineStatus, ModelSummary } from '../compute/protocol';
import { contexts } from './contributions';
import { Model, type ModelChange } from './model';

export interface StoreEvent {
  readonly model: Model;
  readonly change: ModelChange | 'opened' | 'closed' | 'active';
  /** The columns that came, for 'columns'. */
  readonly columns?: readonly ColumnData[];
}

const recipeKey = (path: string): string => `recipe:${path}`;

/** The open models. Everything that shows something listens here; everything that finds something writes here. */
export class ModelStore implements vscode.Disposable {
  private readonly models = new Map<string, Model>();
  private readonly emitter = new vscode.EventEmitter<StoreEvent>();
  private readonly openings = new Map<string, Promise<Model>>();
  private current: Model | undefined;
  private engineStatus: EngineStatus | undefined;

  readonly onDidChange = this.emitter.event;

  constructor(
    private readonly compute: ComputeClient,
    private readonly memory: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  get all(): readonly Model[] {
    return [...this.models.values()];
  }

  /** The model that a command without an argument means: the one last opened or looked at. */
  get active(): Model | undefined {
    return this.current;
  }

  set active(model: Model | undefined) {
    if (model === this.current || (model && !this.models.has(model.uri.fsPath))) return;
    this.current = model;
    if (model) this.fire(model, 'active');
    this.setContexts();
  }

  get engine(): EngineStatus | undefined {
    return this.engineStatus;
  }

  get(path: string): Model | undefined {
    return this.models.get(path);
  }

  /** Opens a file, with the columns that need no data; opened again, it takes up what changed. Rejects with a ParticlizeError. */
  open(uri: vscode.Uri): Promise<Model> {
    let opening = this.openings.get(uri.fsPath);
    if (!opening) {
      opening = this.read(uri).finally(() => this.openings.delete(uri.fsPath));
      this.openings.set(uri.fsPath, opening);
    }
    return opening;
  }

  async close(model: Model): Promise<void> {
    if (!this.models.delete(model.uri.fsPath)) return;
    if (this.current === model) this.current = this.all.at(-1);
    this.fire(model, 'closed');
    this.setContexts();
    await this.compute.call('close', { model: model.id }).catch(() => undefined);
  }

  /** A new compute process read a model again. */
  reopened(summary: ModelSummary): void {
    this.get(summary.path)?.update(summary);
  }

  /** Remembers the recipe for this model, also for the next window. */
  setRecipe(model: Model, recipe: string | undefined): void {
    model.recipe = recipe;
    this.rememberRecipe(model.uri.fsPath, recipe);
  }

  /** For a model that is not open yet, such as one that was just written. */
  rememberRecipe(path: string, recipe: string | undefined): void {
    void this.memory.update(recipeKey(path), recipe);
  }

  dispose(): void {
    this.emitter.dispose();
  }

  private async read(uri: vscode.Uri): Promise<Model> {
    const summary = await this.compute.call('open', { path: uri.fsPath });
    let model = this.models.get(summary.path);
    if (model) model.update(summary);
    else {
      model = new Model(summary, (changed, change, columns) => this.fire(changed, change, columns));
      model.recipe = this.memory.get<string>(recipeKey(summary.path));
      this.models.set(summary.path, model);
      this.fire(model, 'opened');
    }
    this.active = model;
    for (const finding of summary.findings) this.log.info(`${model.title}: ${finding.place}: ${finding.message}`);
    this.fillIn(model);
    return model;
  }

  /** Columns from weights and the engine's name come by and by: the tree is there without waiting for them. */
  private fillIn(model: Model): void {
    const ignore = (error: unknown): void => this.log.warn(`${model.title}: ${error instanceof Error ? error.message : String(error)}`);
    this.compute.call('columns', { model: model.id }).then((columns) => model.addColumns(columns), ignore);
    if (model.recipe === undefined) void this.findRecipe(model).catch(ignore);
    if (this.engineStatus) return;
    this.compute.call('engines', {}).then((status) => {
      this.engineStatus = status;
      for (const note of status.notes) this.log.info(note);
      this.fire(model, 'active');
    }, ignore);
  }

  /** A recipe that is the only one to fit needs no question; it is not remembered as the user's choice. */
  private async findRecipe(model: Model): Promise<void> {
    const fitting = (await this.compute.call('recipes', { model: model.id })).filter(({ fits }) => fits);
    if (fitting.length === 1) model.recipe ??= fitting[0]!.path;
  }

  /** After a change of settings another engine may run. */
  forgetEngine(): void {
    this.engineStatus = undefined;
  }

  private fire(model: Model, change: StoreEvent['change'], columns?: readonly ColumnData[]): void {
    this.emitter.fire({ model, change, columns });
    if (change !== 'columns' && change !== 'selection' && change !== 'curve') this.setContexts();
  }

  private setContexts(): void {
    const set = (key: string, value: boolean): void => void vscode.commands.executeCommand('setContext', key, value);
    set(contexts.modelOpen, this.models.size > 0);
    set(contexts.running, this.current?.running !== undefined);
    set(contexts.training, this.current?.training !== undefined);
    set(contexts.paused, this.current?.training?.paused === true);
    set(contexts.hasSuggestions, (this.current?.suggestions?.suggestions.length ?? 0) > 0);
  }
}
