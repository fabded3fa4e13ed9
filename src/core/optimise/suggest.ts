import { ablation } from '../behaviour/ablation/ablation';
import type { BehaviourContext } from '../behaviour/behaviour';
import { openMasked } from '../behaviour/masked';
import { addBehaviour } from '../behaviour/registry';
import { halves } from '../data/halves';
import { modelCost } from '../evaluate/cost';
import { evaluate } from '../evaluate/evaluate';
import type { Evaluation } from '../evaluate/evaluation';
import { throwIfCancelled } from '../graph/errors';
import { ParticleTable } from '../particles/particleTable';
import { criterionNamed } from './criteria/registry';
import { scoreBundles, type CriterionChoice } from './criteria/scoreBundles';
import { couplingGroups } from './groups';
import type { Refusal, Suggestion } from './plan';
import { rowsOf, type Measure } from './ranking';
import { removable } from './removal';
import { Search } from './search';
import type { SuggestOptions } from './suggestOptions';

export interface Suggestions {
  readonly baseline: Evaluation;
  readonly suggestions: readonly Suggestion[];
  readonly refusals: readonly Refusal[];
  /** Options of which none is better than another in metric and multiply-accumulates both, the most expensive first. */
  readonly front: readonly Suggestion[];
}

/** An exact sweep that takes longer than about this is replaced by estimates. */
const longestSweepMacs = 1.2e12;

/**
 * What may be removed within a drop: particles are ranked by ablation in several ways (their removals do not simply
 * add up) or by the criterion that was chosen, and for each the longest run is sought by bisection whose *joint* removal, measured with all of them switched
 * off, stays within it; the cheapest model wins. All that is chosen is chosen on half of the samples, has to hold on the other
 * half, and what is predicted is what was measured there. One suggestion a layer, one over all layers, one of what does
 * nothing at all (known only where ablation ranks), and others that keep the function or make up for what goes. Predicted sizes are those of the really operated model.
 */
export async function suggest(context: BehaviourContext, options: SuggestOptions): Promise<Suggestions> {
  const { graph, engine, data, task, memoryBytes } = context;
  const split = halves(data);
  // Columns that the user sees are of all samples; these are not.
  const table = choosingTable(context);
  const choosing: BehaviourContext = { ...context, table, data: split?.choose ?? data, layers: undefined, workers: undefined, store: undefined, arrived: undefined };
  const chosen = options.criterion && await chosenMeasure(choosing, options.criterion);
  const wanted = chosen ? [] : sweepTooLong(choosing) ? ['estimatedLossChange', 'contribution'] : [...ablation.columns.map(({ name }) => name), 'contribution'];
  const missing = wanted.filter((name) => !table.column(name));
  if (missing.length) await addBehaviour(choosing, new Set(missing));
  const masked = await openMasked(choosing);
  const checker = split && await openMasked({ ...choosing, data: split.check });
  try {
    const baseline = await evaluate(graph, engine, data, { memoryBytes, task });
    const check = checker && { masked: checker, score: await checker.evaluate([]), data: split.check };
    const search = new Search(choosing, masked, await masked.evaluate([]), options, baseline.decisive, check, chosen);
    const verdicts = removable(graph, table);
    const coupling = couplingGroups(graph, table);
    // Layers that lose the same channels are searched through the first of them.
    const groups = table.groups.filter((group) => !verdicts.get(group.layer) && coupling.groupOf(group.firstRow).members[0] === group && rowsOf(group).some((row) => search.knows(row)));
    const suggestions: Suggestion[] = [];
    for (const [done, group] of groups.entries()) {
      throwIfCancelled(task);
      task?.progress?.(done, groups.length + 3, `How much of ${group.layer} can go`);
      const found = await search.layer(group);
      if (found) suggestions.push(found);
    }
    task?.progress?.(groups.length, groups.length + 3, 'How much of the whole model can go');
    const whole = groups.length > 1 ? await search.whole(groups) : undefined;
    task?.progress?.(groups.length + 1, groups.length + 3, 'What changes nothing at all');
    const idle = await search.idle(groups);
    const merged = await search.twins();
    const factorised = options.structural ? await search.factorisations() : [];
    task?.progress?.(groups.length + 2, groups.length + 3, 'What the others can make up for');
    const compensated = options.front === false || groups.length === 0 ? [] : await search.compensated(whole ? whole.predicted.macs / baseline.macs : 1);
    const within = compensated.filter(({ predicted }) => search.within(predicted)).slice(-1);
    const all = [whole, idle, merged, ...within, ...suggestions.sort((one, two) => one.predicted.macs - two.predicted.macs), ...factorised].filter((one) => one !== undefined);
    const unmeasured = table.groups.filter((group) => !verdicts.get(group.layer) && !rowsOf(group).some((row) => search.knows(row)))
      .map(({ layer }) => ({ layer, reason: chosen ? `the criterion ${options.criterion!.criterion} says nothing of it` : 'what the model loses without its particles could not be measured' }));
    return {
      baseline, suggestions: all, front: frontOf([...all, ...compensated], baseline.decisive.higherIsBetter),
      refusals: [...[...verdicts.values()].filter((refusal) => refusal !== undefined), ...unmeasured],
    };
  } finally {
    await masked.dispose();
    await checker?.dispose();
  }
}

/** A particle is worth what the bundle is that it goes with. */
async function chosenMeasure(context: BehaviourContext, choice: CriterionChoice): Promise<Measure> {
  const { words } = criterionNamed(choice.criterion);
  const coupling = couplingGroups(context.graph, context.table);
  const scores = await scoreBundles(context, coupling, choice);
  const byRow = context.table.emptyValues();
  for (const [number, { rows }] of coupling.groups.flatMap(({ bundles }) => bundles).entries()) for (const row of rows) byRow[row] = scores[number]!;
  return { words, of: (row) => byRow[row]! };
}

const choosingTables = new WeakMap<ParticleTable, { readonly key: string; readonly table: ParticleTable }>();

/** What was measured for the same data is not measured again when somebody asks with another drop. */
function choosingTable({ table, data }: BehaviourContext): ParticleTable {
  const key = JSON.stringify([data.title, data.count, data.seed]);
  const known = choosingTables.get(table);
  if (known?.key === key) return known.table;
  const made = new ParticleTable(table.groups);
  choosingTables.set(table, { key, table: made });
  return made;
}

/** Those that no other one beats in both, the most expensive first. */
function frontOf(options: readonly Suggestion[], higherIsBetter: boolean): Suggestion[] {
  const worse = ({ predicted }: Suggestion): number => (higherIsBetter ? -1 : 1) * (predicted.metric?.change ?? 0);
  const distinct = options.filter((one, index) => options.findIndex(({ id }) => id === one.id) === index);
  return distinct.filter((one, index) => !distinct.some((other, place) => {
    const [worth, macs] = [worse(other) - worse(one), other.predicted.macs - one.predicted.macs];
    return worth <= 0 && macs <= 0 && (worth < 0 || macs < 0 || place < index);
  })).sort((one, two) => two.predicted.macs - one.predicted.macs);
}

function sweepTooLong({ graph, table, data }: BehaviourContext): boolean {
  return table.rowCount * data.count * modelCost(graph).macs > longestSweepMacs;
}
