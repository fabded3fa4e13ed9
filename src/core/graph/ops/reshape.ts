import { intOf, intsOf, withAttributes } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { barrier, barriers, firstInput, firstOutput, normalAxis, plain, product, range, unknownShapes } from './axes';
import { reshapeGradient } from './gradients/movement';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Reshape, Flatten, Squeeze and Unsqueeze: the same elements in the same order under another shape. */
export const reshape: OperatorFamily = {
  name: 'reshape',
  ops: ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'],

  upgrade(node, context) {
    const x = firstInput(node);
    const name = node.op === 'Reshape' ? 'shape' : 'axes';
    const values = node.op === 'Flatten' ? undefined : intsOf(node, name);
    const bare = withAttributes(node, { drop: ['consumed_inputs', ...(values ? [name] : [])] });
    return [values ? { ...bare, inputs: [x, context.int64(name, values)] } : bare];
  },

  shape(node, context) {
    const { dtype, shape, constant, fill } = context.facts(firstInput(node));
    const out = shapeOf(node, context, shape);
    return [{ dtype, shape: out, constant: out && out.length <= 1 ? constant : undefined, fill }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const before = context.facts(x).shape;
    const after = context.facts(y).shape;
    if (!before || !after) return unknownShapes(node, context);
    if (node.op === 'Squeeze' || node.op === 'Unsqueeze') return keptAxes(node, context, before, after);
    return [...regrouped(x, before, y, after), ...fixedTargets(node, context)];
  },

  resize(node, context) {
    if (node.op !== 'Reshape') return node;
    const y = firstOutput(node);
    const before = context.facts(y).shape;
    const after = context.after(y).shape;
    const target = context.facts(node.inputs[1] ?? '').constant;
    if (!before || !after || !target) return node;
    const shrunk = range(0, before.length).filter((axis) => before[axis] !== after[axis] && literal(target, axis));
    if (!shrunk.length) return node;
    const next = rewritten(node, context);
    if (!next) return node;
    for (const axis of shrunk) next[axis] = after[axis]!;
    return { ...node, inputs: [firstInput(node), context.int64('shape', next)] };
  },

  gradient: reshapeGradient,
};

function shapeOf(node: GraphNode, context: ShapeContext, shape: Shape | undefined): Shape | undefined {
  if (node.op === 'Reshape') return reshaped(node, context, shape);
  if (node.op === 'Flatten') {
    if (!shape) return [null, null];
    const raw = intOf(node, 'axis', 1);
    const axis = raw < 0 ? raw + shape.length : raw;
    return [product(shape.slice(0, axis)), product(shape.slice(axis))];
  }
  if (!shape) return undefined;
  const axes = context.facts(node.inputs[1] ?? '').constant;
  if (node.inputs[1] && !axes?.every((axis) => axis !== null)) return undefined;
  if (node.op === 'Squeeze') {
    if (!axes && shape.some((dim) => dim === null)) return undefined;
    const gone = axes?.map((axis) => normalAxis(axis!, shape.length));
    return shape.filter((dim, axis) => (gone ? !gone.includes(axis) : dim !== 1));
  }
  const rank = shape.length + (axes?.length ?? 0);
  const added = (axes ?? []).map((axis) => normalAxis(axis!, rank));
  const rest = [...shape];
  return range(0, rank).map((axis) => (added.includes(axis) ? 1 : rest.shift() ?? null));
}

function reshaped(node: GraphNode, context: ShapeContext, shape: Shape | undefined): Shape | undefined {
  const target = context.facts(node.inputs[1] ?? '');
  if (!target.constant) {
    const rank = target.shape?.length === 1 ? target.shape[0] : null;
    return typeof rank === 'number' && rank <= 64 ? new Array<Dim>(rank).fill(null) : undefined;
  }
  const copyZero = intOf(node, 'allowzero', 0) === 0;
  const copied = target.constant.map((dim, axis): Dim => (dim === 0 && copyZero ? shape?.[axis] ?? null : dim));
  const open = copied.indexOf(-1);
  if (open < 0) return copied;
  const result = [...copied];
  result[open] = shape ? remaining(shape, copied, open) : null;
  return result;
}

/** The size that -1 stands for. Sizes unknown on both sides at the same place (the batch) cancel out. */
function remaining(shape: Shape, target: Shape, open: number): Dim {
  const from = [...shape];
  const to = target.filter((_, axis) => axis !== open);
  range(0, Math.min(open, from.length)).forEach((axis) => {
    if (from[axis] === null && target[axis] === null) {
      from[axis] = 1;
      to[axis] = 1;
    }
  });
  const have = product(from);
  const given = product(to);
  if (have === null || given === null || given === 0) return null;
  if (have % given !== 0) throw new RangeError(`[${shape.join(', ')}] has no room for [${target.join(', ')}]`);
  return have / given;
}

/** Squeeze and Unsqueeze: the axes that stay, in order. */
function keptAxes(node: GraphNode, context: ShapeContext, before: Shape, after: Shape): Relation[] {
  const longer = node.op === 'Squeeze' ? before : after;
  const axes = context.facts(node.inputs[1] ?? '').constant;
  const moved = axes
    ? axes.map((axis) => normalAxis(axis ?? 0, longer.length))
    : range(0, longer.length).filter((axis) => longer[axis] === 1);
  const staying = range(0, longer.length).filter((axis) => !moved.includes(axis));
  const x = firstInput(node);
  const y = firstOutput(node);
  return staying.map((axis, index) => (node.op === 'Squeeze' ? plain(x, axis, y, index) : plain(x, index, y, axis)));
}

/**
 * How the axes of the two shapes lie on each other: runs of axes with equal products. A run that merges several axes
 * into one (or splits one) ties each of them to the one.
 */
function regrouped(x: string, before: Shape, y: string, after: Shape): Relation[] {
  const relations: Relation[] = [];
  let front = 0;
  while (front < before.length && front < after.length && before[front] === after[front]) {
    relations.push(plain(x, front, y, front));
    front++;
  }
  let back = 0;
  const room = Math.min(before.length, after.length) - front;
  while (back < room && before[before.length - 1 - back] === after[after.length - 1 - back]) {
    relations.push(plain(x, before.length - 1 - back, y, after.length - 1 - back));
    back++;
  }
  for (const run of runsOf(before, range(front, before.length - back), after, range(front, after.length - back))) {
    relations.push(...runRelations(run, x, before, y, after));
  }
  return relations;
}

interface Run {
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** The products are known and equal. */
  readonly exact: boolean;
}

function runsOf(before: Shape, from: readonly number[], after: Shape, to: readonly number[]): Run[] {
  const left = from.filter((axis) => before[axis] !== 1);
  const right = to.filter((axis) => after[axis] !== 1);
  if ([...left.map((axis) => before[axis]), ...right.map((axis) => after[axis])].includes(null)) {
    return [{ from: left, to: right, exact: false }];
  }
  const runs: Run[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const startI = i;
    const startJ = j;
    let have = before[left[i++]!]!;
    let want = after[right[j++]!]!;
    while (have !== want && (have < want ? i < left.length : j < right.length)) {
      if (have < want) have *= before[left[i++]!]!;
      else want *= after[right[j++]!]!;
    }
    runs.push({ from: left.slice(startI, i), to: right.slice(startJ, j), exact: have === want && have > 0 });
  }
  if (i < left.length || j < right.length) runs.push({ from: left.slice(i), to: right.slice(j), exact: false });
  return runs;
}

function runRelations(run: Run, x: string, before: Shape, y: string, after: Shape): Relation[] {
  const { from, to, exact } = run;
  if (!exact || (from.length > 1 && to.length > 1)) {
    const reason = 'reshaping mixes this axis with others';
    return [...barriers(x, from, reason), ...barriers(y, to, reason)];
  }
  if (from.length === 1 && to.length === 1) return [plain(x, from[0]!, y, to[0]!)];
  const merging = from.length > 1;
  const many = merging ? { value: x, shape: before, axes: from } : { value: y, shape: after, axes: to };
  const one = merging ? { value: y, axis: to[0]! } : { value: x, axis: from[0]! };
  const sizes = many.axes.map((axis) => many.shape[axis]!);
  return many.axes.map((axis, index) => ({
    a: { value: many.value, axis }, b: one,
    outer: product(sizes.slice(0, index))!, inner: product(sizes.slice(index + 1))!,
  }));
}

/** Axes whose size is written into a target that cannot be rewritten as a constant. */
function fixedTargets(node: GraphNode, context: ShapeContext): Relation[] {
  if (node.op !== 'Reshape' || rewritten(node, context)) return [];
  const y = firstOutput(node);
  const target = context.facts(node.inputs[1] ?? '').constant;
  const rank = context.facts(y).shape?.length ?? 0;
  return range(0, rank)
    .filter((axis) => !target || literal(target, axis))
    .map((axis) => barrier(y, axis, 'its size is part of a shape that is computed when the model runs'));
}

/** The target as constants: at most one entry may be left open (-1), or be copied from the input (0). */
function rewritten(node: GraphNode, context: ShapeContext): number[] | undefined {
  const target = context.facts(node.inputs[1] ?? '').constant;
  const before = context.facts(firstInput(node)).shape;
  if (!target) return undefined;
  let open = target.includes(-1);
  const result: number[] = [];
  for (const [axis, entry] of target.entries()) {
    if (entry !== null) {
      result.push(entry);
    } else if (before?.[axis] === null && range(0, axis).every((earlier) => target[earlier] === before[earlier])) {
      if (intOf(node, 'allowzero', 0) !== 0) return undefined;
      result.push(0);
    } else if (!open) {
      open = true;
      result.push(-1);
    } else {
      return undefined;
    }
  }
  return result;
}

function literal(target: readonly Dim[], axis: number): boolean {
  const entry = target[axis];
  return typeof entry === 'number' && entry > 0;
}
