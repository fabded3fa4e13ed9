import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { isObject, type Json, type JsonObject, type JsonPath } from './containers/json';
import { openTfjsWeights, tfjsTensor, type TfjsWeightGroup } from './containers/tfjsWeights';
import { writeTfjsGroup } from './containers/tfjsWeightWriter';
import type { Format, SavedFile } from './format';
import { isKerasModel, parseKerasModel } from './keras/kerasConfig';
import { importKeras, type KerasRecord } from './keras/kerasImport';
import { updateKerasConfig } from './keras/kerasUpdate';
import { weightsByName } from './keras/namedWeights';
import { fileShape, unviewWeight } from './keras/weightView';

/** A Keras model as TensorFlow.js saves it: model.json with the topology and a weights manifest, and weight shards. */
export const tfjsLayers: Format = {
  id: 'tfjs-layers',
  title: 'TensorFlow.js layers',
  extensions: ['.json'],
  match,
  open,
  save,
};

interface TfjsOrigin {
  readonly mainName: string;
  readonly text: string;
  readonly groups: readonly TfjsWeightGroup[];
  readonly record: KerasRecord;
}

/** Topologies are text without weights; one that is larger is something else. */
const largestTopologyBytes = 64 * 2 ** 20;
const smallBytes = 4 * 2 ** 20;

async function match(files: FileSet, head: Uint8Array): Promise<boolean> {
  const start = new TextDecoder().decode(head).replace(/^\uFEFF/, '').trimStart();
  if (!start.startsWith('{') || /"format"\s*:\s*"graph-model"/.test(start)) return false;
  if (files.main.sizeBytes > smallBytes) return /"modelTopology"\s*:\s*\{\s*"(class_name|keras_version|model_config|backend)"/.test(start);
  try {
    return topologyOf(JSON.parse(await textOf(files)) as Json) !== undefined;
  } catch {
    // Garbled, or a model file whose head alone can be read: claimed when it looks like one, so that opening says why.
    return /"modelTopology"\s*:/.test(start) && /"class_name"|"keras_version"/.test(start);
  }
}

async function open(files: FileSet): Promise<ModelGraph> {
  const file = files.main.name;
  const text = await textOf(files);
  const root = parseJson(text, file);
  const topology = topologyOf(root);
  if (!topology || !isObject(root)) {
    throw new ParticlizeError({ file, place: 'modelTopology', cause: 'it does not hold a Keras model' });
  }
  const model = parseKerasModel(topology.value, file, topology.path);
  const groups = await openTfjsWeights(files, root.weightsManifest);
  if (!groups.length) {
    throw new ParticlizeError({
      file, place: 'weightsManifest', cause: 'the model has no weights with it',
      action: 'Save the model with its weights (model.save), not its topology alone',
    });
  }
  const tensors = groups.flatMap((group) => group.weights.map((weight) => tfjsTensor(group, weight)));
  const imported = importKeras(model, weightsByName(tensors), {
    file, dialect: { hardSigmoidSlope: 0.2, bilinear: 'asymmetric' },
  });
  const { record, ...parts } = imported;
  const origin: TfjsOrigin = { mainName: file, text, groups, record };
  return finishGraph({ ...parts, format: tfjsLayers.id, producer: producerOf(root), opset: 18, origin });
}

async function textOf(files: FileSet): Promise<string> {
  const { main } = files;
  if (main.sizeBytes > largestTopologyBytes) {
    throw new ParticlizeError({ file: main.name, cause: `${main.sizeBytes} bytes are too many for a model topology` });
  }
  return new TextDecoder().decode(await main.read(0, main.sizeBytes)).replace(/^\uFEFF/, '');
}

function parseJson(text: string, file: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ParticlizeError({
      file, cause: `it is not valid JSON: ${reason}`, action: 'The file is damaged or was cut; save or copy it again',
    }, { cause: error });
  }
}

/** The Keras model inside a model.json: the topology itself, or the model_config that the Python converter keeps. */
function topologyOf(root: Json): { readonly value: JsonObject; readonly path: JsonPath } | undefined {
  const topology = isObject(root) ? root.modelTopology : undefined;
  if (!isObject(topology)) return undefined;
  const { model_config: inner } = topology;
  if (looksLikeKeras(inner)) return { value: inner, path: ['modelTopology', 'model_config'] };
  return looksLikeKeras(topology) ? { value: topology, path: ['modelTopology'] } : undefined;
}

/** Also a Keras class that Particlize cannot read, so that opening says so instead of "unknown file". */
function looksLikeKeras(value: Json | undefined): value is JsonObject {
  return isKerasModel(value) || (isObject(value) && typeof value.class_name === 'string' && value.config !== undefined);
}

function producerOf(root: JsonObject): string {
  const { modelTopology, generatedBy, convertedBy } = root;
  const version = isObject(modelTopology) ? modelTopology.keras_version : undefined;
  const by = [generatedBy, typeof version === 'string' ? (/tfjs/.test(version) ? version : `Keras ${version}`) : undefined]
    .find((name) => typeof name === 'string') ?? 'TensorFlow.js';
  return typeof convertedBy === 'string' ? `${by}, ${convertedBy}` : String(by);
}

async function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const origin = original.origin as TfjsOrigin;
  const root = JSON.parse(origin.text) as JsonObject;
  let changes = updateKerasConfig(root, origin.record, original, graph);
  const manifest = Array.isArray(root.weightsManifest) ? root.weightsManifest : [];
  const shown = new Map([...origin.record.weights].map(([tensor, record]) => [record.weight, { tensor, ...record }]));
  const files: SavedFile[] = [];
  for (const [index, group] of origin.groups.entries()) {
    const entry = manifest[index];
    if (!isObject(entry)) continue;
    const written = writeTfjsGroup(group, entry, {
      rename: (path) => shardName(path, origin.mainName, mainName),
      replacement(weight) {
        const view = shown.get(weight.name);
        if (!view || graph.tensors.get(view.tensor) === original.tensors.get(view.tensor)) return undefined;
        const tensor = graph.tensors.get(view.tensor);
        if (!tensor) throw goneError(origin.mainName, view.layer, weight.name);
        return { shape: fileShape(tensor.shape, view.layout), read: async () => unviewWeight(await tensor.read(), view.layout) };
      },
    });
    changes += written.changes;
    files.push(...written.files);
  }
  const text = changes === 0 ? origin.text : JSON.stringify(root, undefined, indentOf(origin.text));
  const bytes = new TextEncoder().encode(text);
  return [{ name: mainName, sizeBytes: bytes.length, async* chunks() { yield bytes; } }, ...files];
}

function goneError(file: string, layer: string, weight: string): ParticlizeError {
  return new ParticlizeError({
    file, place: `layer ${layer}`,
    cause: `its weight ${weight} is gone, and a TensorFlow.js layers file must hold every weight of its layers`,
  });
}

/** A copy under another name must not write over the weights of its original: 'small.json' gets 'small.group1-shard1of1.bin'. */
function shardName(path: string, originalMain: string, main: string): string {
  if (originalMain === main) return path;
  const plain = path.replace(/^(\.\/)+/, '');
  const slash = plain.lastIndexOf('/') + 1;
  return `${plain.slice(0, slash)}${main.replace(/\.json$/i, '')}.${plain.slice(slash)}`;
}

function indentOf(text: string): string | undefined {
  return /^\{\r?\n([ \t]+)"/.exec(text)?.[1];
}
