import { batchModel, batchSize, bytesPerSample, openRunner } from '../evaluate/batching';
import { throwIfCancelled } from '../graph/errors';
import { indexOf, type ModelGraph } from '../graph/modelGraph';
import { isBarrier, type AxisRef } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { standInsOf } from '../graph/standIns';
import { elementCount, type NdArray } from '../graph/tensor';
import { plainAct, type ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';

/** Runs all samples in batches and hands out what was fetched. The arrays live until `visit` returns. */
export async function forEachBatch(
  context: BehaviourContext, fetches: readonly string[], message: string,
  visit: (values: ReadonlyMap<string, NdArray>, from: number, to: number) => void | Promise<void>,
): Promise<void> {
  const { graph, engine, data, memoryBytes, task } = context;
  const model = await batchModel(graph);
  const wanted = [...new Set(fetches)];
  const runner = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), wanted);
  try {
    const batch = batchSize(memoryBytes, bytesPerSample(model.graph));
    for (let from = 0; from < data.count; from += batch) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, message);
      const to = Math.min(data.count, from + batch);
      await visit(await runner.run(await data.inputs(from, to)), from, to);
    }
    task?.progress?.(data.count, data.count, message);
  } finally {
    await runner.dispose();
  }
}

/** The groups that a run is about. */
export function chosenGroups({ table, layers }: Pick<BehaviourContext, 'table' | 'layers'>): readonly ParticleGroup[] {
  return layers ? table.groups.filter((group) => layers.has(group.layer)) : table.groups;
}

/**
 * Where a particle's response is looked at: behind its own normalisation and activation, in front of pooling and
 * of whatever only rearranges.
 */
export function responseOf(graph: ModelGraph, group: ParticleGroup): AxisRef {
  const { producer } = indexOf(graph);
  const context = standInsOf(graph);
  const [first] = group.acts;
  let at = first ? plainAct(first) : group.producer;
  for (;;) {
    if (at.value === group.producer.value) return at;
    const node = producer.get(at.value);
    if (!node || !summarising.has(node.op)) return at;
    const relations = familyOf(node)?.flow?.(node, context) ?? [];
    const back = relations.find((relation) =>
      !isBarrier(relation) && relation.b.value === at.value && relation.b.axis === at.axis && relation.a.value === node.inputs[0]
      && (relation.outer ?? 1) === 1 && (relation.inner ?? 1) === 1 && !relation.offset);
    if (!back) return at;
    at = back.a;
  }
}

const summarising = new Set([
  'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LpPool', 'ReduceMean', 'ReduceMax', 'Pad', 'Transpose',
  'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Dropout', 'Resize',
]);

/** How an array is walked through particle by particle: index = (outer * size + axis index) * inner + rest. */
export interface AxisWalk {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

export function axisWalk(shape: readonly number[], axis: number): AxisWalk {
  return { outer: elementCount(shape.slice(0, axis)), size: shape[axis]!, inner: elementCount(shape.slice(axis + 1)) };
}
