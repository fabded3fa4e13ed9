import type { BehaviourContext } from '../../behaviour/behaviour';
import { filledUp } from '../../behaviour/gradientModel';
import { batchModel, batchSize, bytesPerSample } from '../../evaluate/batching';
import { outputWidth } from '../../evaluate/evaluate';
import { objectiveFor, targetsOf } from '../../evaluate/metrics';
import { differentiate } from '../../graph/differentiate';
import { throwIfCancelled } from '../../graph/errors';
import { asFloat32 } from '../../graph/numeric';
import type { NdArray } from '../../graph/tensor';

/**
 * Gradients of the summed loss of runs of samples with respect to weights (by tensor name, of the tensor's shape), norms computing with their
 * running statistics: calls `visit` for each run. `most`: samples a run; as many as memory holds when left out. `samples`: only so many first.
 */
export async function forEachWeightGradient(
  { graph: original, engine, data, memoryBytes, task }: BehaviourContext, names: readonly string[],
  visit: (name: string, gradient: Float32Array) => void, { most = 128, samples = data.count }: { readonly most?: number; readonly samples?: number } = {},
): Promise<void> {
  const model = await batchModel(original);
  const objective = objectiveFor(model.graph, data);
  const seed = 'particlize/seed';
  const { graph, gradients } = await differentiate(model.graph, { of: objective.output, withRespectTo: names, seed });
  const inputs = model.graph.inputs.map(({ name }) => name);
  const forward = await engine.compile(model.graph, inputs, [objective.output]);
  const backward = await engine.compile(graph, [...inputs, seed], [...new Set(gradients.values())]);
  try {
    const step = Math.min(model.fixedBatch ?? batchSize(memoryBytes, 3 * bytesPerSample(model.graph), most), most);
    const count = Math.min(samples, data.count);
    for (let from = 0; from < count; from += step) {
      throwIfCancelled(task);
      task?.progress?.(from, count, 'Gradients of the weights');
      const to = Math.min(count, from + step);
      const full = model.fixedBatch ?? to - from;
      const own = new Map<string, NdArray>([...await data.inputs(from, to)].map(([name, array]) => [name, filledUp(array, full)]));
      const outputs = (await forward.run(own)).get(objective.output)!;
      const width = outputWidth(outputs, full);
      // Copies that only fill a batch up weigh nothing.
      const slopes = new Float32Array(outputs.data.length);
      objective.slope(slopes.subarray(0, (to - from) * width), asFloat32(outputs).subarray(0, (to - from) * width), width, await targetsOf(data, from, to));
      const found = await backward.run(new Map([...own, [seed, { dtype: 'float32', shape: outputs.shape, data: slopes }]]));
      for (const name of names) visit(name, asFloat32(found.get(gradients.get(name)!)!));
    }
    task?.progress?.(count, count, 'Gradients of the weights');
  } finally {
    await Promise.all([forward.dispose(), backward.dispose()]);
  }
}
