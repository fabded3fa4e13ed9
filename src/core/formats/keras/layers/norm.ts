import { float, int } from '../../../graph/attributes';
import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { normalAxis, range, transpose } from '../layout';

export const normLayers: LayerGroup = {
  BatchNormalization: batchNormalization,
  BatchNormalizationV1: batchNormalization,
  BatchNormalizationV2: batchNormalization,
  LayerNormalization(context) {
    const input = context.input();
    const axis = axisOf(context, input);
    const scaled = context.flag('scale', true) ? context.weight('gamma', { rank: 1 }) : undefined;
    const centred = context.flag('center', true) ? context.weight('beta', { rank: 1 }) : undefined;
    const width = scaled?.shape[0] ?? centred?.shape[0] ?? input.shape?.[axis];
    if (!input.shape || axis !== input.shape.length - 1 || width == null) return context.opaque(input.shape);
    const gamma = scaled?.name ?? context.float32('gamma', new Array<number>(width).fill(1), [width]);
    const name = context.node('LayerNormalization', [input.name, gamma, ...(centred ? [centred.name] : [])], {
      axis: int(axis), epsilon: float(context.number('epsilon', 1e-3)),
    });
    return { ...input, name };
  },
};

function batchNormalization(context: LayerContext): KerasValue {
  const input = context.input();
  const axis = axisOf(context, input);
  if (axis < 0) context.fail('the shape of its input is not known, so its axis is not either');
  const gamma = context.flag('scale', true) ? context.weight('gamma', { rank: 1 }).name : undefined;
  const beta = context.flag('center', true) ? context.weight('beta', { rank: 1 }).name : undefined;
  const mean = context.weight('moving_mean', { rank: 1 });
  const variance = context.weight('moving_variance', { rank: 1 });
  const width = mean.shape[0]!;
  const channels = input.shape?.[axis];
  if (channels !== null && channels !== undefined && channels !== width) {
    context.fail(`it has ${width} channels but its input has ${channels}`);
  }
  const scale = gamma ?? context.float32('gamma', new Array<number>(width).fill(1), [width]);
  const shift = beta ?? context.float32('beta', new Array<number>(width).fill(0), [width]);
  const apply = (value: KerasValue): KerasValue => ({
    ...value,
    name: context.node('BatchNormalization', [value.name, scale, shift, mean.name, variance.name], {
      epsilon: float(context.number('epsilon', 1e-3)), momentum: float(context.number('momentum', 0.99)),
    }),
  });
  if (axis === 1) return apply(input);
  const rank = input.shape?.length ?? 0;
  const others = range(0, rank).filter((index) => index !== axis && index !== 0);
  const forward = [0, axis, ...others];
  const back = range(0, rank).map((index) => forward.indexOf(index));
  return transpose(context, apply(transpose(context, input, forward)), back);
}

/** One axis, as a number or a list of one; counted from the front where the rank is known. */
function axisOf(context: LayerContext, input: KerasValue): number {
  const setting = context.setting('axis') ?? -1;
  const axis = Array.isArray(setting) && setting.length === 1 ? setting[0] : setting;
  if (typeof axis !== 'number') context.fail('it normalises several axes, which Particlize does not know');
  return normalAxis(axis, input.shape);
}
