import { int } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';

export const sliceOps: OpGroup = {
  Slice(context) {
    const [starts, sizes] = [context.constant(1), context.constant(2)];
    if (!starts || !sizes) return context.opaque('its place is computed');
    const ends = sizes.map((size, axis) => size === -1 ? end : starts[axis]! + size);
    const axes = starts.map((_, axis) => axis).filter((axis) => starts[axis] !== 0 || sizes[axis] !== -1);
    return cut(context, context.input(0), axes.map((axis) => ({ axis, start: starts[axis]!, end: ends[axis]!, step: 1 })));
  },
  StridedSlice: stridedSlice,
  ReverseV2(context) {
    const axes = context.constant(1);
    return axes ? cut(context, context.input(0), axes.map((axis) => ({ axis, start: -1, end: -end, step: -1 }))) : context.opaque('its axes are computed');
  },
  GatherV2(context) {
    const [axis] = context.constant(2) ?? [];
    return axis === undefined || context.int('batch_dims', 0) !== 0 ? context.opaque('its axis is computed, or it has batches') : gather(context, axis);
  },
  Gather: (context) => gather(context, 0),
  ResourceGather: (context) => gather(context, 0),
  GatherNd: (context) => context.add('GatherND', [context.input(0), context.input(1)]),
  OneHot(context) {
    const values = context.add('Concat', [3, 2].map((index) => context.add('Unsqueeze', [context.input(index), context.int64('axes', [0])])), { axis: int(0) });
    return context.add('OneHot', [context.input(0), context.input(1), values], { axis: int(context.int('axis', -1)) });
  },
};

const end = 2 ** 31 - 1;

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

function gather(context: OpContext, axis: number): string {
  const table = context.weight(0, { axes: (context.shapeOf(0) ?? []).map((_, index) => index) })?.name ?? context.input(0);
  return context.add('Gather', [table, context.input(1)], { axis: int(axis) });
}

/** begin:end:step for each axis, with bits that say which of them do not count (tf.strided_slice). */
function stridedSlice(context: OpContext): string | readonly string[] {
  const [begins, ends] = [context.constant(1), context.constant(2)];
  const steps = context.constant(3) ?? begins?.map(() => 1);
  if (!begins || !ends || !steps) return context.opaque('its place is computed');
  const bit = (name: string, index: number): boolean => ((context.int(name, 0) >> index) & 1) === 1;
  const rank = context.facts(context.input(0)).shape?.length;
  const cuts: Cut[] = [];
  const gone: number[] = [];
  const fresh: number[] = [];
  let axis = 0;
  let result = 0;
  for (let index = 0; index < begins.length; index++) {
    if (bit('ellipsis_mask', index)) {
      if (rank === undefined) return context.opaque('the rank of its input is not known');
      const later = begins.map((_, later) => later).filter((later) => later > index && !bit('new_axis_mask', later)).length;
      const skipped = rank - later - axis;
      axis += skipped;
      result += skipped;
    } else if (bit('new_axis_mask', index)) fresh.push(result++);
    else {
      const [begin, step] = [begins[index]!, steps[index]!];
      if (bit('shrink_axis_mask', index)) {
        cuts.push({ axis, start: begin, end: begin === -1 ? end : begin + 1, step: 1 });
        gone.push(axis);
      } else {
        const start = bit('begin_mask', index) ? (step > 0 ? 0 : end) : begin;
        const stop = bit('end_mask', index) ? (step > 0 ? end : -end) : ends[index]!;
        if (start !== 0 || stop !== end || step !== 1) cuts.push({ axis, start, end: stop, step });
        result++;
      }
      axis++;
    }
  }
  let value = cut(context, context.input(0), cuts);
  if (gone.length) value = context.add('Squeeze', [value, context.int64('axes', gone)]);
  return fresh.length ? context.add('Unsqueeze', [value, context.int64('axes', fresh)]) : value;
}

function cut(context: OpContext, value: string, cuts: readonly Cut[]): string {
  if (cuts.length === 0) return value;
  return context.add('Slice', [
    value, context.int64('starts', cuts.map(({ start }) => start)), context.int64('ends', cuts.map((one) => one.end)),
    context.int64('axes', cuts.map(({ axis }) => axis)), context.int64('steps', cuts.map(({ step }) => step)),
  ]);
}
