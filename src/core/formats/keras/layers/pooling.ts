import { int, ints, string } from '../../../graph/attributes';
import type { Attribute } from '../../../graph/modelGraph';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { fromChannelsFirst, toChannelsFirst, windowed } from '../layout';

export const poolingLayers: LayerGroup = {
  MaxPooling1D: (context) => pool(context, 'MaxPool', 1),
  MaxPooling2D: (context) => pool(context, 'MaxPool', 2),
  MaxPooling3D: (context) => pool(context, 'MaxPool', 3),
  AveragePooling1D: (context) => pool(context, 'AveragePool', 1),
  AveragePooling2D: (context) => pool(context, 'AveragePool', 2),
  AveragePooling3D: (context) => pool(context, 'AveragePool', 3),
  MaxPool1D: (context) => pool(context, 'MaxPool', 1),
  MaxPool2D: (context) => pool(context, 'MaxPool', 2),
  AvgPool1D: (context) => pool(context, 'AveragePool', 1),
  AvgPool2D: (context) => pool(context, 'AveragePool', 2),
  GlobalAveragePooling1D: (context) => globalPool(context, 'GlobalAveragePool', 1),
  GlobalAveragePooling2D: (context) => globalPool(context, 'GlobalAveragePool', 2),
  GlobalAveragePooling3D: (context) => globalPool(context, 'GlobalAveragePool', 3),
  GlobalMaxPooling1D: (context) => globalPool(context, 'GlobalMaxPool', 1),
  GlobalMaxPooling2D: (context) => globalPool(context, 'GlobalMaxPool', 2),
  GlobalMaxPooling3D: (context) => globalPool(context, 'GlobalMaxPool', 3),
};

function pool(context: LayerContext, op: string, spatial: number): KerasValue {
  const input = toChannelsFirst(context, context.input(), spatial);
  const kernel = context.sizes('pool_size', spatial, new Array<number>(spatial).fill(2));
  const strides = context.sizes('strides', spatial, kernel);
  const padding = context.text('padding', 'valid');
  const attributes: Record<string, Attribute> = { kernel_shape: ints(kernel), strides: ints(strides) };
  if (padding === 'same') attributes.auto_pad = string('SAME_UPPER');
  else if (padding !== 'valid') context.fail(`its padding '${padding}' is not one of valid and same`);
  // TensorFlow's mean leaves the padding out.
  if (op === 'AveragePool') attributes.count_include_pad = int(0);
  const sizes = kernel.map((size, axis) => windowed(input.shape?.[axis + 2], {
    kernel: size, stride: strides[axis]!, dilation: 1, padding,
  }));
  const shape = input.shape && [...input.shape.slice(0, 2), ...sizes];
  return fromChannelsFirst(context, { name: context.node(op, [input.name], attributes), shape }, spatial);
}

function globalPool(context: LayerContext, op: string, spatial: number): KerasValue {
  const input = toChannelsFirst(context, context.input(), spatial);
  const shape = input.shape && [...input.shape.slice(0, 2), ...new Array<number>(spatial).fill(1)];
  const pooled = { name: context.node(op, [input.name]), shape };
  if (context.flag('keepdims', false)) return fromChannelsFirst(context, pooled, spatial);
  return { name: context.node('Flatten', [pooled.name], { axis: int(1) }), shape: shape?.slice(0, 2) };
}
