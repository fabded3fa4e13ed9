import type { BehaviourContext } from '../../behaviour/behaviour';
import { batchModel, batchSize, bytesPerSample, openRunner } from '../../evaluate/batching';
import { objectiveFor } from '../../evaluate/metrics';
import { outputWidth } from '../../evaluate/evaluate';
import { differentiate } from '../../graph/differentiate';
import { throwIfCancelled } from '../../graph/errors';
import { asFloat32 } from '../../graph/numeric';
import { seededRandom } from '../../graph/seededRandom';
import type { LinearSite } from './linearSites';

export interface SensitivityOptions {
  readonly samples: number;
  /** Random directions a sample. */
  readonly directions: number;
  /** Outputs are divided by this before the curvature is taken, so that samples about which the model is sure count too. */
  readonly temperature: number;
}

/**
 * What a squared error in each output of each site costs in loss: half the second derivative of the loss (Gauss-Newton, by random
 * directions: Martens 2020), summed over the places of a sample and averaged over samples, as if errors at different places had
 * nothing to do with each other. Needs no labels. By node name.
 */
export async function sensitivities(
  context: Pick<BehaviourContext, 'graph' | 'engine' | 'data' | 'memoryBytes' | 'task'>, sites: readonly LinearSite[], { samples, directions, temperature }: SensitivityOptions,
): Promise<ReadonlyMap<string, Float64Array>> {
  const { engine, data, task, memoryBytes } = context;
  const model = await batchModel(context.graph);
  const objective = objectiveFor(model.graph, data);
  const found = new Map(sites.map(({ node, outputs }) => [node.name, new Float64Array(outputs)]));
  const values = sites.map(({ output }) => output).filter((value) => value !== objective.output);
  const { graph, gradients, seed } = await differentiate(model.graph, { of: objective.output, withRespectTo: values, seed: 'particlize/seed' });
  const inputs = model.graph.inputs.map(({ name }) => name);
  const forward = await openRunner(engine, model, inputs, [objective.output]);
  const backward = await openRunner(engine, { ...model, graph }, [...inputs, seed!], [...new Set(gradients.values())]);
  const random = seededRandom(data.seed);
  const count = Math.min(samples, data.count);
  try {
    const step = batchSize(memoryBytes, 3 * bytesPerSample(model.graph), 64);
    for (let from = 0; from < count; from += step) {
      throwIfCancelled(task);
      const to = Math.min(count, from + step);
      const own = await data.inputs(from, to);
      const outputs = (await forward.run(own)).get(objective.output)!;
      const width = outputWidth(outputs, to - from);
      const soft = asFloat32(outputs).map((value) => value / temperature);
      const direction = new Float32Array(soft.length);
      for (let turn = 0; turn < directions; turn++) {
        objective.scatter(direction, soft, width, random);
        const results = await backward.run(new Map([...own, [seed!, { dtype: 'float32', shape: outputs.shape, data: Float32Array.from(direction) }]]));
        for (const site of sites) {
          const sums = found.get(site.node.name)!;
          if (site.output === objective.output) addSquares(sums, direction, outputs.shape, site, 2 * directions * count);
          else {
            const gradient = results.get(gradients.get(site.output)!)!;
            addSquares(sums, asFloat32(gradient), gradient.shape, site, 2 * directions * count);
          }
        }
      }
    }
  } finally {
    await Promise.all([forward.dispose(), backward.dispose()]);
  }
  return found;
}

function addSquares(sums: Float64Array, values: Float32Array, shape: readonly number[], { node, outputs }: LinearSite, share: number): void {
  const inner = node.op === 'Conv' ? shape.slice(2).reduce((all, size) => all * size, 1) : 1;
  for (let from = 0, output = 0; from < values.length; from += inner, output = (output + 1) % outputs) {
    let sum = 0;
    for (let at = from; at < from + inner; at++) sum += values[at]! * values[at]!;
    sums[output]! += sum / share;
  }
}
