import type { LayerRule } from '../layerRule';
import { activationLayers } from './activation';
import { convLayers } from './conv';
import { coreLayers } from './core';
import { denseLayers } from './dense';
import { mergeLayers } from './merge';
import { normLayers } from './norm';
import { poolingLayers } from './pooling';
import { recurrentLayers } from './recurrent';
import { reshapeLayers } from './reshape';

/** Every Keras layer that Particlize reads; a new group is one file and one line here. */
const rules = new Map<string, LayerRule>(Object.entries({
  ...activationLayers,
  ...convLayers,
  ...coreLayers,
  ...denseLayers,
  ...mergeLayers,
  ...normLayers,
  ...poolingLayers,
  ...recurrentLayers,
  ...reshapeLayers,
}));

/** The rule of a layer class, or undefined when it is opaque. */
export function ruleOf(className: string): LayerRule | undefined {
  return rules.get(className);
}
