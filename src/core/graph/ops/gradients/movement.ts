import { int, intOf, intsOf, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { isFloat } from '../../numeric';
import { firstInput, firstOutput, knownInts, normalAxis, range } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

type Gradients = readonly (string | undefined)[];

/** Reshape, Flatten, Squeeze, Unsqueeze: the same elements in the old shape. */
export function reshapeGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  return [dy && new Maths(context).reshapeLike(dy, firstInput(node))];
}

export function transposeGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const perm = intsOf(node, 'perm');
  const m = new Maths(context);
  if (!dy) return [];
  // Without perm the axes are reversed, and so they are on the way back.
  return [perm ? m.transpose(dy, perm.map((_, axis) => perm.indexOf(axis))) : m.op('Transpose', [dy])];
}

export function concatGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  if (!dy) return [];
  const m = new Maths(context);
  if (node.inputs.length === 1) return [dy];
  const rank = node.inputs.map((input) => context.sizes(input)?.length).find((known) => known !== undefined);
  if (rank === undefined) throw new RangeError('the shapes of its inputs are not known');
  const axis = normalAxis(intOf(node, 'axis', 0), rank);
  const sizes = node.inputs.map((input) => context.facts(input).shape?.[axis] ?? null);
  const target = sizes.every((size): size is number => size !== null)
    ? m.builder.int64(sizes)
    : m.vector(...node.inputs.map((input) => m.size(input, axis)));
  return m.builder.nodes('Split', [dy, target], node.inputs.length, { axis: int(axis) });
}

/** Parts that nothing flows into count as zeros. */
export function splitGradient(node: GraphNode, context: GradientContext): Gradients {
  const m = new Maths(context);
  const parts = node.outputs.map((output, index) => {
    const given = context.outputs[index];
    if (given) return given;
    return m.constantLike(0, output || context.output(index));
  });
  return [m.op('Concat', parts, { axis: int(intOf(node, 'axis', 0)) })];
}

export function sliceGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  if (!dy) return [];
  const m = new Maths(context);
  const x = firstInput(node);
  const shape = context.facts(x).shape;
  const cut = context.facts(firstOutput(node)).shape;
  const starts = knownInts(node, 1, context);
  const axes = node.inputs[3] ? knownInts(node, 3, context) : starts && range(0, starts.length);
  const steps = node.inputs[4] ? knownInts(node, 4, context) : starts?.map(() => 1);
  if (shape && cut && starts && axes && steps?.every((step) => step === 1)) {
    const pads = new Array<number>(2 * shape.length).fill(0);
    const settled = axes.every((raw, index) => {
      const axis = normalAxis(raw, shape.length);
      const [size, count] = [shape[axis], cut[axis]];
      if (typeof size !== 'number' || typeof count !== 'number') return false;
      const start = Math.min(Math.max(starts[index]! < 0 ? starts[index]! + size : starts[index]!, 0), size);
      pads[axis] = start;
      pads[axis + shape.length] = size - start - count;
      return true;
    });
    if (settled) return [m.op('Pad', [dy, m.builder.int64(pads)])];
  }
  return [m.scatterBack(dy, x, (indices) => m.op('Slice', [indices, ...node.inputs.slice(1)]))];
}

export function padGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const [x = '', pads = '', , axes = ''] = node.inputs;
  if (!dy) return [];
  const m = new Maths(context);
  const mode = stringOf(node, 'mode', 'constant');
  if (mode !== 'constant') {
    return [m.scatterBack(dy, x, (indices) => m.op('Pad', [indices, pads, '', ...(axes ? [axes] : [])], node.attributes))];
  }
  const known = knownInts(node, 1, context);
  const back = known ? m.builder.int64(known.map((size) => -size)) : m.neg(pads);
  const inside = m.op('Pad', [dy, back, ...(axes ? ['', axes] : [])]);
  const all = (value: string): string => m.op('ReduceSum', [value], { keepdims: int(0) });
  return [
    context.needs(0) ? inside : undefined,
    undefined,
    context.needs(2) ? m.reshapeLike(m.sub(all(dy), all(inside)), node.inputs[2]!) : undefined,
  ];
}

/** Expand and Tile: gradients of the copies are added up. */
export function repetitionGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  if (!dy) return [];
  const m = new Maths(context);
  const [x = '', second = ''] = node.inputs;
  if (node.op === 'Expand') return [m.sumTo(dy, x, firstOutput(node))];
  const repeats = knownInts(node, 1, context);
  const shape = context.facts(x).shape;
  if (!repeats || !shape || shape.filter((dim) => dim === null).length > 1) {
    return [m.scatterBack(dy, x, (indices) => m.op('Tile', [indices, second]))];
  }
  const apart = m.reshape(dy, shape.flatMap((dim, axis) => [repeats[axis] ?? 1, dim ?? -1]));
  return [m.sum(apart, shape.map((_, axis) => 2 * axis), false)];
}

/** Gather: what flows out of a row flows back into it, once for each time that it was picked. */
export function gatherGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const [data = '', indices = ''] = node.inputs;
  if (!dy) return [];
  const rank = context.sizes(data)?.length;
  const picks = context.sizes(indices)?.length;
  if (rank === undefined || picks === undefined) throw new RangeError('the shapes of its inputs are not known');
  const m = new Maths(context);
  const axis = normalAxis(intOf(node, 'axis', 0), rank);
  const { dtype } = context.facts(data);
  // Picked axes in front, so that whole rows are added: [...indices, ...before, ...behind]
  const rowsFirst = m.transpose(dy, [...range(axis, axis + picks), ...range(0, axis), ...range(axis + picks, picks + rank - 1)]);
  const order = [axis, ...range(0, axis), ...range(axis + 1, rank)];
  const sizes = axis === 0 ? m.shape(data) : m.op('Gather', [m.shape(data), m.builder.int64(order)]);
  const empty = m.constantOfShape(0, sizes, dtype);
  const places = m.op('Unsqueeze', [m.cast(indices, 'int64'), m.builder.int64([-1])]);
  const rows = m.op('ScatterND', [empty, places, rowsFirst], { reduction: { type: 'string', value: 'add' } });
  return [m.transpose(rows, range(0, rank).map((own) => order.indexOf(own)))];
}

/** Identity and casts between real numbers. */
export function copyGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  if (!dy || node.op === 'Identity') return [dy];
  const from = context.facts(firstInput(node)).dtype;
  const to = context.facts(firstOutput(node)).dtype;
  if (from && !isFloat(from)) return [];
  const m = new Maths(context);
  return [from === to && from !== undefined ? dy : m.castLike(dy, firstInput(node))];
}

/** Dropout: in training what was kept passes, enlarged as its elements were. */
export function dropoutGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  const [, ratio = '', training = ''] = node.inputs;
  if (!dy || !training) return [dy];
  const known = context.facts(training).constant;
  if (known?.length === 1 && known[0] === 0) return [dy];
  const m = new Maths(context);
  const kept = m.only(context.output(1), dy);
  const share = ratio ? m.castLike(ratio, dy) : m.scalar(0.5, dy);
  const enlarged = m.div(kept, m.minusFrom(1, share));
  return [known?.length === 1 ? enlarged : m.where(training, enlarged, dy)];
}

/** Trilu: the elements that it keeps. */
export function triangleGradient(node: GraphNode, context: GradientContext): Gradients {
  const [dy] = context.outputs;
  return [dy && new Maths(context).op('Trilu', [dy, ...node.inputs.slice(1)], node.attributes)];
}
