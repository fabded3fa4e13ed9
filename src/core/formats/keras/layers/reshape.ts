import { int, string } from '../../../graph/attributes';
import type { Dim } from '../../../graph/modelGraph';
import type { Json } from '../../containers/json';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { fromChannelsFirst, isChannelsFirst, range, toChannelsFirst, transpose } from '../layout';

export const reshapeLayers: LayerGroup = {
  Flatten(context) {
    let input = context.input();
    const rank = input.shape?.length ?? 0;
    // Keras flattens in channels-last order whatever the data format.
    if (isChannelsFirst(context) && rank > 2) input = transpose(context, input, [0, ...range(2, rank - 2), 1]);
    const sizes = input.shape?.slice(1);
    return {
      ...input,
      name: context.node('Flatten', [input.name], { axis: int(1) }),
      shape: sizes && [input.shape?.[0] ?? null, product(sizes)],
    };
  },
  Reshape(context) {
    const input = context.input();
    const setting = context.setting('target_shape');
    // TensorFlow.js writes null for the open size.
    const target = wholeNumbers(Array.isArray(setting) ? setting.map((size) => size ?? -1) : setting) ?? context.fail('its target_shape is not a list of sizes');
    const name = context.node('Reshape', [input.name, context.int64('shape', [0, ...target])]);
    context.followsTarget('target_shape', name);
    const total = input.shape ? product(input.shape.slice(1)) : null;
    const known = product(target.filter((size) => size !== -1)) ?? 1;
    const rest = total === null || known === 0 ? null : total / known;
    if (rest !== null && (target.includes(-1) ? !Number.isInteger(rest) : rest !== 1)) {
      context.fail(`its target_shape [${target.join(', ')}] does not hold ${total} elements`);
    }
    return { ...input, name, shape: [input.shape?.[0] ?? null, ...target.map((size) => size === -1 ? rest : size)] };
  },
  Permute(context) {
    const dims = wholeNumbers(context.setting('dims')) ?? context.fail('its dims are not a list of axes');
    return transpose(context, context.input(), [0, ...dims]);
  },
  RepeatVector(context) {
    const input = context.input();
    const count = context.number('n', 1);
    const middle = context.node('Unsqueeze', [input.name, context.int64('axes', [1])]);
    const name = context.node('Expand', [middle, context.int64('shape', [1, count, 1])]);
    return { ...input, name, shape: [input.shape?.[0] ?? null, count, input.shape?.[1] ?? null] };
  },
  ZeroPadding1D: (context) => zeroPadding(context, 1),
  ZeroPadding2D: (context) => zeroPadding(context, 2),
  ZeroPadding3D: (context) => zeroPadding(context, 3),
  Cropping1D: (context) => cropping(context, 1),
  Cropping2D: (context) => cropping(context, 2),
  Cropping3D: (context) => cropping(context, 3),
  UpSampling1D: (context) => upSampling(context, 1),
  UpSampling2D: (context) => upSampling(context, 2),
  UpSampling3D: (context) => upSampling(context, 3),
};

function zeroPadding(context: LayerContext, spatial: number): KerasValue {
  const input = context.input();
  const amounts = onSpatialAxes(context, spatial, edges(context, 'padding', spatial));
  const pads = context.int64('pads', [...amounts.map(([before]) => before), ...amounts.map(([, after]) => after)]);
  return {
    ...input,
    name: context.node('Pad', [input.name, pads, context.float32('zero', [0])], { mode: string('constant') }),
    shape: input.shape?.map((size, axis) => size === null ? null : size + amounts[axis]![0] + amounts[axis]![1]),
  };
}

function cropping(context: LayerContext, spatial: number): KerasValue {
  const input = context.input();
  const amounts = onSpatialAxes(context, spatial, edges(context, 'cropping', spatial));
  const cut = range(0, amounts.length).filter((axis) => amounts[axis]!.some((amount) => amount > 0));
  const largest = 2 ** 31 - 1;
  const name = context.node('Slice', [
    input.name,
    context.int64('starts', cut.map((axis) => amounts[axis]![0])),
    context.int64('ends', cut.map((axis) => amounts[axis]![1] === 0 ? largest : -amounts[axis]![1])),
    context.int64('axes', cut),
  ]);
  const shape = input.shape?.map((size, axis) => size === null ? null : Math.max(0, size - amounts[axis]![0] - amounts[axis]![1]));
  return { ...input, name, shape };
}

function upSampling(context: LayerContext, spatial: number): KerasValue {
  const input = toChannelsFirst(context, context.input(), spatial);
  const scales = context.sizes('size', spatial, new Array<number>(spatial).fill(2));
  const interpolation = context.text('interpolation', 'nearest');
  if (interpolation !== 'nearest' && interpolation !== 'bilinear') return context.opaque();
  const linear = interpolation === 'bilinear';
  const name = context.node('Resize', [input.name, '', context.float32('scales', [1, 1, ...scales], [spatial + 2])], {
    mode: string(linear ? 'linear' : 'nearest'),
    coordinate_transformation_mode: string(linear ? context.dialect.bilinear : 'asymmetric'),
    ...(!linear && { nearest_mode: string('floor') }),
  });
  const shape = input.shape?.map((size, axis) => size === null ? null : size * (scales[axis - 2] ?? 1));
  return fromChannelsFirst(context, { ...input, name, shape }, spatial);
}

type Edge = readonly [before: number, after: number];

/** n, [n, m] (both sides of each axis alike; in one dimension the two sides) or [[before, after], ...]. */
function edges(context: LayerContext, name: string, spatial: number): readonly Edge[] {
  const setting = context.setting(name) ?? 1;
  if (typeof setting === 'number') return range(0, spatial).map(() => [setting, setting]);
  const list = Array.isArray(setting) ? setting : [];
  const numbers = wholeNumbers(list);
  if (spatial === 1 && numbers?.length === 2) return [[numbers[0]!, numbers[1]!]];
  if (numbers?.length === spatial) return numbers.map((amount) => [amount, amount]);
  const pairs = list.map((item) => wholeNumbers(item));
  if (pairs.length !== spatial || pairs.some((pair) => pair?.length !== 2)) {
    context.fail(`its ${name} ${JSON.stringify(setting)} is not understood`);
  }
  return pairs.map((pair) => [pair![0]!, pair![1]!]);
}

/** Amounts for all axes of the input in Keras's layout. */
function onSpatialAxes(context: LayerContext, spatial: number, amounts: readonly Edge[]): readonly Edge[] {
  const rank = context.input().shape?.length;
  if (rank !== undefined && rank !== spatial + 2) context.fail(`it takes ${spatial + 2} axes, batch and channels included, but gets ${rank}`);
  const none: Edge = [0, 0];
  // One-dimensional layers have no data format.
  return spatial > 1 && isChannelsFirst(context) ? [none, none, ...amounts] : [none, ...amounts, none];
}

function wholeNumbers(value: Json | undefined): readonly number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.every((item): item is number => typeof item === 'number' && Number.isInteger(item)) ? value : undefined;
}

function product(sizes: readonly Dim[]): Dim {
  return sizes.reduce<Dim>((result, size) => result === null || size === null ? null : result * size, 1);
}
