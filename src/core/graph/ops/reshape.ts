import { intOf, intsOf, withAttributes } from '../attributes';
import type { Dim, GraphNode, Shape } from '../modelGraph';
import { barrier, barriers, firstInput, firstOutput, normalAxis, plain, product, range, unknownShapes } from './axes';
import { reshapeGradient } from './gradients/movement';
import type { AxisRef, OperatorFamily, Relation, ResizeContext, ShapeContext } from './operator';

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
    const target = node.inputs[1] ?? '';
    const wanted = context.sizes(firstOutput(node));
    const now = context.contents(target);
    // What is open (-1) or copied (0) follows by itself.
    const wrong = (entry: Dim, axis: number): boolean => typeof entry === 'number' && entry > 0 && wanted?.[axis] != null && entry !== wanted[axis];
    if (!wanted || !now || !now.some(wrong)) return node;
    const literal = literalTarget(node, context, now, wanted);
    const next = literal ? context.int64('shape', literal) : scaled(context, target, now, now.map((entry, axis) => (wrong(entry, axis) ? wanted[axis]! : entry)));
    return { ...node, inputs: [firstInput(node), next] };
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

/**
 * Both sides of a run cut at the same places: [batch, 12] and [batch * 3, 4] are both made of batch, 3 and 4. Each of these
 * factors is tied to the axes that hold it, by the axis that it is alone on, or else as an axis inside the operator.
 */
function runRelations(run: Run, x: string, before: Shape, y: string, after: Shape): Relation[] {
  const { from, to, exact } = run;
  const left = { value: x, axes: from, sizes: from.map((axis) => before[axis]!) };
  const right = { value: y, axes: to, sizes: to.map((axis) => after[axis]!) };
  const factors = exact ? commonFactors(left.sizes, right.sizes) : undefined;
  if (!factors) {
    const reason = 'reshaping mixes this axis with others';
    return [...barriers(x, from, reason), ...barriers(y, to, reason)];
  }
  const places = [left, right].map((side) => placesOf(side, factors));
  // One factor that shares its axis on both sides makes them all axes inside: together they cover each axis once.
  const crossed = factors.some((_, index) => !places[0]![index]!.alone && !places[1]![index]!.alone);
  return factors.flatMap((size, index): Relation[] => {
    const [own, other] = [places[0]![index]!, places[1]![index]!];
    const tie = (one: Place, two: Place): Relation => ({ a: one.ref, b: two.ref, ...(two.outer > 1 && { outer: two.outer }), ...(two.inner > 1 && { inner: two.inner }) });
    if (!crossed) return [own.alone ? tie(own, other) : tie(other, own)];
    const inside: Place = { ref: { value: `${y}\0inside`, axis: to[0]! * 64 + index }, alone: true, outer: 1, inner: 1 };
    return [own, other].map((place) => ({ ...tie(inside, place), size }));
  });
}

/** Sizes whose products are the sizes of both sides, one behind the other; undefined when one side cuts through the other's. */
function commonFactors(left: readonly number[], right: readonly number[]): readonly number[] | undefined {
  const ends = (sizes: readonly number[]): number[] => sizes.map((_, index) => sizes.slice(0, index + 1).reduce((all, size) => all * size, 1));
  const cuts = [...new Set([...ends(left), ...ends(right)])].sort((one, two) => one - two);
  const factors = cuts.map((cut, index) => cut / (cuts[index - 1] ?? 1));
  return factors.every(Number.isInteger) ? factors : undefined;
}

/** Where a factor lies: on which axis, and how often and how far apart its indices come there. */
interface Place {
  readonly ref: AxisRef;
  /** Nothing else is on this axis. */
  readonly alone: boolean;
  readonly outer: number;
  readonly inner: number;
}

function placesOf({ value, axes, sizes }: { readonly value: string; readonly axes: readonly number[]; readonly sizes: readonly number[] }, factors: readonly number[]): Place[] {
  const places: Place[] = [];
  let next = 0;
  sizes.forEach((size, index) => {
    for (let outer = 1; outer < size; next++) {
      const factor = factors[next]!;
      const inner = size / outer / factor;
      places.push({ ref: { value, axis: axes[index]! }, alone: factor === size, outer, inner });
      outer *= factor;
    }
  });
  return places;
}

/** Axes of which nobody can say how large they will be, and so what the target must become. */
function fixedTargets(node: GraphNode, context: ShapeContext): Relation[] {
  if (node.op !== 'Reshape') return [];
  const y = firstOutput(node);
  const target = context.contents?.(node.inputs[1] ?? '') ?? context.facts(node.inputs[1] ?? '').constant;
  const rank = context.facts(y).shape?.length ?? 0;
  // One open entry can be left to the operator (-1); what it copies (0) is as it is.
  if (target && target.filter((entry) => entry === null || entry === -1).length <= 1) return [];
  return range(0, rank)
    .filter((axis) => !target || (target[axis] ?? 0) > 0)
    .map((axis) => barrier(y, axis, 'its size is part of a shape that is computed when the model runs'));
}

/** The target as constants, where it leaves nothing open but what is copied from the input (0) or was left to the operator (-1). */
function literalTarget(node: GraphNode, context: ResizeContext, now: readonly Dim[], wanted: Shape): number[] | undefined {
  const [x, y] = [firstInput(node), firstOutput(node)];
  const [before, after] = [context.sizes(x), context.facts(y).shape];
  const copies = intOf(node, 'allowzero', 0) === 0;
  const result = now.map((entry, axis) => {
    const size = wanted[axis] ?? null;
    if (entry !== null && entry <= 0) return entry;
    if (typeof after?.[axis] === 'number') return size;
    return copies && size !== null && before?.[axis] === size ? 0 : null;
  });
  return result.every((entry): entry is number => entry !== null) ? result : undefined;
}

/** A target that is computed when the model runs, each entry times what it should be over what it is. */
export function scaled(context: ResizeContext, target: string, now: readonly Dim[], wanted: readonly Dim[]): string {
  const ratios = now.map((entry, axis) => {
    const size = wanted[axis] ?? null;
    if (entry === null || size === null || entry <= 0 || size <= 0 || entry === size) return [1, 1] as const;
    const common = greatestDivisor(entry, size);
    return [size / common, entry / common] as const;
  });
  const times = context.int64('times', ratios.map(([up]) => up));
  const over = context.int64('over', ratios.map(([, down]) => down));
  return context.node('Div', [context.node('Mul', [target, times]), over]);
}

function greatestDivisor(one: number, two: number): number {
  return two === 0 ? one : greatestDivisor(two, one % two);
}
