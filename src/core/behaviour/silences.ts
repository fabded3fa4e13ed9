import { couplingOf, keyOf, type AxisSets } from '../graph/coupling';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph, type ValueInfo } from '../graph/modelGraph';
import { fromFloat32 } from '../graph/numeric';
import type { AxisRef } from '../graph/ops/operator';
import type { DType, NdArray } from '../graph/tensor';

/** Indices of one axis to be set to zero. */
export interface Silence {
  readonly at: AxisRef;
  readonly indices: ReadonlySet<number>;
}

/**
 * Where a removal has to be silenced so that the model computes exactly what it would without the removed indices: at every
 * value that an operator sums over, there and not earlier, so that bias, normalisation and activation that leave a constant
 * behind go too, and what several layers add up goes as a whole. A recurrent layer also sums over its own units, by the
 * columns of its second matrix. Zeros elsewhere on the way would do no harm.
 */
export function silencesOf(graph: ModelGraph, removed: AxisSets, judged?: string): Silence[] {
  const { ties } = couplingOf(graph);
  const { consumers } = indexOf(graph);
  const context = contextOf(graph);
  const outputs = new Set(judged === undefined ? graph.outputs.map(({ name }) => name) : [judged]);
  const result: Silence[] = [];
  for (const { ref, indices } of removed) {
    if (indices.size === 0) continue;
    const readers = consumers.get(ref.value) ?? [];
    if (context.isConstant(ref.value)) {
      if (ref.axis === 2 && readers.some((node) => recurrent.has(node.op) && node.inputs[2] === ref.value)) result.push({ at: ref, indices });
      continue;
    }
    if (!graph.values.has(ref.value)) continue;
    const own = ties.get(keyOf(ref)) ?? [];
    const passes = (node: GraphNode): boolean => sizeOnly.has(node.op) || own.some((tie) => {
      const other = tie.aKey === keyOf(ref) ? tie.b : tie.a;
      return tie.node === node && node.outputs.includes(other.value) && (removed.get(other)?.size ?? 0) > 0;
    });
    if (outputs.has(ref.value) || readers.some((node) => !passes(node))) result.push({ at: ref, indices });
  }
  return result;
}

const recurrent = new Set(['LSTM', 'GRU', 'RNN']);
/** Reading a size is not reading a value. */
const sizeOnly = new Set(['Shape', 'Size']);

/** A factor for each index of an axis, fed beside the model's inputs. */
export interface Mask {
  readonly name: string;
  readonly at: AxisRef;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export interface MaskableGraph {
  readonly graph: ModelGraph;
  readonly masks: readonly Mask[];
  /** Masked name of each value that has a mask. */
  readonly renamed: ReadonlyMap<string, string>;
}

/** The graph with a factor at each of these places; places whose size is not known are left out. */
export function withMasks(graph: ModelGraph, places: readonly AxisRef[]): MaskableGraph {
  const context = contextOf(graph);
  const masks: Mask[] = [];
  const byValue = new Map<string, Mask[]>();
  for (const at of places) {
    const { shape, dtype = 'float32' } = context.facts(at.value);
    const size = shape?.[at.axis];
    if (!shape || typeof size !== 'number') continue;
    const mask: Mask = { name: `particlize/mask/${masks.length}`, at, dtype, shape: shape.map((_, axis) => (axis === at.axis ? size : 1)) };
    masks.push(mask);
    byValue.set(at.value, [...byValue.get(at.value) ?? [], mask]);
  }
  const renamed = new Map<string, string>();
  const values = new Map<string, ValueInfo>(graph.values);
  const nodes: GraphNode[] = [];
  const apply = (value: string, layer: string): void => {
    for (const mask of byValue.get(value) ?? []) {
      const after = `${mask.name}/result`;
      nodes.push({ name: after, op: 'Mul', domain: '', inputs: [renamed.get(value) ?? value, mask.name], outputs: [after], attributes: {}, layer });
      const { shape, dtype } = context.facts(value);
      values.set(after, { name: after, shape, dtype });
      renamed.set(value, after);
    }
  };
  for (const { name } of graph.inputs) apply(name, '');
  for (const node of graph.nodes) {
    for (const input of node.inputs) if (graph.tensors.has(input) && !renamed.has(input)) apply(input, node.layer);
    nodes.push({ ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) });
    for (const made of node.outputs) apply(made, node.layer);
  }
  for (const { name, dtype, shape } of masks) values.set(name, { name, dtype, shape });
  const inputs = [...graph.inputs, ...masks.map(({ name }) => values.get(name)!)];
  const outputs = graph.outputs.map((info) => ({ ...info, name: renamed.get(info.name) ?? info.name }));
  return { graph: { ...graph, nodes, values, inputs, outputs }, masks, renamed };
}

/** What to feed as a mask so that these silences hold. */
export function maskArray(mask: Mask, silences: readonly Silence[]): NdArray {
  const factors = new Float32Array(mask.shape[mask.at.axis]!).fill(1);
  for (const { at, indices } of silences) {
    if (at.value === mask.at.value && at.axis === mask.at.axis) for (const index of indices) factors[index] = 0;
  }
  return fromFloat32(factors, [...mask.shape], mask.dtype);
}
