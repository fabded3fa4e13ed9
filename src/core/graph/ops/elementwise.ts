import { hasAttribute, intOf, withAttributes } from '../attributes';
import type { Dim } from '../modelGraph';
import { isInteger } from '../numeric';
import { broadcast, broadcastRelations, firstOutput, normalAxis } from './axes';
import { elementwiseGradient } from './gradients/elementwise';
import type { OperatorFamily, ShapeContext } from './operator';

/** Operators on several operands, element by element, with numpy broadcasting. */
export const elementwise: OperatorFamily = {
  name: 'elementwise',
  ops: [
    'Add', 'Sub', 'Mul', 'Div', 'Pow', 'Mod', 'Min', 'Max', 'Sum', 'Mean', 'Where', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less',
    'GreaterOrEqual', 'LessOrEqual', 'BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor',
  ],

  upgrade(node, context) {
    const clean = withAttributes(node, { drop: ['consumed_inputs', 'broadcast', 'axis'] });
    const [left = '', right = ''] = node.inputs;
    if (context.fromOpset >= 7 || !hasAttribute(node, 'axis')) return [clean];
    const rank = context.facts(left).shape?.length;
    const ownRank = context.facts(right).shape?.length;
    if (rank === undefined || ownRank === undefined) throw new RangeError('the ranks that its axis attribute refers to are unknown');
    // The second operand's axes began at `axis` of the first; size-1 axes behind it say the same by numpy's rule.
    const behind = rank - normalAxis(intOf(node, 'axis', 0), rank) - ownRank;
    if (behind <= 0) return [clean];
    const wide = context.value('operand');
    const axes = context.int64('axes', Array.from({ length: behind }, (_, index) => ownRank + index));
    return [
      { ...node, op: 'Unsqueeze', inputs: [right, axes], outputs: [wide], attributes: {} },
      { ...clean, inputs: [left, wide] },
    ];
  },

  shape(node, context) {
    const operands = node.inputs.map((input) => context.facts(input));
    const first = operands[node.op === 'Where' ? 1 : 0];
    const shape = broadcast(operands.map((operand) => operand.shape));
    const fold = folds[node.op];
    const constant = fold && shape && shape.length <= 1 ? foldAll(node.inputs, context, fold, shape[0]) : undefined;
    return [{ dtype: logical.has(node.op) ? 'bool' : first?.dtype, shape, constant }];
  },

  flow(node, context) {
    return node.inputs.flatMap((operand) => broadcastRelations(operand, firstOutput(node), context));
  },

  gradient: elementwiseGradient,
};

type Fold = (values: readonly Dim[], integer: boolean) => Dim;

/** Shape arithmetic: scalars and vectors. */
function foldAll(inputs: readonly string[], context: ShapeContext, fold: Fold, size: Dim = 1): readonly Dim[] | undefined {
  const operands = inputs.map((input) => context.facts(input));
  const contents = operands.map((operand) => operand.constant);
  if (size === null || !contents.every((content): content is readonly Dim[] => content !== undefined)) return undefined;
  if (!contents.every((content) => content.length === 1 || content.length === size)) return undefined;
  const integer = operands.every((operand) => operand.dtype === undefined || isInteger(operand.dtype));
  return Array.from({ length: size }, (_, index) =>
    fold(contents.map((content) => content[content.length === 1 ? 0 : index]!), integer));
}

function strict(rule: (values: readonly number[], integer: boolean) => number): Fold {
  return (values, integer) => {
    if (!values.every((value): value is number => value !== null)) return null;
    const result = rule(values, integer);
    return Number.isFinite(result) ? result : null;
  };
}

const compare = (rule: (left: number, right: number) => boolean): Fold =>
  strict(([left = 0, right = 0]) => (rule(left, right) ? 1 : 0));

const folds: Readonly<Record<string, Fold>> = {
  Add: strict(([left = 0, right = 0]) => left + right),
  Sub: strict(([left = 0, right = 0]) => left - right),
  Mul: strict(([left = 0, right = 0]) => left * right),
  Div: strict(([left = 0, right = 1], integer) => (integer ? Math.trunc(left / right) : left / right)),
  Mod: strict(([left = 0, right = 1]) => left - Math.floor(left / right) * right),
  Pow: strict(([left = 0, right = 1]) => left ** right),
  Min: strict((values) => Math.min(...values)),
  Max: strict((values) => Math.max(...values)),
  Sum: strict((values) => values.reduce((sum, value) => sum + value, 0)),
  Equal: compare((left, right) => left === right),
  Greater: compare((left, right) => left > right),
  Less: compare((left, right) => left < right),
  GreaterOrEqual: compare((left, right) => left >= right),
  LessOrEqual: compare((left, right) => left <= right),
  And: compare((left, right) => Boolean(left && right)),
  Or: compare((left, right) => Boolean(left || right)),
  Where: ([condition = null, yes = null, no = null]) => (condition === null ? (yes === no ? yes : null) : condition ? yes : no),
};

const logical = new Set(['And', 'Or', 'Xor', 'Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual']);
