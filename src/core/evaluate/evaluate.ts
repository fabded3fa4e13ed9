import type { Dataset } from '../data/dataset';
import type { Engine } from '../graph/engine';
import { ParticlizeError, throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import { batchModel, batchSize, bytesPerSample, openRunner } from './batching';
import { modelCost } from './cost';
import type { Evaluation } from './evaluation';
import { objectiveFor, targetsOf, type Objective, type Score, type Targets } from './metrics';

export interface EvaluateOptions {
  readonly memoryBytes: number;
  readonly task?: Task;
}

/** Runs the model on all samples. Rejects with a ParticlizeError when it cannot be run or there is nothing to compare with. */
export async function evaluate(graph: ModelGraph, engine: Engine, data: Dataset, { memoryBytes, task }: EvaluateOptions): Promise<Evaluation> {
  const objective = objectiveFor(graph, data);
  const model = await batchModel(graph);
  const runner = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), [objective.output]);
  try {
    const batch = batchSize(memoryBytes, bytesPerSample(model.graph) * (data.rowsPerSample ?? 1));
    const sums = new Float64Array(objective.sums);
    const byGroup = new Map<number, { sums: Float64Array; samples: number }>();
    for (let from = 0; from < data.count; from += batch) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, 'Evaluating');
      const to = Math.min(data.count, from + batch);
      const outputs = (await runner.run(await data.inputs(from, to))).get(objective.output)!;
      const targets = await targetsOf(data, from, to);
      const width = outputWidth(outputs, to - from);
      objective.add(sums, asFloat32(outputs), width, 0, to - from, targets);
      (await data.groups?.(from, to))?.forEach((group, row) => {
        const own = byGroup.get(group) ?? { sums: new Float64Array(objective.sums), samples: 0 };
        objective.add(own.sums, asFloat32(outputs), width, row, row + 1, targetsOfRow(targets, row, to - from));
        own.samples++;
        byGroup.set(group, own);
      });
    }
    task?.progress?.(data.count, data.count, 'Evaluating');
    const found = evaluation(objective, objective.finish(sums, data.count), { graph, engine, data });
    if (!byGroup.size) return found;
    const groups = [...byGroup].sort(([a], [b]) => a - b).map(([group, own]) => ({ group, samples: own.samples, ...objective.finish(own.sums, own.samples) }));
    return { ...found, groups };
  } finally {
    await runner.dispose();
  }
}

/** A score with what it cost to reach it. */
export function evaluation(
  objective: Objective, score: Score, { graph, engine, data }: { graph: ModelGraph; engine: Engine; data: Dataset },
): Evaluation {
  const { parameters, macs, bytes } = modelCost(graph);
  return { ...score, decisive: objective.decisive, samples: data.count, parameters, macs, bytes, engine: engine.title };
}

function targetsOfRow({ classes, values }: Targets, row: number, rows: number): Targets {
  const part = <T extends Int32Array | Float32Array>(array: T | undefined): T | undefined =>
    array?.subarray((row * array.length) / rows, ((row + 1) * array.length) / rows) as T | undefined;
  return { classes: part(classes), values: part(values) };
}

/** Numbers a sample in what the model gave. Throws a ParticlizeError when the output does not go by samples. */
export function outputWidth(outputs: NdArray, samples: number): number {
  // A sample of several rows, as in a ranking, has the numbers of all of them.
  if (samples > 0 && outputs.shape[0]! % samples === 0) return outputs.data.length / samples;
  throw new ParticlizeError({
    cause: `the model's output has shape [${outputs.shape.join(', ')}] for ${samples} samples, so its first axis is not the sample`,
  });
}
