import { ablation } from '../behaviour/ablation/ablation';
import type { BehaviourContext } from '../behaviour/behaviour';
import { openMasked, type MaskedModel } from '../behaviour/masked';
import { addBehaviour } from '../behaviour/registry';
import { layerCost, modelCost } from '../evaluate/cost';
import { evaluation } from '../evaluate/evaluate';
import type { Evaluation } from '../evaluate/evaluation';
import { objectiveFor, type Score } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { indexOf } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import { closeOver, couplingGroups } from './groups';
import type { Plan, Prediction, Refusal, Suggestion } from './plan';
import { removable, removalOf } from './removal';
import { applyPlan } from './surgery';

export interface SuggestOptions {
  /** Largest accepted drop of the deciding metric: 0.01 is one point of accuracy. */
  readonly maxDrop: number;
  /** Shares of what the model costs now that suffice: then the smallest set that reaches them is proposed. */
  readonly target?: { readonly macs?: number; readonly parameters?: number };
}

export interface Suggestions {
  readonly baseline: Evaluation;
  readonly suggestions: readonly Suggestion[];
  readonly refusals: readonly Refusal[];
}

/** Share of a layer that always stays. */
const keptShare = 0.1;

/** Outputs that change by less than this, relative to the largest one, count as the same: the engine's own rounding. */
const sameOutput = 1e-5;

/** More tries than this to fit in what bisection left over are not worth their time. */
const mostFillTries = 40;

/**
 * What may be removed within a drop: particles are ranked by exact ablation in several ways (their removals do not simply
 * add up), and for each the longest run is sought by bisection whose *joint* removal, measured with all of them switched
 * off, stays within it; the cheapest model wins. One suggestion a layer, one over all layers and one of what does nothing at
 * all. Predicted sizes are those of the really operated model.
 */
export async function suggest(context: BehaviourContext, { maxDrop, target }: SuggestOptions): Promise<Suggestions> {
  const { graph, table, engine, data, task } = context;
  const missing = ablation.columns.map(({ name }) => name).filter((name) => !isThere(context, name, true));
  if (!isThere(context, 'contribution', false)) missing.push('contribution');
  if (missing.length) await addBehaviour({ ...context, layers: undefined }, new Set(missing));
  const masked = await openMasked(context);
  try {
    const objective = objectiveFor(graph, data);
    const score = await masked.evaluate([]);
    const search = new Search(context, masked, score, maxDrop, objective.decisive);
    const verdicts = new Map([...removable(graph, table)].map(([layer, refusal]) => [layer, refusal ?? unmeasured(table.group(layer)!)]));
    const coupling = couplingGroups(graph, table);
    // Layers that lose the same channels are searched through the first of them.
    const groups = table.groups.filter((group) => !verdicts.get(group.layer) && coupling.groupOf(group.firstRow).members[0] === group);
    const suggestions: Suggestion[] = [];
    for (const [done, group] of groups.entries()) {
      throwIfCancelled(task);
      task?.progress?.(done, groups.length + 2, `How much of ${group.layer} can go`);
      const found = await search.layer(group);
      if (found) suggestions.push(found);
    }
    task?.progress?.(groups.length, groups.length + 2, 'How much of the whole model can go');
    const whole = groups.length > 1 ? await search.whole(groups, target) : undefined;
    task?.progress?.(groups.length + 1, groups.length + 2, 'What does nothing at all');
    const idle = await search.idle(groups);
    return {
      baseline: evaluation(objective, { loss: score.loss, metrics: score.metrics }, { graph, engine, data }),
      suggestions: [whole, idle, ...suggestions.sort((one, two) => one.predicted.macs - two.predicted.macs)].filter((one) => one !== undefined),
      refusals: [...verdicts.values()].filter((refusal) => refusal !== undefined),
    };
  } finally {
    await masked.dispose();
  }
}

/** What cannot be measured is not proposed. */
function unmeasured(group: ParticleGroup): Refusal | undefined {
  const reason = notMaskable(group);
  return reason === undefined ? undefined : { layer: group.layer, reason };
}

/** Recurrent units can be measured one by one, but masks do not reach into their own gates. */
function notMaskable(group: ParticleGroup): string | undefined {
  return group.kind === 'unit' ? 'what the model loses without several of its recurrent units at once cannot be measured yet' : undefined;
}

/** Whether a column was computed on these samples, for every particle that can have a value when `whole`. */
function isThere({ table, data }: BehaviourContext, name: string, whole: boolean): boolean {
  const column = table.column(name);
  if (!column || column.provenance.data !== data.title || column.provenance.samples !== data.count) return false;
  return !whole || table.groups.every((group) => notMaskable(group) !== undefined || rowsOf(group).every((row) => !Number.isNaN(column.values[row]!)));
}

class Search {
  private readonly outputChange: Float32Array;
  private readonly measures: readonly Measure[];
  private readonly costs = new Map<ParticleGroup, number>();

  constructor(
    private readonly context: BehaviourContext, private readonly masked: MaskedModel, private readonly before: Score,
    private readonly maxDrop: number, private readonly decisive: Evaluation['decisive'],
  ) {
    const { table } = context;
    const lossChange = table.column('ablationLossChange')!.values;
    this.outputChange = table.column('ablationOutputChange')!.values;
    const contribution = table.column('contribution')?.values;
    this.measures = [
      { words: 'raises the loss least', of: (row) => lossChange[row]! },
      // A particle that harms alone may be needed once others are gone.
      { words: 'changes the loss least', of: (row) => Math.abs(lossChange[row]!) },
      { words: 'changes the outputs least', of: (row) => this.outputChange[row]! },
      ...(contribution ? [{ words: 'takes least from the next layer', of: (row: number) => contribution[row]! }] : []),
    ];
  }

  async layer(group: ParticleGroup): Promise<Suggestion | undefined> {
    const found = await this.largest(this.measures.map((measure) => ({ measure, forCost: false, rows: this.withinLayers(rank(rowsOf(group), measure.of)) })));
    if (!found) return undefined;
    const { rows, score, measure } = found;
    return this.suggestion({
      id: `remove:${group.layer}`, rows, score,
      title: `Remove ${rows.length} of ${counted(group.count, group.kind)} of ${group.layer}`,
      evidence: `${theOnes(rows.length, group.kind)} of ${group.layer} whose removal ${measure.words}. ${this.jointly(score, rows.length)}`,
    });
  }

  /** Over all layers, ranked by what a particle is worth, and by that for what it costs. */
  async whole(groups: readonly ParticleGroup[], target: SuggestOptions['target']): Promise<Suggestion | undefined> {
    const rows = groups.flatMap(rowsOf);
    const rankings = this.measures.flatMap((measure) => [
      { measure, forCost: false, rows: this.withinLayers(rank(rows, measure.of)) },
      { measure, forCost: true, rows: this.withinLayers(rank(rows, (row) => measure.of(row) / this.costOf(row))) },
    ]);
    const run = await this.largest(rankings);
    if (!run) return undefined;
    const found = await this.fill(run);
    const total = modelCost(this.context.graph);
    const met = target && await this.smallest(found.rows, target, total);
    const chosen = met ? met.rows : found.rows;
    const score = met ? await this.masked.evaluate(chosen) : found.score;
    const layers = new Set(chosen.map((row) => this.context.table.groupOf(row).layer));
    return this.suggestion({
      id: 'remove:*', rows: chosen, score,
      title: `Remove ${counted(chosen.length, 'particle')} of ${counted(layers.size, 'layer')}`,
      evidence: `${theOnes(chosen.length, 'particle')} whose removal ${run.measure.words}${run.forCost ? ' for what they cost' : ''}. ${this.jointly(score, chosen.length)}`
        + (!target ? '' : met?.reached ? '. This reaches the target' : '. The target cannot be reached within the accepted drop'),
    });
  }

  /** Particles without any effect on the output. */
  async idle(groups: readonly ParticleGroup[]): Promise<Suggestion | undefined> {
    const rows = this.withinLayers(groups.flatMap(rowsOf).filter((row) => this.outputChange[row]! <= sameOutput));
    const ranked = [...rows].sort((one, two) => this.outputChange[one]! - this.outputChange[two]!);
    const found = await this.bisect(ranked, ranked.length, (score) => score.outputChange <= sameOutput);
    if (!found) return undefined;
    const { data } = this.context;
    return this.suggestion({
      id: 'remove:idle', rows: found.rows, score: found.score, lossless: true,
      title: `Remove ${counted(found.rows.length, 'particle')} that ${found.rows.length === 1 ? 'does' : 'do'} nothing`,
      evidence: `With ${found.rows.length === 1 ? 'it' : 'all of them'} off, every output on ${counted(data.count, 'sample')} stays the same, but for rounding`,
    });
  }

  /** Rows in the same order, without those that would empty a layer. */
  private withinLayers(rows: readonly number[]): number[] {
    const { table } = this.context;
    const left = new Map<ParticleGroup, number>();
    return rows.filter((row) => {
      const group = table.groupOf(row);
      const remaining = (left.get(group) ?? group.count) - 1;
      if (remaining < leastKept(group)) return false;
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
      const more = [...found.rows, ...piece];
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
      const rows = ranked.slice(0, next);
      const score = await this.masked.evaluate(rows);
      if (passes(score)) {
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

  /** The shortest run of rows whose removal reaches the target, or all of them. */
  private async smallest(
    rows: readonly number[], target: NonNullable<SuggestOptions['target']>, total: { macs: number; parameters: number },
  ): Promise<{ rows: readonly number[]; reached: boolean }> {
    const reaches = async (count: number): Promise<boolean> => {
      const { macs, parameters } = await this.operatedCost(rows.slice(0, count));
      return macs <= (target.macs ?? Infinity) * total.macs && parameters <= (target.parameters ?? Infinity) * total.parameters;
    };
    if (!await reaches(rows.length)) return { rows, reached: false };
    let [low, high] = [0, rows.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await reaches(middle)) high = middle;
      else low = middle;
    }
    return { rows: rows.slice(0, high), reached: true };
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
    readonly id: string; readonly rows: readonly number[]; readonly score: Score; readonly title: string; readonly evidence: string; readonly lossless?: boolean;
  }): Promise<Suggestion | undefined> {
    const { table } = this.context;
    const rows = closeOver(this.context.graph, table, parts.rows);
    if (removalOf(this.context.graph, table, new Set(rows)).refusals.length) return undefined;
    const { name } = this.decisive;
    const predicted: Prediction = {
      loss: parts.score.loss - this.before.loss,
      metric: { name, change: parts.score.metrics[name]! - this.before.metrics[name]! },
      ...await this.operatedCost(rows),
    };
    const particles = rows.map((row) => table.id(row));
    return {
      id: parts.id, action: 'remove', title: parts.title, particles, steps: [{ action: 'remove', particles }], predicted,
      lossless: parts.lossless ?? false, evidence: `${parts.evidence}.`,
    };
  }

  private async operatedCost(rows: readonly number[]): Promise<{ parameters: number; macs: number; bytes: number }> {
    const { graph, table } = this.context;
    const plan: Plan = { version: 1, model: { file: '', sha256: '' }, steps: [{ action: 'remove', particles: closeOver(graph, table, rows).map((row) => table.id(row)) }] };
    const { parameters, macs, bytes } = modelCost((await applyPlan(graph, table, plan)).graph);
    return { parameters, macs, bytes };
  }

  private passes(score: Score): boolean {
    return this.drop(score) <= this.maxDrop + 1e-9;
  }

  private drop(score: Score): number {
    const { name, higherIsBetter } = this.decisive;
    const change = score.metrics[name]! - this.before.metrics[name]!;
    // A metric that became NaN is as bad as can be.
    return Number.isNaN(change) ? Infinity : higherIsBetter ? -change : change;
  }

  private jointly(score: Score, removed: number): string {
    const { name } = this.decisive;
    return `With ${removed === 1 ? 'it' : 'all of them'} off, ${name} on ${counted(this.context.data.count, 'sample')} goes from ${figure(this.before.metrics[name]!)} to ${figure(score.metrics[name]!)}`;
  }
}

/** What a particle is worth; small is little. */
interface Measure {
  /** Behind 'whose removal'. */
  readonly words: string;
  of(row: number): number;
}

interface Ranking {
  readonly measure: Measure;
  /** Whether worth was divided by cost. */
  readonly forCost: boolean;
  readonly rows: readonly number[];
}

type MaskedScore = Awaited<ReturnType<MaskedModel['evaluate']>>;

interface Found {
  readonly rows: readonly number[];
  readonly score: MaskedScore;
}

function rank(rows: readonly number[], worth: (row: number) => number): number[] {
  return rows.filter((row) => !Number.isNaN(worth(row))).sort((one, two) => worth(one) - worth(two) || one - two);
}

function rowsOf(group: ParticleGroup): number[] {
  return Array.from({ length: group.count }, (_, particle) => group.firstRow + particle);
}

function leastKept(group: ParticleGroup): number {
  return Math.max(1, Math.ceil(keptShare * group.count));
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** 'The 63 particles', 'The kernel'. */
function theOnes(count: number, noun: string): string {
  return count === 1 ? `The ${noun}` : `The ${count} ${noun}s`;
}

function figure(value: number): string {
  return Number(value.toPrecision(4)).toString();
}
