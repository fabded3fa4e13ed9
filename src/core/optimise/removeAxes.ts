import type { AxisSets } from '../graph/coupling';
import { finishGraph, unique } from '../graph/finishGraph';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type Dim, type GraphNode, type ModelGraph, type Shape } from '../graph/modelGraph';
import type { AxisRef, ResizeContext, ValueFacts } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { standInsOf } from '../graph/standIns';
import { tensorOf, type NdArray, type NumericArray, type Tensor } from '../graph/tensor';

/** Takes the given indices out of every tensor axis and brings the operators' attributes into line. */
export function removeAxes(graph: ModelGraph, removed: AxisSets): Promise<ModelGraph> {
  return takeAxes(graph, takenIndices(graph, removed, (size, gone) => Array.from({ length: size }, (_, index) => index).filter((index) => !gone.has(index))));
}

/** Has every given index twice, each run of neighbours behind itself: how a layer is widened. */
export function doubleAxes(graph: ModelGraph, doubled: AxisSets): Promise<ModelGraph> {
  return takeAxes(graph, takenIndices(graph, doubled, (size, twice) => {
    const result: number[] = [];
    for (let index = 0; index < size;) {
      let end = index + 1;
      if (twice.has(index)) {
        while (twice.has(end)) end++;
        for (let again = index; again < end; again++) result.push(again);
      }
      for (; index < end; index++) result.push(index);
    }
    return result;
  }));
}

/** Every tensor axis becomes the given list of its own indices. */
async function takeAxes(graph: ModelGraph, kept: KeptAxes): Promise<ModelGraph> {
  const tensors = new Map<string, Tensor>(graph.tensors);
  for (const [name, axes] of kept) {
    const tensor = tensors.get(name);
    if (tensor) tensors.set(name, sliceTensor(tensor, axes));
  }
  const context = contextOf(graph);
  const fresh = (hint: string, values: readonly number[]): string => {
    let name = hint;
    for (let number = 1; tensors.has(name) || graph.values.has(name); number++) name = `${hint}_${number}`;
    tensors.set(name, tensorOf(name, { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) }));
    now.addTensor(name, values);
    return name;
  };
  const standIns = standInsOf(graph);
  const now = standIns.again(tensors, contentsAfter(graph, kept));
  const taken = new Set([...graph.nodes.map(({ name }) => name), ...graph.values.keys()]);
  const nodes: GraphNode[] = [];
  const add = (node: GraphNode): void => {
    nodes.push(node);
    now.add(node);
  };
  const added = new Map<string, string[]>();
  const resizeFor = ({ layer }: GraphNode): ResizeContext => ({
    ...context,
    facts: (value) => context.facts(value),
    after: (value) => shrunk(context.facts(value), kept.get(value)),
    sizes: (value) => shrunk(standIns.facts(value), kept.get(value)).shape,
    contents: (value) => now.facts(value).constant,
    kept: ({ value, axis }: AxisRef) => (context.facts(value).shape?.[axis] == null ? undefined : kept.get(value)?.get(axis)),
    int64: fresh,
    node(op, inputs) {
      const name = unique(`${layer}/${op}`, taken);
      added.set(layer, [...(added.get(layer) ?? []), name]);
      add({ name, op, domain: '', inputs, outputs: [name], attributes: {}, layer });
      return name;
    },
  });
  for (const node of graph.nodes) {
    // Where a target is computed from sizes, it may have changed without any of the operator's values doing so.
    const changed = touches(node, kept) || node.inputs.some((input) => !sameContents(now.facts(input).constant, standIns.contents(input)));
    add(changed ? familyOf(node)?.resize?.(node, resizeFor(node)) ?? node : node);
  }
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
    layers: graph.layers.map(({ outputShape: _stale, ...layer }) => ({ ...layer, nodes: [...(added.get(layer.name) ?? []), ...layer.nodes] })),
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

/** The indices that an axis has afterwards, by value and axis; only axes that change are in it. */
type KeptAxes = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

function takenIndices(graph: ModelGraph, changed: AxisSets, indicesOf: (size: number, changed: ReadonlySet<number>) => readonly number[]): KeptAxes {
  const context = standInsOf(graph);
  const byValue = new Map<string, Map<number, readonly number[]>>();
  for (const { ref, indices } of changed) {
    const size = context.facts(ref.value).shape?.[ref.axis];
    if (typeof size !== 'number' || indices.size === 0) continue;
    const axes = byValue.get(ref.value) ?? new Map<number, readonly number[]>();
    axes.set(ref.axis, indicesOf(size, indices));
    byValue.set(ref.value, axes);
  }
  return byValue;
}

function shrunk(facts: ValueFacts, axes: ReadonlyMap<number, readonly number[]> | undefined): ValueFacts {
  if (!axes || !facts.shape) return facts;
  const shape: Shape = facts.shape.map((size, axis) => (size === null ? null : axes.get(axis)?.length ?? size));
  return { ...facts, shape };
}

/** Contents of the constants that stay as they are, and of vectors that lose some. */
function contentsAfter(graph: ModelGraph, kept: KeptAxes): ReadonlyMap<string, readonly Dim[]> {
  return new Map([...graph.constants].filter(([name]) => graph.tensors.has(name)).flatMap(([name, contents]) => {
    const axes = kept.get(name);
    if (!axes) return [[name, contents] as const];
    const indices = graph.tensors.get(name)!.shape.length === 1 ? axes.get(0) : undefined;
    return indices ? [[name, indices.map((index) => contents[index] ?? null)] as const] : [];
  }));
}

function sameContents(one: readonly Dim[] | undefined, two: readonly Dim[] | undefined): boolean {
  return one === two || (one !== undefined && two !== undefined && one.length === two.length && one.every((entry, index) => entry === two[index]));
}

function touches(node: GraphNode, values: ReadonlyMap<string, unknown>): boolean {
  return node.inputs.some((name) => values.has(name)) || node.outputs.some((name) => values.has(name));
}

function isUsed(graph: ModelGraph, tensor: string): boolean {
  return graph.nodes.some((node) => node.inputs.includes(tensor));
}
