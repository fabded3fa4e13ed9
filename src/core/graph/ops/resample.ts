import { floatOf, floatsOf, hasAttribute, intsOf, string, stringOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { barriers, firstInput, firstOutput, normalAxis, plain, range, unknownShapes } from './axes';
import { resampleGradient } from './gradients/resample';
import type { OperatorFamily, Relation, ShapeContext, UpgradeContext } from './operator';

/** Resize (and Upsample, its forerunner): up- and downsampling of pictures; channels stay apart. */
export const resample: OperatorFamily = {
  name: 'resample',
  ops: ['Resize', 'Upsample'],

  upgrade(node, context) {
    if (node.op === 'Resize' && context.fromOpset >= 11) return [node];
    return upgradeScales(node, context);
  },

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (!shape) return [{ dtype }];
    const axes = intsOf(node, 'axes')?.map((axis) => normalAxis(axis, shape.length)) ?? range(0, shape.length);
    const [scales, sizes] = targetsOf(node, context);
    if (stringOf(node, 'keep_aspect_ratio_policy', 'stretch') !== 'stretch') return [{ dtype, shape: shape.map(() => null) }];
    const out = shape.map((dim, axis): Dim => {
      const place = axes.indexOf(axis);
      if (place < 0) return dim;
      if (sizes) return sizes[place] ?? null;
      const scale = scales?.[place] ?? null;
      return scale === null || dim === null ? null : Math.floor(dim * Math.fround(scale));
    });
    return [{ dtype, shape: out }];
  },

  flow(node, context): Relation[] {
    const x = firstInput(node);
    const y = firstOutput(node);
    const before = context.facts(x).shape;
    const after = context.facts(y).shape;
    if (!before || !after) return unknownShapes(node, context);
    return range(0, before.length).flatMap((axis): Relation[] => axis < 2 && before[axis] === after[axis]
      ? [plain(x, axis, y, axis)]
      : [x, y].flatMap((value) => barriers(value, [axis], 'resampling goes over this axis')));
  },

  resize(node, context) {
    const [, sizes] = targetsOf(node, context);
    const channels = context.after(firstOutput(node)).shape?.[1];
    if (!sizes || hasAttribute(node, 'axes') || typeof channels !== 'number' || channels === sizes[1]) return node;
    if (!sizes.every((size): size is number => size !== null)) return node;
    const next = sizes.map((size, axis) => (axis === 1 ? channels : size));
    return { ...node, inputs: [...node.inputs.slice(0, 3), context.int64('sizes', next)] };
  },

  gradient: resampleGradient,
};

/** Scales and sizes, of which an empty one counts as absent. */
function targetsOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): readonly [scales?: readonly Dim[], sizes?: readonly Dim[]] {
  const contents = (input: number): readonly Dim[] | undefined => {
    const { constant } = context.facts(node.inputs[input] ?? '');
    return constant?.length ? constant : undefined;
  };
  return [contents(2), contents(3)];
}

/** Upsample and Resize-10 sampled as 'asymmetric'; the scales were attributes, then the second input. */
function upgradeScales(node: GraphNode, context: UpgradeContext): readonly GraphNode[] {
  const mode = stringOf(node, 'mode', 'nearest');
  const values = floatsOf(node, 'scales') ?? (hasAttribute(node, 'width_scale')
    ? [1, 1, floatOf(node, 'height_scale', 1), floatOf(node, 'width_scale', 1)]
    : undefined);
  const scales = values ? context.float32('scales', values, [values.length]) : node.inputs[1] ?? '';
  const known = context.facts(scales).constant;
  const shrinks = node.op === 'Resize' && known?.some((scale) => scale !== null && scale < 1);
  const bare = withAttributes(node, {
    drop: ['scales', 'width_scale', 'height_scale', 'mode'],
    set: {
      mode: string(mode === 'bilinear' ? 'linear' : mode), coordinate_transformation_mode: string('asymmetric'),
      ...(mode === 'nearest' && { nearest_mode: string(shrinks ? 'ceil' : 'floor') }),
    },
  });
  return [{ ...bare, op: 'Resize', inputs: [firstInput(node), '', scales] }];
}
