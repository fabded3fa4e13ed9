import { batchModel, joinRows, rowsOf } from '../evaluate/batching';
import { ParticlizeError } from '../graph/errors';
import { finishGraph, inOrder, unique } from '../graph/finishGraph';
import { GraphOnGraph } from '../graph/graphBuilder';
import { contextOf, inferShapes, type ShapeInference } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph, type ValueInfo } from '../graph/modelGraph';
import { unrollRecurrent } from '../graph/ops/gradients/recurrent';
import type { AxisRef } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import type { NdArray } from '../graph/tensor';
import { plainAct, type ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { sampleAxisOf } from './sampleAxis';
import { ancestorsOf } from './suffix';

/** Where a group's particles are differentiated. */
export type GradientPlace =
  /** The values on which they act. */
  | { readonly kind: 'acts'; readonly acts: readonly GradientAct[] }
  /** Factors [samples, particles], one while the model runs as it is, with which what a recurrent unit shows is multiplied. */
  | { readonly kind: 'factors'; readonly value: string };

export interface GradientAct extends AxisRef {
  readonly sampleAxis: number;
  /** Indices of the sample's axis that belong to one sample: its steps, where both were made one axis. */
  readonly steps: number;
}

export interface GradientModel {
  readonly graph: ModelGraph;
  readonly fixedBatch?: number;
  readonly places: ReadonlyMap<ParticleGroup, GradientPlace>;
  /** Further inputs: factors [samples, width], all of them one. */
  readonly factors: readonly { readonly name: string; readonly width: number }[];
}

/**
 * The model in the form in which the effect of silencing a particle is its gradient: sequences as long as the data has them; recurrent
 * layers written out, with a factor for each unit (its state also feeds the gates of the next step); and where a group
 * acts in two places of which one follows from the other, the first one only as its other readers see it, so that no way is counted twice.
 */
export async function gradientModel(
  context: BehaviourContext, groups: readonly ParticleGroup[], output: string, how: { readonly recurrence: boolean },
): Promise<GradientModel> {
  if ((context.data.rowsPerSample ?? 1) > 1) {
    throw new ParticlizeError({
      file: context.data.title, place: 'task', cause: 'gradients and estimates need one row a sample, and a ranking has several',
      action: 'Use a recipe of another task, or exact ablation',
    });
  }
  const model = await batchModel(context.graph);
  const sized = await withDataSizes(model.graph, context);
  const acts = new Map(groups.map((group) => [group, judgedActs(sized, group, output)]));
  const split = await apart(sized, acts);
  const { graph, factors } = how.recurrence ? await writtenOut(split.graph, groups) : { graph: split.graph, factors: new Map<string, never>() };
  const places = new Map<ParticleGroup, GradientPlace>();
  const single = withOneSample(split.graph);
  for (const [group, refs] of split.acts) {
    const factor = factors.get(group.producer.value);
    if (factor) places.set(group, { kind: 'factors', value: factor.name });
    else {
      places.set(group, {
        kind: 'acts',
        acts: refs.map((act) => {
          const sampleAxis = sampleAxisOf(split.graph, act.value);
          return { ...act, sampleAxis, steps: single.facts(act.value).shape?.[sampleAxis] ?? 1 };
        }),
      });
    }
  }
  return { graph, fixedBatch: model.fixedBatch, places, factors: [...factors.values()] };
}

/** Where silencing acts: in front of the value that is judged, or on the layer's own result where all places lie behind that. */
export function judgedActs(graph: ModelGraph, group: ParticleGroup, output: string): readonly AxisRef[] {
  const ancestors = ancestorsOf(graph, output);
  const before = group.acts.filter(({ value }) => ancestors.has(value));
  // Gradients are summed by particle where particles have an axis of their own.
  const places = before.map(plainAct).filter((place, index, all) => all.findIndex(({ value, axis }) => value === place.value && axis === place.axis) === index);
  return places.length ? places : [group.producer];
}

/** Sizes beyond the batch that the model leaves open, as the data has them: gradients through time need the number of steps. */
async function withDataSizes(graph: ModelGraph, { data }: BehaviourContext): Promise<ModelGraph> {
  if (graph.inputs.every(({ shape }) => shape?.slice(1).every((size) => size !== null))) return graph;
  const first = await data.inputs(0, Math.min(1, data.count));
  const inputs = graph.inputs.map((input): ValueInfo => {
    const shape = first.get(input.name)?.shape;
    return shape ? { ...input, shape: [input.shape?.[0] ?? null, ...shape.slice(1)] } : input;
  });
  return finishGraph({ ...graph, inputs });
}

/** What shapes are when one sample is fed. */
function withOneSample({ opset, tensors, constants, inputs, nodes }: ModelGraph): ShapeInference {
  const known = new Map([...constants].filter(([name]) => tensors.has(name)));
  return inferShapes({ opset, tensors, constants: known, inputs: inputs.map((input) => ({ ...input, shape: input.shape && [1, ...input.shape.slice(1)] })) }, nodes);
}

/** An act whose other readers do not lead to a later act of the same group is read through a value of its own by them. */
async function apart(
  graph: ModelGraph, acts: ReadonlyMap<ParticleGroup, readonly AxisRef[]>,
): Promise<{ graph: ModelGraph; acts: ReadonlyMap<ParticleGroup, readonly AxisRef[]> }> {
  const copies = new Map<string, { readonly value: string; readonly kept: ReadonlySet<GraphNode> }>();
  const taken = new Set(graph.values.keys());
  const result = new Map<ParticleGroup, readonly AxisRef[]>();
  for (const [group, refs] of acts) {
    const values = new Set(refs.map(({ value }) => value));
    result.set(group, refs.map((ref) => {
      const kept = values.size > 1 ? waysTo(graph, ref.value, values) : new Set<GraphNode>();
      if (!kept.size) return ref;
      const copy = copies.get(ref.value) ?? { value: unique(`${ref.value}/seen`, taken), kept };
      copies.set(ref.value, copy);
      return { ...ref, value: copy.value };
    }));
  }
  if (!copies.size) return { graph, acts: result };
  const nodes = graph.nodes.map((node): GraphNode => ({
    ...node, inputs: node.inputs.map((name) => (copies.get(name)?.kept.has(node) === false ? copies.get(name)!.value : name)),
  }));
  const values = new Map(graph.values);
  for (const [value, copy] of copies) {
    nodes.push({ name: copy.value, op: 'Identity', domain: '', inputs: [value], outputs: [copy.value], attributes: {}, layer: '' });
    values.set(copy.value, { ...graph.values.get(value), name: copy.value });
  }
  return { graph: { ...graph, values, nodes: inOrder({ ...graph, nodes }) }, acts: result };
}

/** The readers of a value through which, channel by channel, another of the values is reached. */
function waysTo(graph: ModelGraph, value: string, others: ReadonlySet<string>): ReadonlySet<GraphNode> {
  const { consumers } = indexOf(graph);
  const context = contextOf(graph);
  const leads = (node: GraphNode): boolean => {
    const family = familyOf(node);
    if (family?.linear?.(node, context) || family?.particles?.(node, context)) return false;
    return node.outputs.some((made) => others.has(made) || (consumers.get(made) ?? []).some(leads));
  };
  return new Set((consumers.get(value) ?? []).filter(leads));
}

/** Recurrent layers as plain operators, step by step. One that cannot be written out stays as it is. */
async function writtenOut(
  graph: ModelGraph, groups: readonly ParticleGroup[],
): Promise<{ graph: ModelGraph; factors: ReadonlyMap<string, { readonly name: string; readonly width: number }> }> {
  const { producer } = indexOf(graph);
  const builder = new GraphOnGraph(graph);
  const factors = new Map<string, { readonly name: string; readonly width: number }>();
  const names = new Map<string, string>();
  const replaced = new Set<GraphNode>();
  for (const group of groups.filter(({ kind }) => kind === 'unit')) {
    const node = producer.get(group.producer.value);
    if (!node || replaced.has(node)) continue;
    const name = builder.input('particlize/shown', { dtype: 'float32', shape: [null, group.count] });
    try {
      unrollRecurrent(node, builder, name).forEach((made, index) => {
        if (made && node.outputs[index]) names.set(made, node.outputs[index]);
      });
    } catch (error) {
      if (error instanceof RangeError) continue;
      throw error;
    }
    replaced.add(node);
    factors.set(group.producer.value, { name, width: group.count });
  }
  if (!replaced.size) return { graph, factors };
  const built = await builder.finish(graph.outputs.map(({ name }) => name));
  const renamed = (name: string): string => names.get(name) ?? name;
  const nodes = built.nodes.filter((node) => !isAmong(node, replaced)).map((node) => ({ ...node, inputs: node.inputs.map(renamed), outputs: node.outputs.map(renamed) }));
  const used = new Set([...factors.values()].map(({ name }) => name));
  const inputs = built.inputs.filter(({ name }) => used.has(name) || graph.inputs.some((input) => input.name === name));
  return { graph: { ...built, inputs, nodes: inOrder({ ...built, inputs, nodes }) }, factors };
}

function isAmong(node: GraphNode, nodes: ReadonlySet<GraphNode>): boolean {
  return [...nodes].some(({ name }) => name === node.name);
}

/** Rows as many as a model with a fixed batch wants, the last one repeated. */
export function filledUp(array: NdArray, batch: number): NdArray {
  const count = array.shape[0]!;
  if (count === batch) return array;
  const last = rowsOf(array, count - 1, count);
  return joinRows([array, ...new Array<NdArray>(batch - count).fill(last)]);
}
