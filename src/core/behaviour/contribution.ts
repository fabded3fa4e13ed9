import { batchModel, bytesPerSample, openRunner, batchSize, type BatchModel } from '../evaluate/batching';
import { throwIfCancelled } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { consumersOf, type LinearConsumer } from './consumers';
import { hasContributions, openContributions } from './contributions';
import { chosenGroups } from './forward';
import { maskedCopies } from './maskedCopies';

/**
 * How much of what the following layers read comes from a particle: the mean magnitude of its terms w·g(x) in their
 * pre-activations f(x) = Σ w·g(x) + bias, as a share of the sum over the particles of its layer.
 */
export const contribution: BehaviourFamily = {
  columns: [{
    name: 'contribution', title: 'Contribution', unit: '', scale: 'sequential', additive: true, exact: true,
    meaning: 'Mean magnitude of the particle\'s terms in the pre-activations of the layers that read it, as a share of its layer; the shares of a layer add up to 1.',
  }],
  compute,
};

/** Bytes that terms may take at once: more does not run faster. */
const termBytes = 64 * 2 ** 20;

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { table, report } = context;
  const values = table.emptyValues();
  const model = await batchModel(context.graph);
  const groups = chosenGroups(context);
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  let done = 0;
  for (const group of groups) {
    context.task?.progress?.(done, total, `Contributions of ${group.layer}`);
    const { linear } = consumersOf(model.graph, group);
    if (linear.length) {
      const magnitudes = new Float64Array(group.count);
      for (const consumer of linear) await addMagnitudes(context, model, group, consumer, magnitudes);
      const sum = magnitudes.reduce((all, magnitude) => all + magnitude, 0);
      magnitudes.forEach((magnitude, particle) => (values[group.firstRow + particle] = sum > 0 ? magnitude / sum : 0));
      context.arrived?.('contribution', values);
    } else {
      report({ severity: 'info', place: group.layer, message: 'No linear layer reads its particles directly, so contributions do not apply.' });
    }
    done += group.count;
  }
  return [values];
}

async function addMagnitudes(
  context: BehaviourContext, model: BatchModel, group: ParticleGroup, consumer: LinearConsumer, magnitudes: Float64Array,
): Promise<void> {
  const { engine, data, memoryBytes, task } = context;
  const { rule } = consumer;
  const outputBytes = bytesPerSample(model.graph, [rule.output]);
  const samples = Math.min(data.count, batchSize(memoryBytes, bytesPerSample(model.graph)), Math.max(1, Math.floor(termBytes / outputBytes)));
  const particles = Math.min(group.count, Math.max(1, Math.floor(termBytes / (samples * outputBytes))));
  const prefix = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), [rule.input, rule.output]);
  const terms = hasContributions(consumer) && model.fixedBatch === undefined
    ? await openContributions(engine, model.graph, consumer, particles, 'terms')
    : await openMaskedTerms(context, model, consumer);
  try {
    for (let from = 0; from < data.count; from += samples) {
      const to = Math.min(data.count, from + samples);
      const known = await prefix.run(await data.inputs(from, to));
      for (let first = 0; first < group.count; first += particles) {
        throwIfCancelled(task);
        const list = Array.from({ length: Math.min(particles, group.count - first) }, (_, index) => first + index);
        const computed = await terms.run(known.get(rule.input)!, known.get(rule.output)!, list);
        const array = asFloat32(computed);
        const each = elementCount(computed.shape.slice(1));
        for (const [position, particle] of list.entries()) {
          let sum = 0;
          for (let at = position * each; at < (position + 1) * each; at++) sum += Math.abs(array[at]!);
          magnitudes[particle]! += sum;
        }
      }
    }
  } finally {
    await prefix.dispose();
    await terms.dispose();
  }
}

/** For operators without a term-by-term form: what the operator makes of one particle alone, minus what it makes of nothing. */
async function openMaskedTerms(
  { engine }: BehaviourContext, model: BatchModel, { rule, indices }: LinearConsumer,
): Promise<{ run(x: NdArray, y: NdArray, list: readonly number[]): Promise<NdArray>; dispose(): Promise<void> }> {
  const runner = await openRunner(engine, model, [rule.input], [rule.output]);
  return {
    async run(x, y, list) {
      const alone = await runner.run(new Map([[rule.input, maskedCopies(x, rule.axis, list.map((particle) => indices[particle]!), 'keep')]]));
      const nothing = await runner.run(new Map([[rule.input, { ...x, data: new Float32Array(x.data.length) }]]));
      const values = Float32Array.from(asFloat32(alone.get(rule.output)!));
      const bias = asFloat32(nothing.get(rule.output)!);
      for (let at = 0; at < values.length; at++) values[at]! -= bias[at % bias.length]!;
      return { dtype: 'float32', shape: [list.length, ...y.shape], data: values };
    },
    dispose: () => runner.dispose(),
  };
}
