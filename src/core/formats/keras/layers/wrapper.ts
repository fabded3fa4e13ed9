import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';
import { denseLayers } from './dense';
import { ruleOf } from './registry';

/** Layers that apply another layer: the same one to every step of a sequence. */
export const wrapperLayers: LayerGroup = { TimeDistributed: timeDistributed };

function timeDistributed(context: LayerContext): KerasValue | readonly KerasValue[] {
  const input = context.input();
  const direct = context.wrapped('layer', [input]);
  if (!direct) return context.opaque();
  // A dense layer looks at the last axis only, so that the steps need not be moved.
  if (denseLayers[direct.className]) return denseLayers[direct.className]!(direct);
  const [batch = null, steps, ...rest] = input.shape ?? [];
  const rule = ruleOf(direct.className);
  const known = rest.every((size): size is number => size !== null);
  if (!rule || typeof steps !== 'number' || !rest.length || !known) return context.opaque();
  // [N, T, ...] -> [N*T, ...], the layer, and back.
  const flat = context.node('Reshape', [input.name, context.int64('steps', [-1, ...rest])]);
  const made = rule(context.wrapped('layer', [{ ...input, name: flat, shape: [null, ...rest] }])!);
  const [output] = Array.isArray(made) ? made as readonly KerasValue[] : [made as KerasValue];
  const after = output?.shape?.slice(1);
  if (!output || !after?.every((size): size is number => size !== null)) context.fail('the size of what it makes of one step is not known');
  return { ...output, name: context.node('Reshape', [output.name, context.int64('sequence', [-1, steps, ...after])]), shape: [batch, steps, ...after] };
}
