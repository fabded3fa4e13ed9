import { ParticlizeError } from '../../graph/errors';
import type { GraphNode, ModelGraph } from '../../graph/modelGraph';
import { asNumbers } from '../../graph/numeric';
import { isObject, type Json, type JsonObject } from '../containers/json';
import { writeTfjsGroup } from '../containers/tfjsWeightWriter';
import type { SavedFile } from '../format';
import type { TfjsGraphOrigin } from '../tfjsGraph';

/**
 * model.json and its shards for the changed graph: shapes of constants corrected, and a constant of its own for every
 * size (the target of a Reshape) that changed, in a shard behind the others.
 */
export async function saveTfjsGraph(origin: TfjsGraphOrigin, original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const root = JSON.parse(origin.text) as JsonObject;
  const topology = root.modelTopology as JsonObject;
  const nodes = new Map<string, JsonObject>();
  for (const node of Array.isArray(topology.node) ? topology.node : []) {
    if (isObject(node) && typeof node.name === 'string') nodes.set(node.name, node);
  }
  const manifest = root.weightsManifest as Json[];
  const changed = [...origin.record.weights].filter(([tensor]) => graph.tensors.has(tensor) && graph.tensors.get(tensor) !== original.tensors.get(tensor));
  const shown = new Map(changed.map(([tensor, weight]) => [weight.weight, { tensor, ...weight }]));
  let changes = 0;
  const files: SavedFile[] = [];
  for (const [index, group] of origin.groups.entries()) {
    const entry = manifest[index];
    if (!isObject(entry)) continue;
    const written = writeTfjsGroup(group, entry, {
      rename: (path) => shardName(path, origin.mainName, mainName),
      replacement(weight) {
        const view = shown.get(weight.name);
        const tensor = view && graph.tensors.get(view.tensor);
        // A constant that nobody reads any more may stay.
        if (!view || !tensor) return undefined;
        const shape = view.shapeInFile(tensor.shape);
        setShape(nodes.get(weight.name), shape);
        return { shape, read: async () => view.toFile(await tensor.read()) };
      },
    });
    changes += written.changes;
    files.push(...written.files);
  }
  const added = await changedInputs(origin, original, graph, nodes);
  if (added.length) {
    changes += added.length;
    topology.node = [...added.map(({ node }) => node), ...withoutUnread(topology.node as Json[], JSON.parse(origin.text) as JsonObject)];
    const path = `${mainName.replace(/\.json$/i, '')}.sizes.bin`;
    manifest.push({ paths: [path], weights: added.map(({ name, shape }) => ({ name, shape: [...shape], dtype: 'int32' })) });
    const bytes = new Uint8Array(Int32Array.from(added.flatMap(({ values }) => [...values])).buffer);
    files.push({ name: path, sizeBytes: bytes.length, async* chunks() { yield bytes; } });
  }
  const bytes = new TextEncoder().encode(changes === 0 ? origin.text : JSON.stringify(root));
  return [{ name: mainName, sizeBytes: bytes.length, async* chunks() { yield bytes; } }, ...files];
}

/** Nodes that computed a size which is a constant now would be taken for outputs. */
function withoutUnread(nodes: readonly Json[], before: JsonObject): Json[] {
  const readIn = (list: readonly Json[]): Set<string> => new Set(list.flatMap((node) => isObject(node) && Array.isArray(node.input)
    ? node.input.map((input) => String(input).replace(/^\^/, '').replace(/:\d+$/, '')) : []));
  const old = isObject(before.modelTopology) && Array.isArray(before.modelTopology.node) ? readIn(before.modelTopology.node) : new Set<string>();
  for (let left = [...nodes]; ; ) {
    const read = readIn(left);
    const next = left.filter((node) => !isObject(node) || !old.has(String(node.name)) || read.has(String(node.name)) || node.op === 'Placeholder');
    if (next.length === left.length) return next;
    left = next;
  }
}

interface AddedConstant {
  readonly name: string;
  readonly values: readonly number[];
  readonly shape: readonly number[];
  readonly node: JsonObject;
}

/** Constants for inputs that surgery replaced; the nodes that read them are corrected. */
async function changedInputs(
  origin: TfjsGraphOrigin, original: ModelGraph, graph: ModelGraph, nodes: ReadonlyMap<string, JsonObject>,
): Promise<AddedConstant[]> {
  const before = new Map(original.nodes.map((node) => [node.name, node]));
  const added: AddedConstant[] = [];
  const add = ({ node, input }: { node: string; input: number }, { values, shape }: { values: readonly number[]; shape: readonly number[] }): void => {
    const target = nodes.get(node);
    const name = `${node}/particlize_${input}`;
    if (!Array.isArray(target?.input) || added.some((one) => one.name === name)) return;
    target.input[input] = name;
    added.push({ name, values, shape, node: constantNode(name, shape) });
  };
  for (const node of graph.nodes) {
    const old = before.get(node.name);
    if (!old) continue;
    refuseAttributes(origin, old, node);
    for (const [index, input] of node.inputs.entries()) {
      if (input === old.inputs[index]) continue;
      const known = origin.record.inputs.get(node.name)?.get(index);
      const tensor = graph.tensors.get(input);
      const target = known && nodes.get(known.node);
      if (!known || !tensor || !target || !Array.isArray(target.input)) throw cannotWrite(origin, node);
      add(known, known.toFile(asNumbers(await tensor.read())));
    }
  }
  for (const follow of origin.record.follows) {
    const [size, now] = [original, graph].map(({ tensors }) => tensors.get(follow.tensor)?.shape[follow.axis]);
    if (now !== undefined && now !== size) add(follow, follow.toFile(now));
  }
  return added;
}

function refuseAttributes(origin: TfjsGraphOrigin, old: GraphNode, node: GraphNode): void {
  if (old.attributes === node.attributes) return;
  for (const [name, value] of Object.entries(node.attributes)) {
    // The number of groups follows from the shapes in TensorFlow.
    if (name !== 'group' && JSON.stringify(value) !== JSON.stringify(old.attributes[name])) throw cannotWrite(origin, node);
  }
}

function cannotWrite(origin: TfjsGraphOrigin, node: GraphNode): ParticlizeError {
  return new ParticlizeError({
    file: origin.mainName, place: `layer ${node.layer}`,
    cause: `the change of its ${node.op} cannot be written into a TensorFlow.js graph`, action: 'Leave this layer and the ones in front of it as they are',
  });
}

function constantNode(name: string, shape: readonly number[]): JsonObject {
  const tensorShape = { dim: shape.map((size) => ({ size: String(size) })) };
  return { name, op: 'Const', attr: { dtype: { type: 'DT_INT32' }, value: { tensor: { dtype: 'DT_INT32', tensorShape } } } };
}

function setShape(node: JsonObject | undefined, shape: readonly number[]): void {
  const attributes = isObject(node?.attr) ? node.attr : {};
  const value = isObject(attributes.value) && isObject(attributes.value.tensor) ? attributes.value.tensor : undefined;
  if (value) value[value.tensor_shape ? 'tensor_shape' : 'tensorShape'] = { dim: shape.map((size) => ({ size: String(size) })) };
  delete attributes._output_shapes;
}

/** A copy under another name must not write over the weights of its original. */
function shardName(path: string, originalMain: string, main: string): string {
  if (originalMain === main) return path;
  const plain = path.replace(/^(\.\/)+/, '');
  const slash = plain.lastIndexOf('/') + 1;
  return `${plain.slice(0, slash)}${main.replace(/\.json$/i, '')}.${plain.slice(slash)}`;
}
