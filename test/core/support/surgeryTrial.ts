import { maskArray, silencesOf, withMasks } from '../../../src/core/behaviour/silences';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { couplingGroups, closeOver } from '../../../src/core/optimise/groups';
import { removalOf } from '../../../src/core/optimise/removal';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { relativeError, seededRandom } from './graphs';
import { inputsFor, randomOfFamily } from './randomFamilies';

export interface Trial {
  readonly outcome: 'done' | 'refused' | 'failed';
  /** The reason of a refusal, or what failed. */
  readonly reason?: string;
  readonly removed: number;
  /** Relative difference of the operated model from the masked original. */
  readonly error: number;
  /** Relative difference of the masked from the unmasked original: that the removal is no small thing. */
  readonly effect: number;
}

/** Makes a random model of a family and a random plan, carries it out and holds it against the original with the plan masked. */
export async function surgeryTrial(engine: Engine, family: string, seed: number): Promise<Trial> {
  try {
    const graph = await randomOfFamily(family, seed);
    const table = decompose(graph);
    const coupling = couplingGroups(graph, table);
    const random = seededRandom(seed * 7919 + 13);
    const share = 0.05 + 0.5 * random();
    const free = coupling.groups.flatMap(({ bundles }) => bundles).filter(({ stays }) => stays === undefined);
    if (free.length === 0) return { outcome: 'refused', reason: coupling.groups[0]!.stays!, removed: 0, error: 0, effect: 0 };
    const sure = free[Math.floor(random() * free.length)];
    const wanted = free.filter((bundle) => bundle === sure || random() < share).flatMap(({ rows }) => rows);
    for (const row of wanted.slice(0, 12)) {
      const [closed, bundle] = [closeOver(graph, table, [row]), coupling.bundleOf(row).rows];
      if (closed.join() !== bundle.join()) return failed(`removing row ${row} removes ${closed.join(' ')}, but its bundle is ${bundle.join(' ')}`);
    }
    const rows = closeOver(graph, table, wanted);
    const plan = { version: 1 as const, model: { file: 'model.onnx', sha256: '' }, steps: [{ action: 'remove' as const, particles: rows.map((row) => table.id(row)) }] };
    const { removed, refusals } = removalOf(graph, table, new Set(rows));
    if (refusals.length) return { outcome: 'refused', reason: refusals[0]!.reason, removed: 0, error: 0, effect: 0 };
    const operated = await applyPlan(graph, table, plan);
    if (operated.refusals.length) return failed(`refused by applyPlan: ${operated.refusals[0]!.reason}`);
    const contradiction = operated.graph.findings.find(({ severity }) => severity !== 'info');
    if (contradiction) return failed(contradiction.message);
    // A transposed convolution of one group has particles where that of several had none.
    for (const { layer, kind, count } of decompose(operated.graph).groups) {
      const before = table.group(layer);
      // A projection of one head that is left shows as its neurons.
      if (!before || before.kind !== kind) continue;
      const left = before.count - rows.filter((row) => table.groupOf(row) === before).length;
      if (count !== left) return failed(`${layer} has ${count} particles left, not ${left}`);
    }
    const feeds = inputsFor(graph, seed);
    const silences = silencesOf(graph, removed);
    const { graph: maskable, masks } = withMasks(graph, silences.map(({ at }) => at));
    const [whole, small, masked] = [
      await run(engine, graph, feeds),
      await run(engine, operated.graph, feeds),
      await run(engine, maskable, new Map([...feeds, ...masks.map((mask) => [mask.name, maskArray(mask, silences)] as const)])),
    ];
    const error = relativeError(small, masked);
    return { outcome: error <= 1e-5 ? 'done' : 'failed', removed: rows.length, error, effect: relativeError(masked, whole), ...(error > 1e-5 && { reason: `differs by ${error}` }) };
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
}

function failed(reason: string): Trial {
  return { outcome: 'failed', reason, removed: 0, error: Infinity, effect: 0 };
}

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>): Promise<Float32Array> {
  const output = graph.outputs[0]!.name;
  const program = await engine.compile(graph, [...feeds.keys()], [output]);
  try {
    return (await program.run(feeds)).get(output)!.data as Float32Array;
  } finally {
    await program.dispose();
  }
}
