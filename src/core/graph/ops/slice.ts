import { intsOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { barrier, firstInput, firstOutput, knownInts, normalAxis, plain, range } from './axes';
import { sliceGradient } from './gradients/movement';
import type { OperatorFamily, Relation, ShapeContext } from './operator';

/** Slice: a run of indices on some axes. */
export const slice: OperatorFamily = {
  name: 'slice',
  ops: ['Slice'],

  upgrade(node, context) {
    const starts = intsOf(node, 'starts');
    const ends = intsOf(node, 'ends');
    if (!starts || !ends) return [node];
    const axes = intsOf(node, 'axes') ?? range(0, starts.length);
    const inputs = [firstInput(node), context.int64('starts', starts), context.int64('ends', ends), context.int64('axes', axes)];
    return [{ ...withAttributes(node, { drop: ['starts', 'ends', 'axes'] }), inputs }];
  },

  shape(node, context) {
    const { dtype, shape, constant, fill } = context.facts(firstInput(node));
    if (!shape) return [{ dtype, fill }];
    const cuts = cutsOf(node, context);
    const out = shape.map((dim, axis): Dim => {
      const cut = cuts?.get(axis);
      if (!cuts) return null;
      return cut ? (cut.known ? cut.count : null) : dim;
    });
    const only = cuts?.get(0);
    const contents = constant && shape.length === 1 && only?.known
      ? range(0, only.count).map((index) => constant[only.start + index * only.step] ?? null)
      : undefined;
    return [{ dtype, shape: out, constant: contents, fill }];
  },

  flow(node, context) {
    const x = firstInput(node);
    const y = firstOutput(node);
    const shape = context.facts(x).shape ?? [];
    const cuts = cutsOf(node, context);
    return range(0, shape.length).flatMap((axis): Relation[] => {
      const cut = cuts?.get(axis);
      if (cuts && !cut) return [plain(x, axis, y, axis)];
      if (cut?.whole) return [plain(x, axis, y, axis)];
      if (cut?.known && cut.step === 1) return [{ a: { value: y, axis }, b: { value: x, axis }, offset: cut.start }];
      const reason = 'a slice with steps, or one only known when the model runs, picks its elements by number';
      return [barrier(x, axis, reason), barrier(y, axis, reason)];
    });
  },

  resize(node, context) {
    const x = firstInput(node);
    const cuts = cutsOf(node, context);
    if (!cuts) return node;
    const axes = [...cuts.keys()];
    if (!axes.some((axis) => context.kept({ value: x, axis }))) return node;
    const bounds = axes.map((axis) => {
      const cut = cuts.get(axis)!;
      const kept = context.kept({ value: x, axis });
      if (!kept || !cut.known) return { start: cut.rawStart, end: cut.rawEnd, step: cut.step };
      if (cut.whole) return { start: 0, end: kept.length, step: 1 };
      const start = kept.filter((index) => index < cut.start).length;
      return { start, end: start + kept.filter((index) => index >= cut.start && index < cut.start + cut.count).length, step: 1 };
    });
    return {
      ...node,
      inputs: [
        x, context.int64('starts', bounds.map((bound) => bound.start)), context.int64('ends', bounds.map((bound) => bound.end)),
        context.int64('axes', axes), context.int64('steps', bounds.map((bound) => bound.step)),
      ],
    };
  },

  gradient: sliceGradient,
};

interface Cut {
  /** Whether the axis' size is known, so that start and count are. */
  readonly known: boolean;
  readonly start: number;
  readonly count: number;
  readonly step: number;
  readonly whole: boolean;
  readonly rawStart: number;
  readonly rawEnd: number;
}

/** What is cut on which axis; undefined when the bounds are only known at run time. */
function cutsOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): ReadonlyMap<number, Cut> | undefined {
  const shape = context.facts(firstInput(node)).shape;
  const starts = knownInts(node, 1, context);
  const ends = knownInts(node, 2, context);
  if (!shape || !starts || !ends) return undefined;
  const axes = node.inputs[3] ? knownInts(node, 3, context) : range(0, starts.length);
  const steps = node.inputs[4] ? knownInts(node, 4, context) : starts.map(() => 1);
  if (!axes || !steps) return undefined;
  return new Map(axes.map((raw, index) => {
    const axis = normalAxis(raw, shape.length);
    return [axis, cutOf(shape[axis] ?? null, starts[index] ?? 0, ends[index] ?? 0, steps[index] ?? 1)];
  }));
}

function cutOf(size: Dim, rawStart: number, rawEnd: number, step: number): Cut {
  if (size === null || step === 0) {
    // The common "everything" of an unknown size stays what it is.
    const whole = rawStart === 0 && rawEnd >= 2 ** 31 - 1 && step === 1;
    return { known: false, start: 0, count: 0, step, whole, rawStart, rawEnd };
  }
  const wrap = (bound: number): number => (bound < 0 ? bound + size : bound);
  const clamp = (bound: number, low: number, high: number): number => Math.min(Math.max(bound, low), high);
  const start = step > 0 ? clamp(wrap(rawStart), 0, size) : clamp(wrap(rawStart), 0, size - 1);
  const end = step > 0 ? clamp(wrap(rawEnd), 0, size) : clamp(wrap(rawEnd), -1, size - 1);
  const count = Math.max(0, Math.ceil((end - start) / step));
  return { known: true, start, count, step, whole: step === 1 && count === size, rawStart, rawEnd };
}
