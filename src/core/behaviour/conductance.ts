import { batchModel } from '../evaluate/batching';
import { objectiveFor, targetsOf } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { asFloat32, fromFloat32, isFloat } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import { attributedOutput, attributedTitle } from './attributedOutput';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { forEachProduct } from './gradientImportance';
import { openParticleGradients, type ForwardRun } from './particleGradients';

/**
 * Conductance (Dhamdhere, Sundararajan, Yan 2018, "How important is a neuron?"): how much of what the output gains between
 * an input of zeros and the sample flows through the particle. The shares of a layer through which everything flows add up to that gain.
 */
export const conductance: BehaviourFamily = {
  needsLabels: true,
  onRequest: true,
  columns: [{
    name: 'conductance', title: 'Conductance', unit: '', scale: 'diverging', exact: true,
    meaning: `How much of what ${attributedTitle} gains from an input of zeros to the sample flows through the particle; mean over samples.`,
  }],
  compute: async (context) => [await conductances(context)],
};

/** By row. `steps`: points on the way from zero to the sample, between which the integral is taken by trapezoids. */
export async function conductances(context: BehaviourContext, { steps = 16 }: { readonly steps?: number } = {}): Promise<Float32Array> {
  const { data, table, task } = context;
  const found = table.emptyValues();
  const { graph } = await batchModel(context.graph);
  if (!graph.inputs.every(({ dtype }) => dtype === undefined || isFloat(dtype))) {
    context.report({ severity: 'info', place: data.title, message: 'Conductance does not apply: the model reads whole numbers, between which and zero there is nothing.' });
    return found;
  }
  const objective = objectiveFor(graph, data);
  // What a unit tells itself is not counted twice: its way to the output is through what it gives to others.
  const gradients = await openParticleGradients(context, chosenGroups(context), { output: objective.output, recurrence: false, differences: true });
  const sums = new Float64Array(table.rowCount);
  try {
    for (let from = 0; from < data.count; from += gradients.samples) {
      const to = Math.min(data.count, from + gradients.samples);
      const inputs = await data.inputs(from, to);
      const targets = await targetsOf(data, from, to);
      let before: ForwardRun | undefined;
      for (let step = 0; step <= steps; step++) {
        throwIfCancelled(task);
        task?.progress?.(from * steps + step * (to - from), data.count * steps, 'Conductance');
        const run = await gradients.forward(from, to, scaled(inputs, step / steps));
        const seed = attributedOutput(targets, to - from, run.width);
        if (before) {
          forEachProduct(await gradients.backward(run, seed, before), (row, value) => (sums[row]! += value / 2));
          forEachProduct(await gradients.backward(before, seed, run), (row, value) => (sums[row]! -= value / 2));
        }
        before = run;
      }
    }
    for (const { firstRow, count } of gradients.groups) for (let row = firstRow; row < firstRow + count; row++) found[row] = sums[row]! / data.count;
    return found;
  } finally {
    await gradients.dispose();
  }
}

function scaled(inputs: ReadonlyMap<string, NdArray>, factor: number): ReadonlyMap<string, NdArray> {
  return new Map([...inputs].map(([name, array]) => [name, fromFloat32(asFloat32(array).map((value) => value * factor), array.shape, array.dtype)]));
}
