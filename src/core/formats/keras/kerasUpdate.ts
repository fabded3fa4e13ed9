import { ParticlizeError } from '../../graph/errors';
import type { ModelGraph } from '../../graph/modelGraph';
import { isObject, jsonAt, type Json, type JsonPath } from '../containers/json';
import { jsonShape } from './jsonShape';
import type { KerasRecord } from './kerasImport';

/**
 * Corrects a Keras configuration, in place, for a graph whose tensors changed their sizes: filters, units, vocabulary
 * and the like, targets of Reshape, and input shapes that layers repeat. Gives the number of settings that changed.
 */
export function updateKerasConfig(root: Json, record: KerasRecord, original: ModelGraph, graph: ModelGraph): number {
  let changes = 0;
  const set = (path: JsonPath, setting: string, value: Json): void => {
    const config = jsonAt(root, path);
    if (!isObject(config) || JSON.stringify(config[setting]) === JSON.stringify(value)) return;
    config[setting] = value;
    changes++;
  };
  const said = new Map<string, { readonly before: number; readonly after: number }>();
  for (const { path, setting, tensor, axis, divisor = 1, explicit } of record.sizes) {
    const before = original.tensors.get(tensor)?.shape[axis];
    const after = graph.tensors.get(tensor)?.shape[axis];
    // Keras takes both directions of a Bidirectional layer for equally wide, even where each has settings of its own.
    const place = JSON.stringify([path.map((step) => (step === 'backward_layer' ? 'layer' : step)), setting]);
    const other = said.get(place);
    if (before !== undefined && after !== undefined) said.set(place, { before: before / divisor, after: after / divisor });
    if (other && before !== undefined && after !== undefined && other.before === before / divisor && other.after !== after / divisor) {
      throw new ParticlizeError({
        place: `layer ${record.weights.get(tensor)?.layer ?? tensor}`,
        cause: `Keras takes its two directions for equally wide, but '${setting}' would be ${other.after} forwards and ${after / divisor} backwards`,
        action: 'Remove as many from one direction as from the other',
      });
    }
    if (after !== undefined && (after !== before || explicit)) set(path, setting, after / divisor);
  }
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  for (const { path, setting, node } of record.targets) {
    const shape = graph.constants.get(nodes.get(node)?.inputs[1] ?? '');
    const before = original.constants.get(`${original.nodes.find((old) => old.name === node)?.inputs[1]}`);
    if (!shape || !before || shape.join() === before.join()) continue;
    const config = jsonAt(root, path);
    const written = isObject(config) ? config[setting] : undefined;
    set(path, setting, shape.slice(1).map((size, axis) => size === before[axis + 1] && Array.isArray(written) ? written[axis]! : size));
  }
  for (const node of graph.nodes) updateGroups(node.name, node.layer);
  for (const { path, value, index } of record.layerInputs) {
    if (index) continue;
    const before = original.values.get(value)?.shape;
    const after = graph.values.get(value)?.shape;
    if (!before || !after || before.join() === after.join()) continue;
    for (const setting of ['batch_input_shape', 'batch_shape']) {
      const config = jsonAt(root, path);
      const written = isObject(config) ? jsonShape(config[setting]) : undefined;
      if (written?.length !== after.length) continue;
      // Only sizes that changed: the file may be more definite than inference.
      set(path, setting, after.map((size, axis) => size === before[axis] ? written[axis]! : size));
    }
    // Keras builds a wrapped layer (Bidirectional, TimeDistributed) by the shape that its own entry repeats.
    for (const wrapped of ['layer', 'forward_layer', 'backward_layer']) {
      const build = jsonAt(root, [...path, wrapped, 'build_config']);
      const written = isObject(build) ? jsonShape(build['input_shape']) : undefined;
      if (!written) continue;
      // TimeDistributed's layer sees one step.
      const [from, to] = [before, after].map((shape) => (shape.length === written.length + 1 ? [shape[0]!, ...shape.slice(2)] : shape));
      if (to!.length === written.length) set([...path, wrapped, 'build_config'], 'input_shape', to!.map((size, axis) => size === from![axis] ? written[axis]! : size));
    }
  }
  return changes;

  /** A grouped convolution that lost whole groups. */
  function updateGroups(name: string, layer: string): void {
    const old = original.nodes.find((node) => node.name === name)?.attributes.group;
    const now = nodes.get(name)?.attributes.group;
    if (old?.type !== 'int' || now?.type !== 'int' || old.value === now.value) return;
    const size = record.sizes.find(({ tensor, setting }) => setting === 'filters' && tensor.startsWith(`${layer}/`));
    const config = size && jsonAt(root, size.path);
    if (size && isObject(config) && typeof config.groups === 'number') set(size.path, 'groups', now.value);
  }
}
