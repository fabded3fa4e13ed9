import type { Dataset } from '../data/dataset';
import type { Engine } from '../graph/engine';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { batchModel, openRunner } from './batching';
import { objectiveFor } from './metrics';

/** How long one sample takes, measured; not comparable between machines. */
export interface Latency {
  readonly medianMs: number;
  readonly runs: number;
  readonly engine: string;
  readonly threads: number;
}

/** The first runs make caches and buffers; then as many as fit into the time. */
const [warmUpRuns, warmUpMs, leastRuns, mostRuns, budgetMs] = [3, 100, 5, 200, 1000];

/** Runs the first sample alone, again and again, on the engine that everything runs on. */
export async function measureLatency(graph: ModelGraph, engine: Engine, data: Dataset, threads: number, task?: Task): Promise<Latency> {
  const model = await batchModel(graph);
  const runner = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), [objectiveFor(graph, data).output]);
  try {
    const inputs = await data.inputs(0, 1);
    const once = async (): Promise<number> => {
      throwIfCancelled(task);
      const from = performance.now();
      await runner.run(inputs);
      return performance.now() - from;
    };
    const spent = (from: number): number => performance.now() - from;
    const begun = performance.now();
    for (let run = 0; run < warmUpRuns || spent(begun) < warmUpMs; run++) await once();
    const times: number[] = [];
    const started = performance.now();
    while (times.length < leastRuns || (times.length < mostRuns && spent(started) < budgetMs)) times.push(await once());
    return { medianMs: median(times), runs: times.length, engine: engine.title, threads };
  } finally {
    await runner.dispose();
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
