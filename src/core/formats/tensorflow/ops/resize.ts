import { ints, string } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';

export const resizeOps: OpGroup = {
  ResizeBilinear: (context) => resize(context, 'linear'),
  ResizeNearestNeighbor: (context) => resize(context, 'nearest'),
};

/** Images [N, H, W, C]; the second input is the new height and width. */
function resize(context: OpContext, mode: string): string | readonly string[] {
  const size = context.constant(1);
  if (size?.length !== 2) return context.opaque('its size is computed');
  const corners = context.flag('align_corners', false);
  const middle = context.flag('half_pixel_centers', false);
  const x = context.add('Transpose', [context.input(0)], { perm: ints([0, 3, 1, 2]) });
  const shape = context.add('Shape', [x]);
  const front = context.add('Slice', [shape, context.int64('starts', [0]), context.int64('ends', [2])]);
  const sizes = context.add('Concat', [front, context.int64('size', size)], { axis: { type: 'int', value: 0 } });
  // TensorFlow cuts off the fraction of (x + 1/2) * scale, which is to round the half-pixel place up at the middle.
  const nearest = corners || middle ? 'round_prefer_ceil' : 'floor';
  const y = context.add('Resize', [x, '', '', sizes], {
    mode: string(mode),
    coordinate_transformation_mode: string(corners ? 'align_corners' : middle ? 'half_pixel' : 'asymmetric'),
    ...(mode === 'nearest' && { nearest_mode: string(nearest) }),
  });
  return context.add('Transpose', [y], { perm: ints([0, 2, 3, 1]) });
}
