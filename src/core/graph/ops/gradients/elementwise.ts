import { intOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstOutput } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/** Operators on several operands with numpy broadcasting: each rule gives gradients in the output's shape. */
export function elementwiseGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const rule = rules[node.op];
  if (!dy || !rule) return [];
  const m = new Maths(context);
  const y = firstOutput(node);
  return node.inputs.map((operand, index) => {
    if (!operand || !context.needs(index)) return undefined;
    const wide = rule({ m, node, context, index, y, dy });
    return wide === undefined ? undefined : m.sumTo(wide, operand, y);
  });
}

interface Place {
  readonly m: Maths;
  readonly node: GraphNode;
  readonly context: GradientContext;
  /** Of the operand. */
  readonly index: number;
  readonly y: string;
  readonly dy: string;
}

type Rule = (place: Place) => string | undefined;

const rules: Readonly<Record<string, Rule>> = {
  Add: ({ dy }) => dy,
  Sub: ({ m, index, dy }) => (index === 0 ? dy : m.neg(dy)),
  Mul: ({ m, node, index, dy }) => m.mul(dy, node.inputs[1 - index]!),
  Div: ({ m, node, index, y, dy }) => {
    const quotient = m.div(dy, node.inputs[1]!);
    return index === 0 ? quotient : m.neg(m.mul(quotient, y));
  },
  Pow: power,
  Mod: ({ m, node, index, dy }) => {
    if (index === 0) return dy;
    const quotient = m.div(node.inputs[0]!, node.inputs[1]!);
    // fmod cuts towards zero, mod down.
    const whole = intOf(node, 'fmod', 0) === 1
      ? m.mul(m.op('Sign', [quotient]), m.op('Floor', [m.op('Abs', [quotient])]))
      : m.op('Floor', [quotient]);
    return m.neg(m.mul(dy, whole));
  },
  Min: extreme,
  Max: extreme,
  Sum: ({ dy }) => dy,
  Mean: ({ m, node, dy }) => m.scale(dy, 1 / node.inputs.length),
  Where: ({ m, node, index, dy }) => {
    const zero = m.scalar(0, dy);
    return index === 0 ? undefined : m.where(node.inputs[0]!, ...(index === 1 ? [dy, zero] as const : [zero, dy] as const));
  },
};

function power({ m, node, context, index, y, dy }: Place): string {
  const [x = '', exponent = ''] = node.inputs;
  if (index === 1) {
    // x^p grows by x^p log x with p; at 0 it stays 0.
    const positive = m.greater(x, 0);
    return m.only(positive, m.mul(dy, m.mul(y, m.op('Log', [m.where(positive, x, m.scalar(1, x))]))));
  }
  const known = context.facts(exponent).constant;
  const p = known?.length === 1 ? known[0] : null;
  if (p === 2) return m.mul(dy, m.scale(x, 2));
  if (p === 1) return dy;
  if (typeof p === 'number') return m.mul(dy, m.scale(m.op('Pow', [x, m.scalar(p - 1, x)]), p));
  const factor = m.castLike(exponent, x);
  return m.mul(dy, m.mul(factor, m.op('Pow', [x, m.sub(factor, m.scalar(1, x))])));
}

/** Operands that are equally large share the gradient. */
function extreme({ m, node, index, y, dy }: Place): string {
  const winners = node.inputs.map((operand) => m.mask(m.op('Equal', [operand, y]), y));
  if (winners.length === 1) return dy;
  const count = winners.reduce((sum, winner) => m.add(sum, winner));
  return m.div(m.mul(dy, winners[index]!), count);
}
