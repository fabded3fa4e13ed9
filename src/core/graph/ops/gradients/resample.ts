import { ints, intsOf, stringOf } from '../../attributes';
import type { Attribute, GraphNode } from '../../modelGraph';
import { firstInput, firstOutput, normalAxis, range } from '../axes';
import type { GradientContext } from '../operator';
import { Maths } from './maths';

/**
 * Resize is linear and takes each axis by itself, so that for each axis there is a matrix [to, from]: what it makes of
 * the unit vectors. Backwards each axis is multiplied by it, whatever the mode of interpolation.
 */
export function resampleGradient(node: GraphNode, context: GradientContext): readonly (string | undefined)[] {
  const [dy] = context.outputs;
  if (!dy) return [];
  const x = firstInput(node);
  const y = firstOutput(node);
  if (stringOf(node, 'coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize') throw new RangeError('it also crops');
  const rank = context.sizes(x)?.length;
  if (rank === undefined) throw new RangeError('the shape of its input is not known');
  const m = new Maths(context);
  const [before, after] = [context.facts(x).shape, context.facts(y).shape];
  const axes = (intsOf(node, 'axes') ?? range(0, rank)).map((axis) => normalAxis(axis, rank));
  const scales = context.facts(node.inputs[2] ?? '').constant;
  const gradient = axes.reduce((flowing, axis, place) => {
    if (scales?.length && scales[place] === 1) return flowing;
    if (!scales?.length && before && after && before[axis] !== null && before[axis] === after[axis]) return flowing;
    // Batches and channels of a size that is not known are hardly ever resampled, but their sizes stand among the targets.
    if (!scales?.length && axis < 2 && before?.[axis] === null) return flowing;
    return alongAxis(m, flowing, axis, rank, matrix(m, node, x, y, axis, place));
  }, dy);
  return [gradient];
}

/** What the operator makes of each unit vector of one axis: [to, from]. */
function matrix(m: Maths, node: GraphNode, x: string, y: string, axis: number, place: number): string {
  const size = m.size(x, axis);
  const { dtype } = m.builder.facts(x);
  const unit = m.op('EyeLike', [m.constantOfShape(0, m.vector(size, size), dtype)]);
  const { axes: _, ...attributes } = node.attributes as Record<string, Attribute>;
  const at = (input: string): string => m.op('Slice', [input, m.builder.int64([place]), m.builder.int64([place + 1])]);
  const scales = node.inputs[2];
  if (scales && m.builder.facts(scales).shape?.[0] !== 0) {
    const both = m.op('Concat', [at(scales), m.builder.float32([1])], { axis: { type: 'int', value: 0 } });
    return m.op('Resize', [unit, '', both], attributes);
  }
  return m.op('Resize', [unit, '', '', m.vector(m.size(y, axis), size)], { ...attributes, keep_aspect_ratio_policy: { type: 'string', value: 'stretch' } });
}

function alongAxis(m: Maths, dy: string, axis: number, rank: number, weights: string): string {
  if (axis === rank - 1) return m.op('MatMul', [dy, weights]);
  const transposed = m.op('Transpose', [weights], { perm: ints([1, 0]) });
  if (axis === rank - 2) return m.op('MatMul', [transposed, dy]);
  const others = range(0, rank).filter((own) => own !== axis);
  const last = m.op('MatMul', [m.transpose(dy, [...others, axis]), weights]);
  const order = [...others, axis];
  return m.transpose(last, range(0, rank).map((own) => order.indexOf(own)));
}
