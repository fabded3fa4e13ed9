import { batchModel, batchSize, bytesPerSample } from '../evaluate/batching';
import { objectiveFor, targetsOf } from '../evaluate/metrics';
import { int } from '../graph/attributes';
import { differentiate } from '../graph/differentiate';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import { GraphOnGraph } from '../graph/graphBuilder';
import { contextOf } from '../graph/inferShapes';
import { asFloat32, fromFloat32, isFloat } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import { attributedOutput, attributedTitle } from './attributedOutput';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { filledUp, gradientModel, type GradientModel } from './gradientModel';
import { addProducts } from './particleGradients';

/**
 * Integrated gradients (Sundararajan, Taly, Yan 2017, "Axiomatic attribution for deep networks") of a layer: the gradient's
 * mean along the straight line from nothing to what the layer says, times that. A layer's values add up to what
 * the output loses when the whole layer is silent.
 */
export const integratedGradients: BehaviourFamily = {
  needsLabels: true,
  onRequest: true,
  columns: [{
    name: 'integratedGradients', title: 'Integrated gradients', unit: '', scale: 'diverging', exact: true,
    meaning: `What the particle adds to ${attributedTitle}, by the gradient's mean between a silent layer and the layer as it is; mean over samples.`,
  }],
  compute: async (context) => [await layerIntegratedGradients(context)],
};

export interface IntegrationOptions {
  /** Points along the line, each in the middle of its part. */
  readonly steps?: number;
  /** Where the line starts: where the layer is silent, or with what it says of an input of zeros. */
  readonly from?: 'silence' | 'zeroInput';
}

/** By row. Layer by layer: only what follows the layer runs at each point. */
export async function layerIntegratedGradients(context: BehaviourContext, options: IntegrationOptions = {}): Promise<Float32Array> {
  const { data, table, task, report } = context;
  const found = table.emptyValues();
  const objective = objectiveFor((await batchModel(context.graph)).graph, data);
  const groups = chosenGroups(context);
  const model = await gradientModel(context, groups, objective.output, { recurrence: false });
  for (const [done, group] of groups.entries()) {
    throwIfCancelled(task);
    task?.progress?.(done, groups.length, `Integrated gradients of ${group.layer}`);
    try {
      const sums = await integrate(context, model, group, objective.output, options);
      sums.forEach((sum, particle) => (found[group.firstRow + particle] = sum / data.count));
    } catch (error) {
      if (!(error instanceof ParticlizeError)) throw error;
      report({ severity: 'info', place: group.layer, message: `Integrated gradients: ${error.message}` });
    }
  }
  task?.progress?.(groups.length, groups.length, 'Integrated gradients');
  return found;
}

async function integrate(
  context: BehaviourContext, model: GradientModel, group: ParticleGroup, output: string, { steps = 8, from: start = 'silence' }: IntegrationOptions,
): Promise<Float64Array> {
  const { engine, data, memoryBytes, task } = context;
  const place = model.places.get(group)!;
  const acts = place.kind === 'acts' ? place.acts : [];
  const names = acts.map(({ value }) => value);
  const built = await differentiate(model.graph, { of: output, withRespectTo: names, seed: 'particlize/seed' });
  const builder = new GraphOnGraph(built.graph);
  const facts = contextOf(built.graph);
  const parts = acts.map(({ value, axis, sampleAxis }) => {
    const whole = builder.input('particlize/whole', facts.facts(value));
    const times = builder.node('Mul', [whole, built.gradients.get(value)!]);
    const others = facts.facts(value).shape!.map((_, at) => at).filter((at) => at !== axis && at !== sampleAxis);
    return { whole, sampleFirst: sampleAxis < axis, product: others.length ? builder.node('ReduceSum', [times, builder.int64(others)], { keepdims: int(0) }) : times };
  });
  const graph = await builder.finish(parts.map(({ product }) => product));
  const inputs = model.graph.inputs.map(({ name }) => name);
  const ahead = await engine.compile(model.graph, inputs, [...new Set([...names, output])]);
  const behind = await engine.compile(graph, [...inputs, ...names, ...parts.map(({ whole }) => whole), built.seed!], parts.map(({ product }) => product));
  const sums = new Float64Array(group.count);
  try {
    const samples = model.fixedBatch ?? batchSize(memoryBytes, bytesPerSample(graph), 128);
    for (let from = 0; from < data.count; from += samples) {
      const to = Math.min(data.count, from + samples);
      const full = model.fixedBatch ?? to - from;
      const fed = new Map([...await data.inputs(from, to)].map(([name, array]) => [name, filledUp(array, full)]));
      const known = await ahead.run(fed);
      const base = start === 'zeroInput' ? await ahead.run(zeros(fed)) : undefined;
      const like = known.get(output)!;
      const width = like.data.length / full;
      const seed = new Float32Array(like.data.length);
      seed.set(attributedOutput(await targetsOf(data, from, to), to - from, width));
      for (let step = 0; step < steps; step++) {
        throwIfCancelled(task);
        const feeds = new Map<string, NdArray>([...fed, [built.seed!, { dtype: 'float32', shape: like.shape, data: seed }]]);
        acts.forEach(({ value }, at) => {
          const [end, first] = [asFloat32(known.get(value)!), base && asFloat32(base.get(value)!)];
          const whole = end.map((number, index) => number - (first?.[index] ?? 0));
          const { shape } = known.get(value)!;
          feeds.set(parts[at]!.whole, { dtype: 'float32', shape, data: whole });
          feeds.set(value, { dtype: 'float32', shape, data: whole.map((number, index) => (first?.[index] ?? 0) + (number * (step + 0.5)) / steps) });
        });
        const results = await behind.run(feeds);
        const bySample = new Float32Array(full * group.count);
        for (const { product, sampleFirst } of parts) addProducts(bySample, results.get(product)!, { samples: full, particles: group.count, sampleFirst });
        for (let at = 0; at < (to - from) * group.count; at++) sums[at % group.count]! += bySample[at]! / steps;
      }
    }
    return sums;
  } finally {
    await ahead.dispose();
    await behind.dispose();
  }
}

function zeros(inputs: ReadonlyMap<string, NdArray>): Map<string, NdArray> {
  return new Map([...inputs].map(([name, array]) =>
    [name, isFloat(array.dtype) ? fromFloat32(new Float32Array(array.data.length), array.shape, array.dtype) : array]));
}
