import { int, intOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstInput, firstOutput, range } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/** Reductions: the gradient of the result goes to every element that went into it, by the element's share. */
export function reductionGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const rule = rules[node.op];
  if (!dy || !rule) return [];
  const m = new Maths(context);
  const x = firstInput(node);
  return [rule(m, { x, y: kept(m, firstOutput(node), node, context), dy: kept(m, dy, node, context), node })];
}

interface Place {
  readonly x: string;
  /** The result and what flows into it, with the reduced axes as axes of size 1. */
  readonly y: string;
  readonly dy: string;
  readonly node: GraphNode;
}

type Rule = (m: Maths, place: Place) => string;

const rules: Readonly<Record<string, Rule>> = {
  ReduceSum: (m, { x, dy }) => m.expandLike(dy, x),
  ReduceMean: (m, { x, y, dy }) => m.expandLike(m.div(dy, ratio(m, x, y)), x),
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceProd(m, { x, y, dy, node }) {
    // The product of the others: where one element is 0, only its own gradient is not.
    const zero = m.op('Equal', [x, m.scalar(0, x)]);
    const others = m.where(zero, m.scalar(1, x), x);
    const zeros = again(m, 'ReduceSum', m.mask(zero, x), node);
    const product = again(m, 'ReduceProd', others, node);
    const single = m.only(m.op('Equal', [zeros, m.scalar(1, x)]), product);
    return m.mul(dy, m.where(zero, single, m.div(m.expandLike(y, x), others)));
  },
  ReduceL1: (m, { x, dy }) => m.mul(dy, m.op('Sign', [x])),
  ReduceL2(m, { x, y, dy }) {
    const nothing = m.op('Equal', [y, m.scalar(0, y)]);
    return m.mul(x, m.div(m.where(nothing, m.scalar(0, dy), dy), m.where(nothing, m.scalar(1, y), y)));
  },
  ReduceLogSum: (m, { x, y, dy }) => m.expandLike(m.div(dy, m.op('Exp', [y])), x),
  ReduceLogSumExp: (m, { x, y, dy }) => m.mul(dy, m.op('Exp', [m.sub(x, y)])),
  ReduceSumSquare: (m, { x, dy }) => m.mul(m.scale(dy, 2), x),
};

/** Elements that are equally large share the gradient. */
function extreme(m: Maths, { x, y, dy, node }: Place): string {
  const winners = m.mask(m.op('Equal', [x, y]), x);
  return m.mul(winners, m.div(dy, again(m, 'ReduceSum', winners, node)));
}

/** Another reduction over the same axes, which stay as axes of size 1. */
function again(m: Maths, op: string, value: string, node: GraphNode): string {
  return m.op(op, [value, ...node.inputs.slice(1)], { ...node.attributes, keepdims: int(1) });
}

/** How many elements went into each result, as a real number. */
function ratio(m: Maths, x: string, y: string): string {
  const [from, to] = [m.builder.facts(x).shape, m.builder.facts(y).shape];
  if (from && to?.length === from.length) {
    const reduced = range(0, from.length).filter((axis) => !(from[axis] === null && to[axis] === null) && from[axis] !== to[axis]);
    if (reduced.every((axis) => from[axis] !== null && to[axis] === 1)) {
      return m.scalar(reduced.reduce((all, axis) => all * from[axis]!, 1), x);
    }
  }
  return m.castLike(m.div(m.op('Size', [x]), m.op('Size', [y])), x);
}

function kept(m: Maths, value: string, node: GraphNode, context: GradientContext): string {
  if (intOf(node, 'keepdims', 1) === 1) return value;
  const axes = node.inputs[1];
  if (axes && context.facts(axes).shape?.[0] !== 0) return m.op('Unsqueeze', [value, axes]);
  // Over all axes it is a single number, which fits any shape.
  return value;
}
