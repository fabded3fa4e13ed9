import { ParticlizeError } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { decompose } from '../particles/decompose';
import type { ParticleTable } from '../particles/particleTable';
import { StepError, type Operating, type StepResult } from './actions/action';
import { actionOf } from './actions/registry';
import type { Plan, PlanStep, Refusal } from './plan';

export interface Operated {
  readonly graph: ModelGraph;
  readonly refusals: readonly Refusal[];
  /** What else there is to say, one sentence each. */
  readonly notes: readonly string[];
  /** Actions that made or took away operators: only formats that hold a graph can save that. */
  readonly structural: readonly string[];
}

/**
 * Carries out a plan, step by step: a new graph whose weights really are smaller. Rejects with a ParticlizeError when the plan
 * names a particle or layer that the model does not have, or what is impossible; what may not be done is refused with its reason
 * and left as it was. Ids are those of the model that the plan is for, whatever earlier steps have taken away.
 */
export async function applyPlan(graph: ModelGraph, table: ParticleTable, plan: Plan): Promise<Operated> {
  let current = graph;
  let names = new Names(table);
  const refusals = new Map<string, Refusal>();
  const notes: string[] = [];
  const structural = new Set<string>();
  for (const [index, step] of joined(plan.steps).entries()) {
    const action = actionOf(step.action);
    if (!action) throw new ParticlizeError({ file: plan.model.file, place: `steps[${index}].action`, cause: `there is no action '${String(step.action)}'` });
    let result: StepResult;
    try {
      result = await action.apply(step, operating(current, names));
    } catch (error) {
      if (error instanceof StepError) throw new ParticlizeError({ file: plan.model.file, place: error.place, cause: error.message }, { cause: error });
      throw error;
    }
    for (const refusal of result.refusals ?? []) if (!refusals.has(refusal.layer)) refusals.set(refusal.layer, refusal);
    notes.push(...result.notes ?? []);
    if (result.graph === current) continue;
    if (action.structural) structural.add(action.name);
    current = result.graph;
    names = names.after(decompose(current), new Set(result.gone), new Set(result.doubled));
  }
  return { graph: current, refusals: [...refusals.values()], notes, structural: [...structural] };
}

/** Removals in a row are one: what goes together may be said in several steps. */
function joined(steps: readonly PlanStep[]): PlanStep[] {
  const result: PlanStep[] = [];
  for (const step of steps) {
    const last = result.at(-1);
    if (step.action === 'remove' && last?.action === 'remove') result[result.length - 1] = { action: 'remove', particles: [...last.particles, ...step.particles] };
    else result.push(step);
  }
  return result;
}

function operating(graph: ModelGraph, names: Names): Operating {
  return { graph, table: names.table, row: (id) => names.row(id), id: (row) => names.id(row) };
}

/** Which row has which id of the model that the plan is for. */
class Names {
  private readonly rows: ReadonlyMap<string, number>;

  constructor(readonly table: ParticleTable, private readonly ids: readonly string[] = Array.from({ length: table.rowCount }, (_, row) => table.id(row)),
    private readonly first: ParticleTable = table) {
    this.rows = new Map(ids.map((id, row) => [id, row]));
  }

  row(id: string): number {
    const row = this.rows.get(id);
    if (row !== undefined) return row;
    throw new StepError(id, this.first.row(id) === undefined ? 'the model has no such particle' : 'an earlier step has taken it away');
  }

  id(row: number): string {
    return this.ids[row]!;
  }

  after(table: ParticleTable, gone: ReadonlySet<number>, doubled: ReadonlySet<number>): Names {
    const ids: string[] = [];
    for (const group of table.groups) {
      const old = this.table.groups.find(({ layer, kind }) => layer === group.layer && kind === group.kind);
      const left = old && Array.from({ length: old.count }, (_, particle) => old.firstRow + particle)
        .filter((row) => !gone.has(row)).flatMap((row) => (doubled.has(row) ? [this.ids[row]!, `${this.ids[row]!}+`] : [this.ids[row]!]));
      // Layers that a step has made have no names in the plan's model.
      ids.push(...left?.length === group.count ? left : Array.from({ length: group.count }, (_, particle) => `+${table.id(group.firstRow + particle)}`));
    }
    return new Names(table, ids, this.first);
  }
}
