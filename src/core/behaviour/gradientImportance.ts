import { batchModel } from '../evaluate/batching';
import { objectiveFor, targetsOf } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { seededRandom } from '../graph/seededRandom';
import { attributedOutput, attributedTitle } from './attributedOutput';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { openParticleGradients, type ByGroup } from './particleGradients';

/** Random directions in which curvature is measured. */
const directions = 4;

/** What follows from one backward pass or a few, whatever the number of outputs. */
export const gradientImportance: BehaviourFamily = {
  needsLabels: true,
  onRequest: true,
  columns: [
    {
      name: 'gradientActivation', title: 'Gradient × activation', unit: '', scale: 'diverging', exact: true,
      meaning: `What the particle adds to ${attributedTitle} as the gradient sees it: activation times gradient, summed over positions, mean over samples.`,
    },
    {
      // Molchanov, Mallya, Tyree, Frosio, Kautz 2019, "Importance estimation for neural network pruning", with a gate for each particle.
      name: 'taylorImportance', title: 'Taylor importance', unit: '', scale: 'sequential', exact: true,
      meaning: 'Mean square over samples of activation times gradient of the loss: the squared change of a sample\'s loss without the particle, to first order.',
    },
    {
      name: 'taylorLossChange', title: 'Loss without it (second order)', unit: '', scale: 'diverging', exact: false, estimateOf: 'ablationLossChange',
      meaning: 'Change of the loss without the particle to second order: slope and Gauss-Newton curvature, estimated in a few random directions.',
    },
  ],
  compute,
};

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { data, table, task } = context;
  const objective = objectiveFor((await batchModel(context.graph)).graph, data);
  const gradients = await openParticleGradients(context, chosenGroups(context), { output: objective.output, recurrence: true });
  const random = seededRandom(data.seed);
  const sums = [0, 1, 2].map(() => new Float64Array(table.rowCount)) as [Float64Array, Float64Array, Float64Array];
  try {
    for (let from = 0; from < data.count; from += gradients.samples) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, 'Gradients');
      const to = Math.min(data.count, from + gradients.samples);
      const run = await gradients.forward(from, to);
      const targets = await targetsOf(data, from, to);
      forEachProduct(await gradients.backward(run, attributedOutput(targets, to - from, run.width)), (row, value) => (sums[0][row]! += value));
      const seed = new Float32Array(run.outputs.length);
      objective.slope(seed, run.outputs, run.width, targets);
      forEachProduct(await gradients.backward(run, seed), (row, value) => {
        sums[1][row]! += value * value;
        sums[2][row]! -= value;
      });
      for (let turn = 0; turn < directions; turn++) {
        objective.scatter(seed, run.outputs, run.width, random);
        forEachProduct(await gradients.backward(run, seed), (row, value) => (sums[2][row]! += (value * value) / (2 * directions)));
      }
    }
    task?.progress?.(data.count, data.count, 'Gradients');
    return sums.map((sum) => {
      const values = table.emptyValues();
      for (const { firstRow, count } of gradients.groups) for (let row = firstRow; row < firstRow + count; row++) values[row] = sum[row]! / data.count;
      return values;
    });
  } finally {
    await gradients.dispose();
  }
}

/** Every product of every sample with the row of its particle. */
export function forEachProduct(products: ByGroup, visit: (row: number, value: number, sample: number) => void): void {
  for (const [{ firstRow, count }, values] of products) {
    for (let at = 0; at < values.length; at++) visit(firstRow + (at % count), values[at]!, Math.floor(at / count));
  }
}
