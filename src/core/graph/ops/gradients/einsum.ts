import { string, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { equationOf } from '../einsum';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/** Each operand's gradient is a product of the same kind: of what flows in with the other operands. */
export function einsumGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  if (!dy) return [];
  const ranks = node.inputs.map((input) => context.sizes(input)?.length);
  const terms = ranks.every((rank): rank is number => rank !== undefined) ? equationOf(stringOf(node, 'equation', ''), ranks) : undefined;
  if (!terms) throw new RangeError('its equation does not fit the shapes of its inputs, or these are not known');
  const { operands, output } = terms;
  const m = new Maths(context);
  return node.inputs.map((operand, place) => {
    if (!context.needs(place)) return undefined;
    const labels = operands[place]!;
    const others = operands.flatMap((own, index) => (index === place ? [] : [{ value: node.inputs[index]!, labels: own }]));
    const factors = [{ value: dy, labels: output }, ...others];
    const present = new Set(factors.flatMap((factor) => factor.labels));
    // The second axis of a diagonal gets a letter of its own, tied to the first by a unit matrix.
    const target = labels.map((label, axis) => (labels.indexOf(label) === axis ? label : `${label}/${axis}`));
    target.forEach((label, axis) => {
      if (label === labels[axis]) return;
      const size = m.size(operand, axis);
      const unit = m.op('EyeLike', [m.constantOfShape(0, m.vector(size, size), context.facts(operand).dtype)]);
      factors.push({ value: unit, labels: [labels[axis]!, label] });
      present.add(label);
    });
    // A letter that only this operand has was summed away: all its elements get the same.
    const summed = target.flatMap((label, axis) => (present.has(label) ? [] : [axis]));
    const product = m.op('Einsum', factors.map(({ value }) => value), {
      equation: string(equation(factors.map((factor) => factor.labels), target.filter((label) => present.has(label)))),
    });
    const wide = summed.length ? m.op('Unsqueeze', [product, m.builder.int64(summed)]) : product;
    // What was stretched to meet other operands is summed, what was summed is stretched.
    const narrow = m.sumTo(wide, summed.length ? wide : operand, wide);
    return summed.length ? m.expandLike(narrow, operand) : narrow;
  });
}

const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'];

/** Labels as single letters, as the operator wants them. */
function equation(operands: readonly (readonly string[])[], output: readonly string[]): string {
  const named = [...new Set(operands.flat())];
  if (named.length > letters.length) throw new RangeError('it has more axes than there are letters');
  const text = (labels: readonly string[]): string => labels.map((label) => letters[named.indexOf(label)]).join('');
  return `${operands.map(text).join(',')}->${text(output)}`;
}
