import { float, int } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';
import { fromChannelsFirst, toChannelsFirst } from './layout';

export const normOps: OpGroup = {
  FusedBatchNorm: batchNorm,
  FusedBatchNormV2: batchNorm,
  FusedBatchNormV3: batchNorm,
  LRN(context) {
    const x = toChannelsFirst(context, context.input(0), 2);
    const size = 2 * context.int('depth_radius', 5) + 1;
    // ONNX divides alpha by the number of channels that it looks at.
    const y = context.add('LRN', [x], {
      size: int(size), alpha: float(context.float('alpha', 1) * size), beta: float(context.float('beta', 0.5)), bias: float(context.float('bias', 1)),
    });
    return fromChannelsFirst(context, y, 2);
  },
};

/** Scale, offset, mean, variance, as ONNX orders them. */
function batchNorm(context: OpContext): string | readonly string[] {
  if (context.flag('is_training', true)) return context.opaque('it is in training mode: export the model for inference');
  const x = toChannelsFirst(context, context.input(0), 2);
  const y = context.add('BatchNormalization', [x, ...[1, 2, 3, 4].map((index) => context.input(index))], { epsilon: float(context.float('epsilon', 1e-4)) });
  return fromChannelsFirst(context, y, 2);
}
