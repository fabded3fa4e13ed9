import { int } from '../../../graph/attributes';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';

/** Layers that hold no computation of their own, or a lookup. */
export const coreLayers: LayerGroup = {
  Dropout(context) {
    const input = context.input();
    return { ...input, name: context.node('Dropout', [input.name, context.float32('ratio', [context.number('rate', 0.5)])]) };
  },
  SpatialDropout1D: identity,
  SpatialDropout2D: identity,
  SpatialDropout3D: identity,
  AlphaDropout: identity,
  GaussianDropout: identity,
  GaussianNoise: identity,
  ActivityRegularization: identity,
  Embedding(context) {
    const input = context.input();
    const table = context.weight('embeddings', { rank: 2 });
    context.follows('input_dim', table.name, 0);
    context.follows('output_dim', table.name, 1);
    if (context.flag('mask_zero', false)) {
      context.report('padding (index 0) is not masked: recurrent layers and means behind it count padded steps as well');
    }
    const whole = input.dtype === 'int32' || input.dtype === 'int64';
    // TensorFlow cuts floats to whole numbers before it looks them up.
    const indices = whole ? input.name : context.node('Cast', [input.name], { to: int(onnxInt32) });
    const name = context.node('Gather', [table.name, indices], { axis: int(0) });
    return { name, shape: input.shape && [...input.shape, table.shape[1]!] };
  },
};

/** TensorProto.INT32 */
const onnxInt32 = 6;

function identity(context: LayerContext): KerasValue {
  const input = context.input();
  return { ...input, name: context.node('Identity', [input.name]) };
}
