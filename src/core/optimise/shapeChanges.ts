import { indexOf, type Layer, type ModelGraph } from '../graph/modelGraph';
import { contextOf } from '../graph/inferShapes';
import { familyOf } from '../graph/ops/registry';
import type { Tensor } from '../graph/tensor';
import type { ParticleTable } from '../particles/particleTable';
import type { ShapeChange } from './plan';

/** How the sizes of each layer differ between a graph and its operated version; layers without a difference are left out. */
export function shapeChanges(before: ModelGraph, after: ModelGraph, table: ParticleTable): ShapeChange[] {
  return before.layers.flatMap((layer) => {
    const tensors = layer.tensors.flatMap((name) => {
      const old = before.tensors.get(name);
      const now = after.tensors.get(name);
      if (!old || !now || sameShape(old.shape, now.shape)) return [];
      return [{ name, before: fileShape(old, old.shape), after: fileShape(old, now.shape) }];
    });
    const width = pair(widthOf(before, table, layer), widthOf(after, table, layer));
    const inputWidth = pair(inputWidthOf(before, layer), inputWidthOf(after, layer));
    if (tensors.length === 0 && !differs(width) && !differs(inputWidth)) return [];
    return [{ layer: layer.name, type: layer.type, tensors, width, inputWidth }];
  });
}

/** A shape of the graph's layout in the layout of the file that the tensor was read from. */
function fileShape(tensor: Tensor, shape: readonly number[]): number[] {
  if (!tensor.stored || tensor.stored.axes.length !== shape.length) return [...shape];
  const stored = new Array<number>(shape.length);
  tensor.stored.axes.forEach((storedAxis, axis) => (stored[storedAxis] = shape[axis]!));
  return stored;
}

function widthOf(graph: ModelGraph, table: ParticleTable, layer: Layer): number | undefined {
  const group = table.group(layer.name);
  if (!group) return undefined;
  return contextOf(graph).facts(group.producer.value).shape?.[group.producer.axis] ?? undefined;
}

function inputWidthOf(graph: ModelGraph, layer: Layer): number | undefined {
  const context = contextOf(graph);
  const { node } = indexOf(graph);
  for (const name of layer.nodes) {
    const member = node.get(name);
    const rule = member && familyOf(member)?.linear?.(member, context);
    if (rule) return context.facts(rule.input).shape?.[rule.axis] ?? undefined;
  }
  return undefined;
}

type Pair = { readonly before: number; readonly after: number } | undefined;

function pair(before: number | undefined, after: number | undefined): Pair {
  return before === undefined || after === undefined ? undefined : { before, after };
}

function differs(change: Pair): boolean {
  return change !== undefined && change.before !== change.after;
}

function sameShape(one: readonly number[], two: readonly number[]): boolean {
  return one.length === two.length && one.every((size, axis) => size === two[axis]);
}
