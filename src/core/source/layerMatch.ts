import type { LayerDefinition, LayerInstance, SizeRole } from './definition';
import { familyOf, sameFamily } from './layerFamily';
import type { LinkableLayer } from './linkDefinitions';

export function compatible(definition: Pick<LayerDefinition, 'type'>, layer: LinkableLayer, strictly = false): boolean {
  const [a, b] = [familyOf(definition.type), familyOf(layer.type)];
  return a && b ? sameFamily(a, b) : !strictly;
}

/** How code and model contradict each other; undefined when they do not. */
export function sizeConflict(definition: LayerDefinition, layer: LinkableLayer, instance?: LayerInstance): string | undefined {
  const valueOf = (role: SizeRole): number | undefined => {
    const size = definition.sizes.find((one) => one.role === role);
    return size && (instance ? instance.sizes[size.argument] : size.value);
  };
  const width = valueOf('width');
  if (width !== undefined && layer.width !== undefined && width !== layer.width) {
    return `the code says ${width} and the model has ${layer.width}`;
  }
  const input = valueOf('inputWidth');
  const groups = valueOf('groups') ?? 1;
  const shapes = layer.tensors?.map((tensor) => tensor.shape) ?? [];
  // Recurrent layers stack their gates, convolutions divide by their groups: the size is a factor of a dimension.
  const fits = shapes.flat().some((size) => input !== undefined && (size === input || size * groups === input || size % input === 0));
  return input !== undefined && shapes.length > 0 && !fits ? `its input has ${input} channels in the code and not in the model` : undefined;
}

/**
 * A name's path without what exporters add: a leading '/', an operator at the end ('/conv1/Conv'), a path repeated
 * inside itself ('/features/features.0/Conv'), TensorFlow's ':0'.
 */
export function segmentsOf(name: string, known: Map<string, string[]>): string[] {
  let segments = known.get(name);
  if (!segments) known.set(name, (segments = splitName(name)));
  return segments;
}

function splitName(name: string): string[] {
  const folders = name.split('/').filter((one) => one !== '');
  const last = folders.at(-1);
  if (folders.length > 1 && last !== undefined && familyOf(last.split('_')[0] ?? last) !== undefined && isOperator(last)) folders.pop();
  const path = folders.reduce((before, folder) => (folder.startsWith(`${before}.`) ? folder : before ? `${before}.${folder}` : folder), '');
  return path.split('.').map((one) => normalise(one)).filter((one) => one !== '');
}

function isOperator(word: string): boolean {
  const first = word[0] ?? '';
  return first !== first.toLowerCase();
}

function normalise(segment: string): string {
  const [withoutOutput = ''] = segment.split(':');
  return [...withoutOutput.toLowerCase()].filter((one) => one !== '_' && one !== '-' && one !== ' ').join('');
}

