import { batchSize, bytesPerSample } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { inOrder, unique } from '../graph/finishGraph';
import { throwIfCancelled } from '../graph/errors';
import { contextOf } from '../graph/inferShapes';
import type { GraphNode, ModelGraph, ValueInfo } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { filledUp, gradientModel, type GradientModel } from './gradientModel';

/** The whole model with one particle silenced for each sample, another one for every sample if need be. */
export interface Silencing {
  readonly groups: readonly ParticleGroup[];
  /** Samples that go through at once. */
  readonly samples: number;
  /** Outputs [samples, width] of samples [from, to); `rows`: the particle that is silent, by sample; -1 for none. */
  run(from: number, to: number, rows: Int32Array): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Compiles the model once, with factors by sample and particle wherever particles act. Its results are exact. */
export async function openSilencing(context: BehaviourContext, wanted: readonly ParticleGroup[], output: string): Promise<Silencing> {
  const model = await gradientModel(context, wanted, output, { recurrence: true });
  const { graph, masks, renamed, groups } = masked(model, wanted);
  const judged = renamed.get(output) ?? output;
  const inputs = graph.inputs.map(({ name }) => name);
  const program = await context.engine.compile(graph, inputs, [judged]);
  const samples = model.fixedBatch ?? Math.min(context.data.count, batchSize(context.memoryBytes, bytesPerSample(graph)));
  return {
    groups, samples,
    async run(from, to, rows) {
      throwIfCancelled(context.task);
      const count = to - from;
      const full = model.fixedBatch ?? count;
      const feeds = new Map([...await context.data.inputs(from, to)].map(([name, array]) => [name, filledUp(array, full)]));
      for (const mask of masks) feeds.set(mask.name, factorsFor(mask, rows, full));
      const array = (await program.run(feeds)).get(judged)!;
      return Float32Array.from(asFloat32(array).subarray(0, count * outputWidth(array, full)));
    },
    dispose: () => program.dispose(),
  };
}

interface Mask {
  readonly name: string;
  readonly group: ParticleGroup;
  /** Its shape with one sample; several indices of the sample's axis can be one sample's (steps), then `steps` of them. */
  readonly shape: readonly number[];
  readonly sampleAxis: number;
  readonly steps: number;
  readonly axis: number;
}

function masked(model: GradientModel, wanted: readonly ParticleGroup[]): {
  graph: ModelGraph; masks: readonly Mask[]; renamed: ReadonlyMap<string, string>; groups: readonly ParticleGroup[];
} {
  const { graph } = model;
  const context = contextOf(graph);
  const masks: Mask[] = [];
  const added = new Map<string, Mask[]>();
  const groups: ParticleGroup[] = [];
  const taken = new Set(graph.values.keys());
  for (const group of wanted) {
    const place = model.places.get(group)!;
    if (place.kind === 'factors') {
      masks.push({ name: place.value, group, shape: [1, group.count], sampleAxis: 0, steps: 1, axis: 1 });
      groups.push(group);
      continue;
    }
    const sizes = place.acts.map(({ value, axis }) => context.facts(value).shape?.[axis]);
    if (!sizes.every((size) => typeof size === 'number' && size % group.count === 0)) continue;
    groups.push(group);
    for (const act of place.acts) {
      const shape = context.facts(act.value).shape!.map((size, at) => (at === act.axis ? size! : 1));
      const mask: Mask = { name: unique('particlize/factors', taken), group, shape, sampleAxis: act.sampleAxis, axis: act.axis, steps: act.steps };
      masks.push(mask);
      added.set(act.value, [...added.get(act.value) ?? [], mask]);
    }
  }
  const renamed = new Map<string, string>();
  const values = new Map<string, ValueInfo>(graph.values);
  const nodes: GraphNode[] = [];
  for (const [value, list] of added) {
    let before = value;
    for (const mask of list) {
      const after = unique(`${value}/factored`, taken);
      nodes.push({ name: after, op: 'Mul', domain: '', inputs: [before, mask.name], outputs: [after], attributes: {}, layer: '' });
      values.set(after, { ...graph.values.get(value), name: after });
      values.set(mask.name, { name: mask.name, dtype: 'float32', shape: mask.shape.map((size, at) => (at === mask.sampleAxis ? null : size)) });
      before = after;
    }
    renamed.set(value, before);
  }
  const own = graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) }));
  const inputs = [...graph.inputs, ...masks.filter(({ name }) => values.get(name) && !graph.inputs.some((input) => input.name === name)).map(({ name }) => values.get(name)!)];
  const outputs = graph.outputs.map((info) => ({ ...info, name: renamed.get(info.name) ?? info.name }));
  return { graph: { ...graph, inputs, outputs, values, nodes: inOrder({ ...graph, inputs, nodes: [...own, ...nodes] }) }, masks, renamed, groups };
}

function factorsFor({ group, shape, sampleAxis, axis, steps }: Mask, rows: Int32Array, full: number): NdArray {
  const size = shape[axis]!;
  const block = size / group.count;
  const length = full * steps;
  const values = new Float32Array(length * size).fill(1);
  rows.forEach((row, sample) => {
    const particle = row - group.firstRow;
    if (row < 0 || particle < 0 || particle >= group.count) return;
    for (let index = particle * block; index < (particle + 1) * block; index++) {
      for (let step = sample * steps; step < (sample + 1) * steps; step++) values[sampleAxis < axis ? step * size + index : index * length + step] = 0;
    }
  });
  return { dtype: 'float32', shape: shape.map((one, at) => (at === sampleAxis ? length : one)), data: values };
}
