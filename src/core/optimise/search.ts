import type { BehaviourContext } from '../behaviour/behaviour';
import type { MaskedModel } from '../behaviour/masked';
import type { Dataset } from '../data/dataset';
import { layerCost, modelCost } from '../evaluate/cost';
import { evaluate } from '../evaluate/evaluate';
import type { Evaluation } from '../evaluate/evaluation';
import { measureLatency } from '../evaluate/latency';
import type { Score } from '../evaluate/metrics';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import { indexOf, type ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import { pruneTo } from './compensated/pruneTo';
import { closeOver } from './groups';
import type { PlanStep, Prediction, Suggestion } from './plan';
import { counted, figure, leastKept, rank, rowsOf, theOnes, type Measure, type Ranking } from './ranking';
import { removalOf } from './removal';
import type { SuggestOptions, Target } from './suggestOptions';
import { applyPlan } from './surgery';
import { twinsOf } from './twins';
import { weightSteps } from './weightSteps';

/** Outputs that change by less than this, relative to the largest one, count as the same: the engine's own rounding. */
const sameOutput = 1e-5;

/** More tries than this to fit in what bisection left over are not worth their time. */
const mostFillTries = 40;

/** Shares of multiply-accumulates at which options with reconstructed weights are looked for. */
const frontShares = [0.5, 0.25, 0.125];

/** Times that a choice which does not hold on the other samples is shortened. */
const mostRetreats = 8;

/** Looks for suggestions of one model: everything is measured on `context.data` and has to hold on `check`. */
export class Search {
  /** Missing where losses are estimated. */
  private readonly outputChange: Float32Array | undefined;
  private readonly measures: readonly Measure[];
  private latency: ReturnType<typeof measureLatency> | undefined;
  private readonly costs = new Map<ParticleGroup, number>();

  constructor(
    private readonly context: BehaviourContext, private readonly masked: MaskedModel, private readonly before: Score,
    private readonly options: SuggestOptions, private readonly decisive: Evaluation['decisive'], private readonly check: Check | undefined,
    /** Ranks alone; else ablation and contribution do, in several ways. */
    chosen?: Measure,
  ) {
    const { table } = context;
    const lossChange = (table.column('ablationLossChange') ?? table.column('estimatedLossChange'))?.values ?? table.emptyValues();
    // What does nothing is known from a sweep alone; with a chosen criterion there is none for this.
    this.outputChange = chosen ? undefined : table.column('ablationOutputChange')?.values;
    const contribution = table.column('contribution')?.values;
    this.measures = chosen ? [chosen] : [
      { words: 'raises the loss least', of: (row) => lossChange[row]! },
      // A particle that harms alone may be needed once others are gone.
      { words: 'changes the loss least', of: (row) => Math.abs(lossChange[row]!) },
      ...(this.outputChange ? [{ words: 'changes the outputs least', of: (row: number) => this.outputChange![row]! }] : []),
      ...(contribution ? [{ words: 'takes least from the next layer', of: (row: number) => contribution[row]! }] : []),
    ];
  }

  /** Whether it is known what it is worth. */
  knows(row: number): boolean {
    return !Number.isNaN(this.measures[0]!.of(row));
  }

  async layer(group: ParticleGroup): Promise<Suggestion | undefined> {
    const found = await this.largest(this.measures.map((measure) => ({ measure, forCost: false, rows: this.withinLayers(rank(rowsOf(group), measure.of)) })));
    if (!found) return undefined;
    const held = await this.held(found);
    if (!held) return undefined;
    const { rows, score } = held;
    const { measure } = found;
    return this.suggestion({
      id: `remove:${group.layer}`, rows, score, checked: held.checked,
      title: `Remove ${rows.length} of ${counted(group.count, group.kind)} of ${group.layer}`,
      evidence: `${theOnes(rows.length, group.kind)} of ${group.layer} whose removal ${measure.words}. ${this.jointly(score, rows.length)}`,
    });
  }

  /** Over all layers, ranked by what a particle is worth, and by that for what it costs. */
  async whole(groups: readonly ParticleGroup[]): Promise<Suggestion | undefined> {
    const { target } = this.options;
    const rows = groups.flatMap(rowsOf);
    const rankings = this.measures.flatMap((measure) => [
      { measure, forCost: false, rows: this.withinLayers(rank(rows, measure.of)) },
      { measure, forCost: true, rows: this.withinLayers(rank(rows, (row) => measure.of(row) / this.costOf(row))) },
    ]);
    const run = await this.largest(rankings);
    const held = run && await this.held(await this.fill(run));
    if (!held) return undefined;
    const met = target && await this.smallest(held.rows, target);
    const chosen = met?.reached ? this.shaped(met.rows) : held.rows;
    const score = met?.reached ? await this.masked.evaluate(chosen) : held.score;
    const checked = met?.reached ? await this.check?.masked.evaluate(chosen) : held.checked;
    const layers = new Set(chosen.map((row) => this.context.table.groupOf(row).layer));
    return this.suggestion({
      id: 'remove:*', rows: chosen, score, checked,
      title: `Remove ${counted(chosen.length, 'particle')} of ${counted(layers.size, 'layer')}`,
      evidence: `${theOnes(chosen.length, 'particle')} whose removal ${run.measure.words}${run.forCost ? ' for what they cost' : ''}. ${this.jointly(score, chosen.length)}`
        + (!met ? '' : met.reached ? '. This reaches the target' : `. The target cannot be reached within the accepted drop by removing alone; the best that can is ${met.best}`),
    });
  }

  /** Particles without any effect on the output. */
  async idle(groups: readonly ParticleGroup[]): Promise<Suggestion | undefined> {
    const { outputChange } = this;
    if (!outputChange) return undefined;
    const rows = this.withinLayers(groups.flatMap(rowsOf).filter((row) => outputChange[row]! <= sameOutput));
    const ranked = [...rows].sort((one, two) => outputChange[one]! - outputChange[two]!);
    const same = (score: MaskedScore): boolean => score.outputChange <= sameOutput;
    const bisected = await this.bisect(ranked, ranked.length, same);
    const found = bisected && await this.held(bisected, same);
    if (!found) return undefined;
    const count = this.context.data.count + (this.check?.data.count ?? 0);
    return this.suggestion({
      id: 'remove:idle', rows: found.rows, score: found.score, checked: found.checked, lossless: true,
      title: `Remove ${counted(found.rows.length, 'particle')} that ${found.rows.length === 1 ? 'does' : 'do'} nothing`,
      evidence: `With ${found.rows.length === 1 ? 'it' : 'all of them'} off, every output on ${counted(count, 'sample')} stays the same, but for rounding`,
    });
  }

  /** Rows in the same order, without those that would empty a layer. */
  private withinLayers(rows: readonly number[]): number[] {
    const { table } = this.context;
    const left = new Map<ParticleGroup, number>();
    return rows.filter((row) => {
      const group = table.groupOf(row);
      const remaining = (left.get(group) ?? group.count) - 1;
      if (remaining < leastKept(group, this.options.limits?.[group.layer])) return false;
      left.set(group, remaining);
      return true;
    });
  }

  /** The run that saves most over all rankings. */
  private async largest(rankings: readonly Ranking[]): Promise<(Found & Omit<Ranking, 'rows'> & { readonly ranking: readonly number[] }) | undefined> {
    let best: (Found & Omit<Ranking, 'rows'> & { ranking: readonly number[]; saved: number }) | undefined;
    for (const { measure, forCost, rows } of rankings) {
      const found = await this.bisect(rows, rows.length, (score) => this.passes(score));
      if (!found) continue;
      const saved = found.rows.reduce((sum, row) => sum + this.costOf(row), 0);
      if (!best || saved > best.saved) best = { ...found, measure, forCost, ranking: rows, saved };
    }
    return best;
  }

  /** Goes on behind a run, by pieces that are halved when they do not fit. */
  private async fill({ rows, score, ranking }: Found & { readonly ranking: readonly number[] }): Promise<Found> {
    const open = [ranking.slice(rows.length)];
    let found: Found = { rows, score };
    for (let tries = 0; open.length && tries < mostFillTries; tries++) {
      throwIfCancelled(this.context.task);
      const piece = open.shift()!;
      if (!piece.length) continue;
      const more = this.shaped([...found.rows, ...piece]);
      if (more.length <= found.rows.length) continue;
      const next = await this.masked.evaluate(more);
      if (this.passes(next)) {
        found = { rows: more, score: next };
      } else if (piece.length > 1) {
        const middle = Math.ceil(piece.length / 2);
        open.unshift(piece.slice(0, middle), piece.slice(middle));
      }
    }
    return found;
  }

  /** The longest run of the ranking that passes, supposing that what passes with more passes with less. */
  private async bisect(ranked: readonly number[], most: number, passes: (score: MaskedScore) => boolean): Promise<Found | undefined> {
    let best: Found | undefined;
    let [low, high] = [0, Math.min(most, ranked.length)];
    let next = high;
    while (low < high) {
      throwIfCancelled(this.context.task);
      const rows = this.shaped(ranked.slice(0, next));
      const score = await this.masked.evaluate(rows);
      if (rows.length && passes(score)) {
        best = { rows, score };
        low = next;
      } else {
        high = next - 1;
      }
      next = Math.ceil((low + high) / 2);
      if (next <= low) break;
    }
    return best;
  }

  /** Shorter until it holds on the samples that nothing was chosen by; undefined when nothing of it does. */
  private async held({ rows, score }: Found, passes?: (score: MaskedScore) => boolean): Promise<Found & { readonly checked?: MaskedScore } | undefined> {
    const { check } = this;
    if (!check) return { rows, score };
    let [own, current] = [rows, score];
    for (let retreat = 0; own.length && retreat <= mostRetreats; retreat++) {
      throwIfCancelled(this.context.task);
      const checked = await check.masked.evaluate(own);
      if (passes ? passes(checked) : this.passes(checked, check.score)) return { rows: own, score: current, checked };
      own = this.shaped(own.slice(0, Math.floor(0.85 * own.length)));
      if (own.length) current = await this.masked.evaluate(own);
    }
    return undefined;
  }

  /** Without those that would leave a layer a number that its multiple does not divide: the last ones of it stay. */
  private shaped(rows: readonly number[]): readonly number[] {
    const { multipleOf = 1 } = this.options;
    if (multipleOf <= 1) return rows;
    const { table } = this.context;
    const gone = new Map<ParticleGroup, number>();
    for (const row of rows) gone.set(table.groupOf(row), (gone.get(table.groupOf(row)) ?? 0) + 1);
    for (const [group, count] of gone) {
      const left = Math.ceil((group.count - count) / multipleOf) * multipleOf;
      gone.set(group, Math.max(0, group.count - left));
    }
    return rows.filter((row) => {
      const left = gone.get(table.groupOf(row))!;
      gone.set(table.groupOf(row), left - 1);
      return left > 0;
    });
  }

  /** The shortest run of rows whose removal reaches the target, or how near all of them come. */
  private async smallest(rows: readonly number[], target: Target): Promise<{ rows: readonly number[]; reached: boolean; best?: string }> {
    const { graph, engine, data, task } = this.context;
    const total = modelCost(graph);
    const latency = target.latency === undefined ? undefined : await measureLatency(graph, engine, data, 0, task);
    const shares = async (count: number): Promise<Target> => {
      const operated = await this.operated(this.shaped(rows.slice(0, count)));
      const { macs, parameters, bytes } = modelCost(operated);
      return {
        ...(target.macs !== undefined && { macs: macs / total.macs }), ...(target.parameters !== undefined && { parameters: parameters / total.parameters }),
        ...(target.bytes !== undefined && { bytes: bytes / total.bytes }),
        ...(latency && { latency: (await measureLatency(operated, engine, data, 0, task)).medianMs / latency.medianMs }),
      };
    };
    const wanted = Object.keys(target) as (keyof Target)[];
    const reaches = (found: Target): boolean => wanted.every((name) => (found[name] ?? 0) <= target[name]!);
    const least = await shares(rows.length);
    if (!reaches(least)) return { rows, reached: false, best: wanted.map((name) => `${name}=${figure(least[name]!)}`).join(', ') };
    let [low, high] = [0, rows.length];
    while (high - low > 1) {
      throwIfCancelled(task);
      const middle = (low + high) >> 1;
      if (reaches(await shares(middle))) high = middle;
      else low = middle;
    }
    return { rows: rows.slice(0, high), reached: true };
  }

  /** Particles that are the same as others to the last bit. */
  async twins(): Promise<Suggestion | undefined> {
    const { graph, table } = this.context;
    const twins = await twinsOf(graph, table);
    if (!twins.length) return undefined;
    const steps = twins.map(({ into, rows }): PlanStep => ({ action: 'merge', into: table.id(into), particles: rows.map((row) => table.id(row)) }));
    const rows = closeOver(graph, table, twins.flatMap((set) => set.rows));
    return this.ofSteps({
      id: 'merge:*', steps, particles: rows.map((row) => table.id(row)), lossless: true,
      title: `Merge ${counted(rows.length, 'particle')} with ${rows.length === 1 ? 'its twin' : 'their twins'}`,
      evidence: `${rows.length === 1 ? 'It has' : 'They have'} the same weights as another one, so that one of them with their outgoing weights added up says as much`,
    });
  }

  /** The lowest rank of each layer's weights that stays within the drop, where that saves work. */
  async factorisations(): Promise<Suggestion[]> {
    const { graph, task } = this.context;
    const { macs: before } = modelCost(graph);
    const result: Suggestion[] = [];
    for (const layer of graph.layers) {
      if (layerCost(graph, layer).macs < worthFactorising * before) continue;
      const weight = layer.tensors.map((name) => graph.tensors.get(name)!).find(({ shape }) => shape.length >= 2);
      const most = weight && Math.min(weight.shape[0]!, weight.shape.slice(1).reduce((product, size) => product * size, 1));
      if (!most || most > mostRankTried) continue;
      const at = (rank: number): Promise<Suggestion | undefined> => {
        throwIfCancelled(task);
        return this.ofSteps({
          id: `factorise:${layer.name}`, steps: [{ action: 'factorise', layer: layer.name, rank }], particles: [],
          title: `Factorise ${layer.name} into two layers of rank ${rank}`, evidence: `Of the ${most} directions of its weights the ${rank} strongest carry it`,
        }).catch((error: unknown) => {
          if (error instanceof ParticlizeError) return undefined;
          throw error;
        });
      };
      let best: Suggestion | undefined;
      let [low, high] = [0, most];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        const found = await at(middle);
        const passes = found && this.within(found.predicted) && this.withinChosen(found.predicted);
        if (passes) [best, high] = [found, middle];
        else low = middle;
      }
      if (best && best.predicted.macs < 0.95 * before) result.push(best);
    }
    return result;
  }

  /** Far fewer particles, and the weights of the others changed so that they make up for them: most expensive first. */
  async compensated(below: number): Promise<Suggestion[]> {
    const { graph, table, task } = this.context;
    const result: Suggestion[] = [];
    const { macs } = this.options.target ?? {};
    // What removing alone reaches too is not looked for.
    const shares = [...new Set([...frontShares.filter((share) => share < below), ...(macs === undefined ? [] : [macs])])].sort((one, two) => two - one);
    for (const share of shares) {
      throwIfCancelled(task);
      const pruned = await pruneTo({ ...this.context, task: { signal: task?.signal } }, { macs: share });
      if (!pruned.rows.length || (!pruned.reached && result.length)) break;
      const particles = pruned.rows.map((row) => table.id(row));
      const removal: PlanStep = { action: 'remove', particles };
      const { graph: smaller } = await applyPlan(graph, table, { version: 1, model: { file: '', sha256: '' }, steps: [removal] });
      const percent = Math.round((100 * pruned.macs) / modelCost(graph).macs);
      const found = await this.ofSteps({
        id: `compensate:${share}`, steps: [removal, ...await weightSteps(smaller, pruned.graph)], particles, graph: pruned.graph,
        title: `Remove ${counted(particles.length, 'particle')} and let the others make up for them: ${percent} % of the multiply-accumulates`,
        evidence: `Chosen so that the loss rises least when the weights behind them are reconstructed by least squares${pruned.reached ? '' : `; less than ${percent} % cannot be reached`}`,
      });
      if (found) result.push(found);
    }
    return result;
  }

  within({ metric }: Prediction): boolean {
    return metric !== undefined && this.dropOf(metric.change) <= this.options.maxDrop + 1e-9;
  }

  private withinChosen({ chosenOn }: Prediction): boolean {
    return !chosenOn || this.dropOf(chosenOn.metric) <= this.options.maxDrop + 1e-9;
  }

  /** A suggestion whose prediction is the evaluation of the model that its steps make; undefined when they are refused. */
  private async ofSteps({ id, title, steps, particles, evidence, lossless = false, graph: made }: {
    readonly id: string; readonly title: string; readonly steps: readonly PlanStep[]; readonly particles: readonly string[]; readonly evidence: string;
    readonly lossless?: boolean; readonly graph?: ModelGraph;
  }): Promise<Suggestion | undefined> {
    const { graph, table, engine, data, memoryBytes } = this.context;
    const operated = made ?? await applyPlan(graph, table, { version: 1, model: { file: '', sha256: '' }, steps }).then((result) => (result.refusals.length ? undefined : result.graph));
    if (!operated) return undefined;
    const chosen = await evaluate(operated, engine, data, { memoryBytes });
    const checked = this.check && await evaluate(operated, engine, this.check.data, { memoryBytes });
    const { name } = this.decisive;
    const metric = (checked ?? chosen).metrics[name]! - (this.check?.score ?? this.before).metrics[name]!;
    return {
      id, action: steps[0]!.action, title, particles, steps, lossless, predicted: await this.prediction(operated, chosen, checked),
      evidence: `${evidence}. ${Number.isNaN(metric) ? '' : this.goes(checked ?? chosen)}.`,
    };
  }

  private async prediction(operated: ModelGraph, chosen: Score, checked: Score | undefined): Promise<Prediction> {
    const { engine, data, task } = this.context;
    const { parameters, macs, bytes } = modelCost(operated);
    const { name } = this.decisive;
    const change = (score: Score, from: Score): { loss: number; metric: number } => ({ loss: score.loss - from.loss, metric: score.metrics[name]! - from.metrics[name]! });
    const [own, theirs] = [change(chosen, this.before), checked && change(checked, this.check!.score)];
    this.latency ??= measureLatency(this.context.graph, engine, data, 0, task);
    const [before, after] = [await this.latency, await measureLatency(operated, engine, data, 0, task)];
    return {
      loss: (theirs ?? own).loss, metric: { name, change: (theirs ?? own).metric }, samples: this.check?.data.count ?? data.count,
      ...(theirs && { chosenOn: { samples: data.count, ...own } }), parameters, macs, bytes, latencyMs: { before: before.medianMs, after: after.medianMs },
    };
  }

  /** Share of the model's multiply-accumulates plus that of its parameters, as far as the layer's own go. */
  private costOf(row: number): number {
    const group = this.context.table.groupOf(row);
    let cost = this.costs.get(group);
    if (cost === undefined) this.costs.set(group, (cost = this.costEach(group)));
    return cost;
  }

  private costEach(group: ParticleGroup): number {
    const { graph } = this.context;
    const total = modelCost(graph);
    const node = indexOf(graph).producer.get(group.producer.value);
    const layer = indexOf(graph).layer.get(node?.layer ?? group.layer);
    if (!layer) return 1;
    const { macs, parameters } = layerCost(graph, layer);
    const share = (total.macs ? macs / total.macs : 0) + (total.parameters ? parameters / total.parameters : 0);
    return Math.max(share / group.count, 1e-9);
  }

  private async suggestion(parts: {
    readonly id: string; readonly rows: readonly number[]; readonly score: Score; readonly checked?: Score; readonly title: string; readonly evidence: string; readonly lossless?: boolean;
  }): Promise<Suggestion | undefined> {
    const { table } = this.context;
    const rows = closeOver(this.context.graph, table, parts.rows);
    if (removalOf(this.context.graph, table, new Set(rows)).refusals.length) return undefined;
    const predicted = await this.prediction(await this.operated(rows), parts.score, parts.checked);
    const particles = rows.map((row) => table.id(row));
    const checked = parts.checked && !parts.lossless ? `. ${this.goes(parts.checked)}` : '';
    return {
      id: parts.id, action: 'remove', title: parts.title, particles, steps: [{ action: 'remove', particles }], predicted,
      lossless: parts.lossless ?? false, evidence: `${parts.evidence}${checked}.`,
    };
  }

  private async operated(rows: readonly number[]): Promise<ModelGraph> {
    const { graph, table } = this.context;
    const particles = closeOver(graph, table, rows).map((row) => table.id(row));
    return (await applyPlan(graph, table, { version: 1, model: { file: '', sha256: '' }, steps: [{ action: 'remove', particles }] })).graph;
  }

  private passes(score: Score, before = this.before): boolean {
    return this.dropOf(score.metrics[this.decisive.name]! - before.metrics[this.decisive.name]!) <= this.options.maxDrop + 1e-9;
  }

  private dropOf(change: number): number {
    // A metric that became NaN is as bad as can be.
    return Number.isNaN(change) ? Infinity : this.decisive.higherIsBetter ? -change : change;
  }

  private jointly(score: Score, removed: number): string {
    const { name } = this.decisive;
    const also = this.check ? '' : ', the same that it was chosen by, as there are too few to keep some apart';
    return `With ${removed === 1 ? 'it' : 'all of them'} off, ${name} on ${counted(this.context.data.count, 'sample')} goes from ${figure(this.before.metrics[name]!)} to ${figure(score.metrics[name]!)}${also}`;
  }

  /** What was measured where nothing was chosen. */
  private goes(score: Score): string {
    const { name } = this.decisive;
    const { check } = this;
    const [before, count] = check ? [check.score, check.data.count] : [this.before, this.context.data.count];
    return `On ${counted(count, check ? 'other sample' : 'sample')} it goes from ${figure(before.metrics[name]!)} to ${figure(score.metrics[name]!)}`.replace(' it goes', ` ${name} goes`);
  }
}

/** Samples that nothing is chosen by. */
export interface Check {
  readonly masked: MaskedModel;
  readonly score: Score;
  readonly data: Dataset;
}

/** Layers with less of the model's multiply-accumulates are not worth factorising. */
const worthFactorising = 0.2;
const mostRankTried = 256;

type MaskedScore = Awaited<ReturnType<MaskedModel['evaluate']>>;

interface Found {
  readonly rows: readonly number[];
  readonly score: MaskedScore;
}
