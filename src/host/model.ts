import path from 'node:path';
import * as vscode from 'vscode';
import type { ColumnData, LayerSummary, ModelId, ModelSummary, RoundsResult, SuggestResult, TrainingUpdate } from '../compute/protocol';
import type { Focus, Running } from '../compute/panelProtocol';
import type { Evaluation } from '../core/evaluate/evaluation';
import type { Link } from '../core/source/definition';
import { parseParticleId, particleId } from '../core/particles/particle';

export type ModelChange = 'summary' | 'columns' | 'suggestions' | 'selection' | 'running' | 'recipe' | 'evaluation' | 'links' | 'rounds' | 'curve' | 'training';

const mostPoints = 20_000;

/** A source file and the layers of one model that it defines. */
export interface LinkedSource {
  readonly uri: vscode.Uri;
  readonly links: readonly Link[];
  /** How well it explains the model, to compare files: higher is better. */
  readonly score: number;
}

/** Training that goes on; it can be paused under the id that the compute process trains. */
export interface Training {
  readonly id: ModelId;
  readonly paused: boolean;
}

/** What the host knows of an open model; everything heavy stays in the compute process. */
export class Model {
  readonly uri: vscode.Uri;
  private readonly table = new Map<string, ColumnData>();
  private readonly points: TrainingUpdate['points'][number][] = [];
  private readonly epochs: TrainingUpdate['rows'][number][] = [];
  private state: {
    suggestions?: SuggestResult;
    selection: readonly number[];
    focus?: Focus;
    running?: Running;
    recipe?: string;
    evaluation?: Evaluation;
    sources: readonly LinkedSource[];
    rounds?: RoundsResult;
    training?: Training;
  } = { selection: [], sources: [] };

  constructor(
    private current: ModelSummary,
    private readonly changed: (model: Model, change: ModelChange, columns?: readonly ColumnData[]) => void,
  ) {
    this.uri = vscode.Uri.file(current.path);
  }

  get id(): string {
    return this.current.model;
  }

  /** File name; with its folder where the name alone says nothing (model.json, a model of a round). */
  get title(): string {
    const name = path.basename(this.current.path);
    const folder = path.basename(path.dirname(this.current.path));
    return name === 'model.json' || /^round-\d+$/.test(folder) ? `${folder}/${name}` : name;
  }

  get summary(): ModelSummary {
    return this.current;
  }

  /** Another summary of the same file; numbers that belong to other contents are dropped. */
  update(summary: ModelSummary): void {
    const same = summary.sha256 === this.current.sha256;
    this.current = summary;
    if (same) return;
    this.table.clear();
    this.state = { selection: [], recipe: this.state.recipe, running: this.state.running, sources: [] };
    this.changed(this, 'summary');
  }

  get columns(): readonly ColumnData[] {
    return [...this.table.values()];
  }

  column(name: string): ColumnData | undefined {
    return this.table.get(name);
  }

  /** Adds columns or replaces those of the same name. */
  addColumns(columns: readonly ColumnData[]): void {
    for (const column of columns) this.table.set(column.name, column);
    if (columns.length > 0) this.changed(this, 'columns', columns);
  }

  get suggestions(): SuggestResult | undefined {
    return this.state.suggestions;
  }

  set suggestions(suggestions: SuggestResult | undefined) {
    this.state.suggestions = suggestions;
    this.changed(this, 'suggestions');
  }

  get selection(): readonly number[] {
    return this.state.selection;
  }

  get focus(): Focus | undefined {
    return this.state.focus;
  }

  /** Selects rows; with `focus`, the panel turns to that layer or particle, also when the rows were selected already. */
  select(rows: readonly number[], focus?: Omit<Focus, 'turn'>): void {
    const valid = [...new Set(rows)].filter((row) => Number.isInteger(row) && row >= 0 && row < this.current.particleCount);
    const { selection } = this.state;
    const same = valid.length === selection.length && valid.every((row, index) => row === selection[index]);
    if (same && !focus) return;
    this.state.selection = valid;
    // The time, so that a panel kept over a reload of the window does not take a new one for the old.
    if (focus) this.state.focus = { ...focus, turn: Math.max(Date.now(), (this.state.focus?.turn ?? 0) + 1) };
    this.changed(this, 'selection');
  }

  get running(): Running | undefined {
    return this.state.running;
  }

  set running(running: Running | undefined) {
    this.state.running = running;
    this.changed(this, 'running');
  }

  get recipe(): string | undefined {
    return this.state.recipe;
  }

  set recipe(recipe: string | undefined) {
    if (recipe === this.state.recipe) return;
    this.state.recipe = recipe;
    this.changed(this, 'recipe');
  }

  get evaluation(): Evaluation | undefined {
    return this.state.evaluation;
  }

  set evaluation(evaluation: Evaluation | undefined) {
    this.state.evaluation = evaluation;
    this.changed(this, 'evaluation');
  }

  /** Source files that define its layers, the best first; found by sourceLinks.ts. */
  get sources(): readonly LinkedSource[] {
    return this.state.sources;
  }

  set sources(sources: readonly LinkedSource[]) {
    this.state.sources = sources;
    this.changed(this, 'links');
  }

  /** Rounds of removing and training that were made of it, or that it is one of. */
  get rounds(): RoundsResult | undefined {
    return this.state.rounds;
  }

  set rounds(rounds: RoundsResult | undefined) {
    this.state.rounds = rounds;
    this.changed(this, 'rounds');
  }

  /** The live curves of the training that goes on, or was the last. */
  get curve(): TrainingUpdate {
    return { points: this.points, rows: this.epochs };
  }

  addTraining({ points, rows }: TrainingUpdate): void {
    // A new run begins with its epoch 0, or with a step that was there before.
    const [first] = points;
    if (rows.some(({ epoch }) => epoch === 0) || (first && first.step <= (this.points.at(-1)?.step ?? 0))) {
      this.points.length = 0;
      this.epochs.length = 0;
    }
    this.points.push(...points);
    // Long runs are thinned: a curve is a thousand pixels wide.
    if (this.points.length > mostPoints) this.points.splice(0, this.points.length, ...this.points.filter((_, index) => index % 2 === 1));
    this.epochs.push(...rows);
    this.changed(this, 'curve');
  }

  get training(): Training | undefined {
    return this.state.training;
  }

  set training(training: Training | undefined) {
    this.state.training = training;
    this.changed(this, 'training');
  }

  layer(name: string): LayerSummary | undefined {
    return this.current.layers.find((layer) => layer.name === name);
  }

  layerOf(row: number): LayerSummary | undefined {
    return this.current.layers.find(({ particles }) =>
      particles && row >= particles.firstRow && row < particles.firstRow + particles.count);
  }

  idOf(row: number): string {
    const layer = this.layerOf(row);
    if (!layer?.particles) return `#${row}`;
    return particleId({ layer: layer.name, kind: layer.particles.kind, index: row - layer.particles.firstRow });
  }

  rowOf(id: string): number | undefined {
    const ref = parseParticleId(id);
    const particles = ref && this.layer(ref.layer)?.particles;
    return particles && particles.kind === ref.kind && ref.index < particles.count ? particles.firstRow + ref.index : undefined;
  }

  rowsOf(layer: string): readonly number[] {
    const particles = this.layer(layer)?.particles;
    return particles ? Array.from({ length: particles.count }, (_, index) => particles.firstRow + index) : [];
  }
}
