import type { Dim, GraphNode, Shape } from '../modelGraph';
import type { AxisRef, Barrier, Relation, ShapeContext } from './operator';

/** An axis counted from the front; throws a RangeError when the rank has no such axis. */
export function normalAxis(axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(normal) || normal < 0 || normal >= rank) throw new RangeError(`axis ${axis} of ${rank} axes`);
  return normal;
}

/** Product of sizes; null as soon as one is unknown. */
export function product(dims: Shape): Dim {
  let result = 1;
  for (const dim of dims) {
    if (dim === null) return null;
    result *= dim;
  }
  return result;
}

/** Numpy broadcasting; undefined when a rank is unknown. Throws a RangeError when sizes do not go together. */
export function broadcast(shapes: readonly (Shape | undefined)[]): Shape | undefined {
  const known = shapes.filter((shape): shape is Shape => shape !== undefined);
  if (known.length < shapes.length) return undefined;
  const rank = Math.max(0, ...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let result: Dim = 1;
    for (const shape of known) {
      const own = axis - (rank - shape.length);
      if (own >= 0) result = broadcastDim(result, shape[own]!);
    }
    return result;
  });
}

function broadcastDim(left: Dim, right: Dim): Dim {
  if (left === right) return left;
  if (left === 1) return right;
  if (right === 1) return left;
  // An unknown size beside n > 1 can only be 1 or n.
  if (left === null) return right;
  if (right === null) return left;
  throw new RangeError(`sizes ${left} and ${right} do not go together`);
}

/** Index i of one axis is index i of the other. */
export function plain(from: string, fromAxis: number, to: string, toAxis: number): Relation {
  return { a: { value: from, axis: fromAxis }, b: { value: to, axis: toAxis } };
}

/** The axis must keep its size. */
export function barrier(value: string, axis: number, reason: string): Barrier {
  const ref: AxisRef = { value, axis };
  return { a: ref, b: ref, reason };
}

export function barriers(value: string, axes: Iterable<number>, reason: string): Barrier[] {
  return Array.from(axes, (axis) => barrier(value, axis, reason));
}

/** For rules that cannot say anything because a shape is unknown: whatever axes are known must stay as they are. */
export function unknownShapes(node: GraphNode, context: ShapeContext): Barrier[] {
  return [...node.inputs, ...node.outputs].flatMap((value) =>
    barriers(value, range(0, context.facts(value).shape?.length ?? 0), `${node.op} has inputs or outputs of unknown shape`));
}

/** Axis k of one value is axis k of the other, for the first `rank` axes without `except`. */
export function sameAxes(from: string, to: string, rank: number, except: readonly number[] = []): Relation[] {
  return range(0, rank).filter((axis) => !except.includes(axis)).map((axis) => plain(from, axis, to, axis));
}

/** How the axes of a broadcast operand lie on those of the result; axes of size 1 that are stretched have no relation. */
export function broadcastRelations(operand: string, output: string, context: ShapeContext): Relation[] {
  const from = context.facts(operand).shape;
  const to = context.facts(output).shape;
  if (!from || !to) return barriers(operand, range(0, from?.length ?? 0), 'it meets a value of unknown shape');
  return from.flatMap((dim, axis): Relation[] => {
    const target = axis + to.length - from.length;
    if (target < 0) return [barrier(operand, axis, 'its shape does not fit the result')];
    if (dim === to[target]) return [plain(operand, axis, output, target)];
    if (dim === 1) return [];
    const reason = 'its size is not known before the model runs';
    return [barrier(operand, axis, reason), barrier(output, target, reason)];
  });
}

export function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, index) => start + index);
}

/** Contents of an integer input that are all known; undefined when it is absent or some are not. */
export function knownInts(node: GraphNode, input: number, context: Pick<ShapeContext, 'facts'>): readonly number[] | undefined {
  const contents = context.facts(node.inputs[input] ?? '').constant;
  return contents?.every((value): value is number => value !== null) ? contents : undefined;
}

export function firstInput(node: GraphNode): string {
  return node.inputs[0] ?? '';
}

export function firstOutput(node: GraphNode): string {
  return node.outputs[0] ?? '';
}
