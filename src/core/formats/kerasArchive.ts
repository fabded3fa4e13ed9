import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { looksLikeHdf5, openHdf5 } from './containers/hdf5';
import { isObject, jsonAt, type JsonObject } from './containers/json';
import { looksLikeZip, openZip, type ZipArchive } from './containers/zip';
import { copied, zipFile, type ZipPart } from './containers/zipWriter';
import type { Format, SavedFile } from './format';
import { jsonShape } from './keras/jsonShape';
import { isKerasModel, parseKerasModel } from './keras/kerasConfig';
import { importKeras, type KerasRecord } from './keras/kerasImport';
import { updateKerasConfig } from './keras/kerasUpdate';
import { archiveWeights } from './kerasArchiveWeights';
import { customClass, dialectOf, emptyRecord, nothingToChange, parseJson, sameTensors } from './kerasH5';
import { rewriteWeights, type KerasFile } from './kerasH5Save';
import { namedTensorGraph } from './namedTensors';

/** Keras 3's own format: a zip archive of a configuration and an HDF5 file of weights. */
export const kerasArchive: Format = {
  id: 'keras',
  title: 'Keras',
  extensions: ['.keras'],
  match,
  open,
  save,
};

interface ArchiveOrigin {
  readonly zip: ZipArchive;
  readonly configText: string;
  readonly changeable: boolean;
  readonly file: KerasFile;
}

const configName = 'config.json';
const weightsName = 'model.weights.h5';
const largestConfigBytes = 64 * 2 ** 20;

async function match({ main }: FileSet, head: Uint8Array): Promise<boolean> {
  // Older Keras wrote HDF5 under this name as well.
  if (/\.keras$/i.test(main.name)) return !looksLikeHdf5(head);
  if (!looksLikeZip(head)) return false;
  try {
    const { entries } = await openZip(main);
    return entries.has(configName) && entries.has(weightsName);
  } catch {
    return false;
  }
}

async function open({ main }: FileSet): Promise<ModelGraph> {
  const zip = await openZip(main);
  const entry = zip.entry(configName);
  const configText = new TextDecoder().decode(await zip.readAll(entry, largestConfigBytes));
  const config = parseJson(configText, main.name, configName);
  const version = await versionOf(zip);
  const producer = `Keras${version ? ` ${version}` : ''}`;
  const weights = zip.entries.get(weightsName);
  if (!weights) {
    const npz = [...zip.entries.keys()].find((name) => /\.weights\.(npz|json)$/.test(name));
    throw new ParticlizeError({
      file: main.name, place: weightsName,
      cause: npz ? `its weights are in ${npz}, which Particlize does not read` : 'the archive holds no weights',
      action: 'Save the model again with model.save',
    });
  }
  const root = await openHdf5(await zip.open(weights));
  if (!isKerasModel(config)) {
    const store = archiveWeights(root, undefined);
    const origin: ArchiveOrigin = { zip, configText, changeable: false, file: { name: main.name, root, store, record: emptyRecord } };
    return namedTensorGraph({ format: kerasArchive.id, producer, tensors: store.named, origin, findings: [customClass(config)] });
  }
  const model = parseKerasModel(config, main.name, []);
  const store = archiveWeights(root, model);
  const { record, ...parts } = importKeras(model, store.weights, { file: main.name, dialect: dialectOf(version) });
  const origin: ArchiveOrigin = { zip, configText, changeable: true, file: { name: main.name, root, store, record } };
  return finishGraph({ ...parts, format: kerasArchive.id, producer, opset: 18, origin });
}

async function versionOf(zip: ZipArchive): Promise<string | undefined> {
  const entry = zip.entries.get('metadata.json');
  if (!entry) return undefined;
  try {
    const metadata = JSON.parse(new TextDecoder().decode(await zip.readAll(entry, 1 << 20))) as JsonObject | null;
    return typeof metadata?.keras_version === 'string' ? metadata.keras_version : undefined;
  } catch {
    // It only names the version.
    return undefined;
  }
}

function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const { zip, configText, changeable, file } = original.origin as ArchiveOrigin;
  const { source } = zip;
  if (sameTensors(original, graph)) {
    return Promise.resolve([{ name: mainName, sizeBytes: source.sizeBytes, chunks: () => copied(source, 0, source.sizeBytes) }]);
  }
  if (!changeable) return Promise.reject(nothingToChange(file.name));
  const config = JSON.parse(configText) as JsonObject;
  updateKerasConfig(config, file.record, original, graph);
  updateBuildConfigs(config, file.record, original, graph);
  const weights = rewriteWeights(file, original, graph, () => undefined);
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  const parts = [...zip.entries.values()].map((entry): ZipPart => {
    if (entry.name === configName) return { name: entry.name, sizeBytes: bytes.length, read: () => Promise.resolve(bytes) };
    if (entry.name === weightsName) return { name: entry.name, sizeBytes: weights.sizeBytes, read: () => whole(weights) };
    return { name: entry.name, copy: entry, from: zip };
  });
  return Promise.resolve([{ name: mainName, ...zipFile(parts) }]);
}

/** Keras 3 builds every layer for the input that it had when it was saved, before the layers are connected. */
function updateBuildConfigs(config: JsonObject, record: KerasRecord, original: ModelGraph, graph: ModelGraph): void {
  for (const { path, value, index = 0 } of record.layerInputs) {
    const before = original.values.get(value)?.shape;
    const after = graph.values.get(value)?.shape;
    const layer = jsonAt(config, path.slice(0, -1));
    const build = isObject(layer) ? layer.build_config : undefined;
    if (!before || !after || before.join() === after.join() || !isObject(build)) continue;
    // Layers of several inputs list them by name, in the order of their arguments (query, value, key).
    const { shapes_dict: listed } = build;
    const [shapes, name] = isObject(listed) ? [listed, Object.keys(listed)[index]] : [build, index === 0 ? 'input_shape' : undefined];
    const written = name === undefined ? undefined : jsonShape(shapes[name]);
    if (written?.length === after.length) shapes[name!] = after.map((size, axis) => size === before[axis] ? written[axis]! : size);
  }
}

async function whole({ sizeBytes, chunks }: { readonly sizeBytes: number; chunks(): AsyncIterable<Uint8Array> }): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for await (const chunk of chunks()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
