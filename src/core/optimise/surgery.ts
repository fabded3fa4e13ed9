import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph, type Shape } from '../graph/modelGraph';
import type { AxisRef, ResizeContext, ValueFacts } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { tensorOf, type NdArray, type NumericArray, type Tensor } from '../graph/tensor';
import type { ParticleTable } from '../particles/particleTable';
import type { AxisSets } from '../graph/coupling';
import type { Plan, Refusal } from './plan';
import { removalOf } from './removal';

export interface Operated {
  readonly graph: ModelGraph;
  readonly refusals: readonly Refusal[];
}

/**
 * Carries out a plan: a new graph whose weights really are smaller. Rejects with a ParticlizeError when the plan names a
 * particle that the model does not have; what may not be removed is refused with its reason and left as it was.
 */
export async function applyPlan(graph: ModelGraph, table: ParticleTable, plan: Plan): Promise<Operated> {
  const rows = new Set<number>();
  for (const id of plan.steps.flatMap((step) => step.particles)) {
    const row = table.row(id);
    if (row === undefined) throw new ParticlizeError({ file: plan.model.file, place: id, cause: 'the model has no such particle' });
    rows.add(row);
  }
  const whole = removalOf(graph, table, rows);
  if (whole.refusals.length === 0) return { graph: await removeAxes(graph, whole.removed), refusals: [] };

  // Keep what can be done: layer by layer, leaving out the refused ones.
  const refusals: Refusal[] = [];
  const allowed = new Set(rows);
  for (const group of table.groups) {
    const own = [...rows].filter((row) => table.groupOf(row) === group);
    if (own.length === 0) continue;
    const refusal = removalOf(graph, table, new Set(own)).refusals[0];
    if (!refusal) continue;
    refusals.push(refusal);
    for (const row of own) allowed.delete(row);
  }
  if (refusals.length === 0) return { graph, refusals: whole.refusals };
  if (allowed.size === 0) return { graph, refusals };
  const rest = removalOf(graph, table, allowed);
  if (rest.refusals.length > 0) return { graph, refusals: [...refusals, ...rest.refusals] };
  return { graph: await removeAxes(graph, rest.removed), refusals };
}

/** Takes the given indices out of every tensor axis and brings the operators' attributes into line. */
export async function removeAxes(graph: ModelGraph, removed: AxisSets): Promise<ModelGraph> {
  const tensors = new Map<string, Tensor>(graph.tensors);
  const kept = keptIndices(graph, removed);
  for (const [name, axes] of kept) {
    const tensor = tensors.get(name);
    if (tensor) tensors.set(name, sliceTensor(tensor, axes));
  }
  const context = contextOf(graph);
  const fresh = (hint: string, values: readonly number[]): string => {
    let name = hint;
    for (let number = 1; tensors.has(name) || graph.values.has(name); number++) name = `${hint}_${number}`;
    tensors.set(name, tensorOf(name, { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) }));
    return name;
  };
  const resize: ResizeContext = {
    ...context,
    facts: (value) => context.facts(value),
    after: (value) => shrunk(context.facts(value), kept.get(value)),
    kept: ({ value, axis }: AxisRef) => kept.get(value)?.get(axis),
    int64: fresh,
  };
  const nodes = graph.nodes.map((node) => (touches(node, kept) ? (familyOf(node)?.resize?.(node, resize) ?? node) : node));
  const used = new Set(nodes.flatMap((node) => node.inputs));
  for (const name of tensors.keys()) if (!used.has(name) && isUsed(graph, name)) tensors.delete(name);
  return finishGraph({
    format: graph.format,
    producer: graph.producer,
    opset: graph.opset,
    domains: graph.domains,
    inputs: graph.inputs,
    outputs: graph.outputs,
    nodes,
    tensors,
    layers: graph.layers.map(({ outputShape: _stale, ...layer }) => layer),
    // What no rule can infer (results of opaque operators) is as it was: nothing is removed across those.
    declared: new Map([...graph.values].filter(([name]) => !kept.has(name))),
    findings: graph.outputs.filter(({ name }) => kept.has(name) && indexOf(graph).consumers.has(name)).map(({ name }) => ({
      severity: 'warning', place: name, message: `the model's output ${name} gets smaller, because a layer that it shows does`,
    })),
    origin: graph.origin,
  });
}

/** A tensor without some indices; the original is read only when somebody reads the result. */
export function sliceTensor(tensor: Tensor, axes: ReadonlyMap<number, readonly number[]>): Tensor {
  const shape = tensor.shape.map((size, axis) => axes.get(axis)?.length ?? size);
  return {
    name: tensor.name,
    dtype: tensor.dtype,
    shape,
    read: async () => {
      let array = await tensor.read();
      for (const [axis, indices] of axes) array = take(array, axis, indices);
      return array;
    },
  };
}

/** The given indices of one axis, in that order. */
export function take(array: NdArray, axis: number, indices: readonly number[]): NdArray {
  // A complex element is two numbers.
  const numbers = array.dtype.startsWith('complex') ? 2 : 1;
  const inner = array.shape.slice(axis + 1).reduce((product, size) => product * size, numbers);
  const outer = array.shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const size = array.shape[axis]!;
  const make = array.data.constructor as new (length: number) => NumericArray;
  const data = new make(outer * indices.length * inner);
  for (let block = 0; block < outer; block++) {
    for (let position = 0; position < indices.length; position++) {
      const start = (block * size + indices[position]!) * inner;
      data.set(array.data.subarray(start, start + inner) as never, (block * indices.length + position) * inner);
    }
  }
  return { dtype: array.dtype, shape: array.shape.map((length, k) => (k === axis ? indices.length : length)), data };
}

/** The indices that stay, by value and axis; only axes that shrink are in it. */
type KeptAxes = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

function keptIndices(graph: ModelGraph, removed: AxisSets): KeptAxes {
  const context = contextOf(graph);
  const byValue = new Map<string, Map<number, readonly number[]>>();
  for (const { ref, indices } of removed) {
    const size = context.facts(ref.value).shape?.[ref.axis];
    if (typeof size !== 'number' || indices.size === 0) continue;
    const axes = byValue.get(ref.value) ?? new Map<number, readonly number[]>();
    axes.set(ref.axis, Array.from({ length: size }, (_, index) => index).filter((index) => !indices.has(index)));
    byValue.set(ref.value, axes);
  }
  return byValue;
}

function shrunk(facts: ValueFacts, axes: ReadonlyMap<number, readonly number[]> | undefined): ValueFacts {
  if (!axes || !facts.shape) return facts;
  const shape: Shape = facts.shape.map((size, axis) => axes.get(axis)?.length ?? size);
  return { ...facts, shape };
}

function touches(node: GraphNode, values: ReadonlyMap<string, unknown>): boolean {
  return node.inputs.some((name) => values.has(name)) || node.outputs.some((name) => values.has(name));
}

function isUsed(graph: ModelGraph, tensor: string): boolean {
  return graph.nodes.some((node) => node.inputs.includes(tensor));
}
