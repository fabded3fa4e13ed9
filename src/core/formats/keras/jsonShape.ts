import type { Dim, Shape } from '../../graph/modelGraph';
import type { Json } from '../containers/json';

/** A shape as Keras writes it ([null, 28, 28, 1]), or undefined when it is none. */
export function jsonShape(value: Json | undefined): Shape | undefined {
  if (!Array.isArray(value)) return undefined;
  const isDim = (item: Json): item is Dim => item === null || (typeof item === 'number' && Number.isInteger(item) && item >= 0);
  return value.every(isDim) ? value : undefined;
}
