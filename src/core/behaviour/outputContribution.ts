import { batchModel } from '../evaluate/batching';
import { objectiveFor } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { chosenGroups } from './forward';
import { forEachProduct } from './gradientImportance';
import { openParticleGradients } from './particleGradients';

/** What a particle adds to each output of the model, as the gradient sees it (activation times gradient): which output most, and how much of all. */
export const outputContribution: BehaviourFamily = {
  needsLabels: true,
  onRequest: true,
  columns: [
    {
      name: 'contributedOutput', title: 'Output it adds to most', unit: '', scale: 'categorical', exact: true,
      meaning: 'Number of the output (class) to which the particle adds most, up or down: mean magnitude over samples of activation times gradient.',
    },
    {
      name: 'outputContributionShare', title: 'Share of that output', unit: '', scale: 'sequential', exact: true,
      meaning: 'Share of this output in all that the particle adds to outputs: 1 works on one output only, 1 divided by their number on all alike.',
    },
  ],
  compute,
};

/** By output, for one particle. */
export const contributionByOutput: Detail = {
  name: 'contributionByOutput', title: 'Added to each output', of: 'particle', needs: 'labels',
  meaning: 'What the particle adds to each output of the model: mean over samples of activation times gradient, with its sign.',
  async compute(context, { group, particle }) {
    const { width, rows } = await contributions(context, [group], (value) => value);
    const values = rows.get(group.firstRow + particle) ?? new Float64Array(width);
    return {
      kind: 'bars', labelTitle: 'Output', valueTitle: 'Added', values: Float32Array.from(values),
      labels: Array.from(values, (_, output) => context.data.classes?.[output] ?? String(output)),
    };
  },
};

/** Each output takes a backward pass. */
const mostOutputs = 64;

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { table } = context;
  const [which, share] = [table.emptyValues(), table.emptyValues()];
  for (const [row, own] of (await contributions(context, chosenGroups(context), Math.abs)).rows) {
    const best = own.reduce((most, value, at) => (value > own[most]! ? at : most), 0);
    const all = own.reduce((sum, value) => sum + value, 0);
    // A particle that adds nothing works on no output.
    share[row] = all > 0 ? own[best]! / all : 0;
    if (all > 0) which[row] = best;
  }
  return [which, share];
}

/** By row: mean over samples for each output. */
async function contributions(
  context: BehaviourContext, groups: readonly ParticleGroup[], of: (value: number) => number,
): Promise<{ readonly width: number; readonly rows: ReadonlyMap<number, Float64Array> }> {
  const { data, task, report } = context;
  const { output } = objectiveFor((await batchModel(context.graph)).graph, data);
  const gradients = await openParticleGradients(context, groups, { output, recurrence: true });
  const rows = new Map<number, Float64Array>();
  let width = 0;
  try {
    for (let from = 0; from < data.count; from += gradients.samples) {
      throwIfCancelled(task);
      const to = Math.min(data.count, from + gradients.samples);
      const run = await gradients.forward(from, to);
      width = run.width;
      if (width > mostOutputs) {
        report({ severity: 'info', place: output, message: `What particles add to each output is computed for up to ${mostOutputs} outputs; this model has ${width}.` });
        return { width: 0, rows: new Map() };
      }
      const seed = new Float32Array(run.outputs.length);
      for (let at = 0; at < width; at++) {
        task?.progress?.(from * width + at * (to - from), data.count * width, 'Contributions to outputs');
        seed.fill(0);
        for (let sample = 0; sample < to - from; sample++) seed[sample * width + at] = 1;
        forEachProduct(await gradients.backward(run, seed), (row, value) => {
          let own = rows.get(row);
          if (!own) rows.set(row, (own = new Float64Array(width)));
          own[at]! += of(value) / data.count;
        });
      }
    }
    return { width, rows };
  } finally {
    await gradients.dispose();
  }
}
