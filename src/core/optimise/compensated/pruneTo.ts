import type { BehaviourContext } from '../../behaviour/behaviour';
import { modelCost } from '../../evaluate/cost';
import { throwIfCancelled } from '../../graph/errors';
import { indexOf, type ModelGraph } from '../../graph/modelGraph';
import { decompose } from '../../particles/decompose';
import { closeOver } from '../groups';
import { removalOf } from '../removal';
import { removeAxes } from '../removeAxes';
import { chooseCompensated, type ChoiceOptions } from './brainSurgeon';
import { linearSites } from './linearSites';
import { reconstruct } from './reconstruct';

export interface PruneOptions extends Partial<Omit<ChoiceOptions, 'macs'>> {
  /** Share of the multiply-accumulates that may stay. */
  readonly macs: number;
  /** Share of the multiply-accumulates that a round leaves of what the one before left. */
  readonly perRound?: number;
}

export interface Pruned {
  /** The smaller model with reconstructed weights. */
  readonly graph: ModelGraph;
  /** Particles of the original that went, closed over what goes together. */
  readonly rows: readonly number[];
  readonly macs: number;
  /** Whether the target was met; otherwise this is the smallest that could be had. */
  readonly reached: boolean;
}

const defaults: Omit<ChoiceOptions, 'macs'> = { samples: 256, ridge: 0.1, directions: 2, temperature: 2, costPower: 1 };

/**
 * A model with at most a share of its multiply-accumulates: in rounds, each of which chooses by `chooseCompensated` on the model as it
 * is by then, cuts, and reconstructs from the original. The result is a plan (rows) and weights; nothing was trained.
 */
export async function pruneTo(context: BehaviourContext, options: PruneOptions): Promise<Pruned> {
  const { graph: original, table, task } = context;
  const settings = { ...defaults, ...options };
  const whole = modelCost(original).macs;
  let graph = original;
  let gone: number[] = [];
  for (let round = 1; ; round++) {
    throwIfCancelled(task);
    const now = modelCost(graph).macs;
    if (now <= options.macs * whole) return { graph, rows: gone, macs: now, reached: true };
    task?.progress?.(Math.log(whole / now), Math.log(1 / options.macs), `Choosing what can go, round ${round}`);
    const own = graph === original ? table : decompose(graph);
    const aim = Math.max(options.macs * whole, (options.perRound ?? 0.65) * now);
    const { rows } = await chooseCompensated({ ...context, graph, table: own }, { ...settings, macs: aim / now, lastMacs: (options.macs * whole) / now });
    if (!rows.length) return { graph, rows: gone, macs: now, reached: false };
    // Rows of the smaller model are named by those of the original that are left.
    const removed = new Set(gone);
    const left = new Map(table.groups.map((group) => [
      group.producer.value, Array.from({ length: group.count }, (_, particle) => group.firstRow + particle).filter((row) => !removed.has(row)),
    ]));
    gone = closeOver(original, table, [...gone, ...rows.map((row) => {
      const group = own.groupOf(row);
      return left.get(group.producer.value)![row - group.firstRow]!;
    })]);
    const { removed: axes } = removalOf(original, table, new Set(gone));
    const smaller = await removeAxes(original, axes);
    const kept = new Map(linearSites(original).map(({ node, output, outputs }) => {
      const axis = node.op === 'Conv' ? 1 : (indexOf(original) && (original.values.get(output)?.shape?.length ?? 2) - 1);
      const indices = axes.get({ value: output, axis });
      return [node.name, Array.from({ length: outputs }, (_, index) => index).filter((index) => !indices?.has(index))];
    }));
    graph = await reconstruct(original, smaller, context, kept, settings);
  }
}
