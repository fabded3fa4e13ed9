import type { LayerGroup, LayerRule } from '../layerRule';
import { activationLayers } from './activation';
import { attentionLayers } from './attention';
import { convLayers } from './conv';
import { coreLayers } from './core';
import { denseLayers } from './dense';
import { mergeLayers } from './merge';
import { normLayers } from './norm';
import { poolingLayers } from './pooling';
import { recurrentLayers } from './recurrent';
import { reshapeLayers } from './reshape';
import { wrapperLayers } from './wrapper';

/** Every Keras layer that Particlize reads; a new group is one file and one line here. */
const groups = (): LayerGroup => ({
  ...activationLayers,
  ...attentionLayers,
  ...convLayers,
  ...coreLayers,
  ...denseLayers,
  ...mergeLayers,
  ...normLayers,
  ...poolingLayers,
  ...recurrentLayers,
  ...reshapeLayers,
  ...wrapperLayers,
});
let rules: ReadonlyMap<string, LayerRule> | undefined;

/** The rule of a layer class, or undefined when it is opaque. */
export function ruleOf(className: string): LayerRule | undefined {
  // Made on first use: wrappers ask for the rules of other layers, so that the files import each other.
  rules ??= new Map(Object.entries(groups()));
  return rules.get(className);
}
