import { batchModel } from '../evaluate/batching';
import { objectiveFor } from '../evaluate/metrics';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import { divergenceFor } from './ablation/divergence';
import { sweepPart, type SweepModel } from './ablation/sweep';
import type { BehaviourContext } from './behaviour';

export interface ExactChange {
  readonly loss: number;
  readonly metric: number;
}

/** Exact ablation of some particles only, by row; one that cannot be measured is missing. */
export async function exactChanges(context: BehaviourContext, rows: Iterable<number>): Promise<ReadonlyMap<number, ExactChange>> {
  const { table, data, task, graph } = context;
  const byGroup = new Map<string, number[]>();
  for (const row of rows) {
    const { layer } = table.groupOf(row);
    byGroup.set(layer, [...byGroup.get(layer) ?? [], row]);
  }
  const model = await batchModel(graph);
  const sweep: SweepModel = { model, objective: objectiveFor(model.graph, data), divergence: divergenceFor(model.graph, data) };
  const found = new Map<number, ExactChange>();
  for (const own of byGroup.values()) {
    throwIfCancelled(task);
    const group = table.groupOf(own[0]!);
    try {
      await sweepPart(context, sweep, { group, replacement: 'zero', particles: own.map((row) => row - group.firstRow) }, {
        found: (particle, [loss, metric]) => found.set(group.firstRow + particle, { loss, metric }),
      });
    } catch (error) {
      if (!(error instanceof ParticlizeError && error.parts.place === group.layer)) throw error;
    }
  }
  return found;
}
