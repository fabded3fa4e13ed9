import { int, intOf, stringOf } from '../../attributes';
import type { GraphNode } from '../../modelGraph';
import { firstInput } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/** Picking goes back by adding, and placing by picking. */
export function scatterGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  const [data = '', indices = '', updates = ''] = node.inputs;
  if (!dy) return [];
  const m = new Maths(context);
  const x = firstInput(node);
  if (node.op === 'GatherElements') {
    const axis = int(intOf(node, 'axis', 0));
    return [m.op('ScatterElements', [m.constantLike(0, x), indices, dy], { axis, reduction: { type: 'string', value: 'add' } })];
  }
  if (node.op === 'GatherND') return [m.scatterBack(dy, x, (numbers) => m.op('GatherND', [numbers, indices], node.attributes))];
  const reduction = stringOf(node, 'reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add') throw new RangeError(`it places elements by ${reduction}`);
  const pick = node.op === 'ScatterND' ? 'GatherND' : 'GatherElements';
  const { reduction: _, ...attributes } = node.attributes;
  const ofData = (): string => (reduction === 'add' ? dy : m.op(node.op, [dy, indices, m.constantLike(0, updates)], attributes));
  return [
    data && context.needs(0) ? ofData() : undefined,
    undefined,
    context.needs(2) ? m.op(pick, [dy, indices], pick === 'GatherND' ? {} : attributes) : undefined,
  ];
}
