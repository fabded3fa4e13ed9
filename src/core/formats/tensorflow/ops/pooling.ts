import { int, ints } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';
import { fromChannelsFirst, paddingOf, spatialInts, toChannelsFirst } from './layout';

export const poolingOps: OpGroup = {
  MaxPool: (context) => pool(context, 'MaxPool', 2),
  AvgPool: (context) => pool(context, 'AveragePool', 2),
  MaxPool3D: (context) => pool(context, 'MaxPool', 3),
  AvgPool3D: (context) => pool(context, 'AveragePool', 3),
};

function pool(context: OpContext, op: string, spatial: number): string {
  const window = {
    kernel: spatialInts(context, 'ksize', spatial), strides: spatialInts(context, 'strides', spatial), dilations: new Array<number>(spatial).fill(1),
  };
  const pads = paddingOf(context, spatial, window);
  const x = toChannelsFirst(context, context.input(0), spatial);
  const y = context.add(op, [x], {
    kernel_shape: ints(window.kernel), strides: ints(window.strides), ...pads,
    // TensorFlow's mean leaves the padding out.
    ...(op === 'AveragePool' && { count_include_pad: int(0) }),
  });
  return fromChannelsFirst(context, y, spatial);
}
