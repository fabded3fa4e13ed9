import type { ByteSource, FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { hdf5At, looksLikeHdf5, openHdf5, type Hdf5Group } from './containers/hdf5';
import { withText } from './containers/hdf5Writer';
import { isObject, type Json, type JsonObject } from './containers/json';
import { copied } from './containers/zipWriter';
import type { Format, SavedFile } from './format';
import { isKerasModel, parseKerasModel } from './keras/kerasConfig';
import { importKeras, type KerasRecord } from './keras/kerasImport';
import { updateKerasConfig } from './keras/kerasUpdate';
import { archiveWeights } from './kerasArchiveWeights';
import { rewriteWeights, type KerasFile } from './kerasH5Save';
import { h5Weights } from './keras/kerasH5Weights';
import { namedTensorGraph } from './namedTensors';

/** Keras models and weights in HDF5: model.save('x.h5') of Keras 1 to 3, save_weights of any version. */
export const kerasH5: Format = {
  id: 'keras-h5',
  title: 'Keras HDF5',
  extensions: ['.h5', '.hdf5'],
  match: ({ main }, head) => looksLikeHdf5(head) || /\.(h5|hdf5)$/i.test(main.name),
  open,
  save,
};

interface H5Origin {
  readonly source: ByteSource;
  readonly configText: string | undefined;
  readonly file: KerasFile;
}

/** Keras 3 counts the slope of hard_sigmoid and the middle of pixels as PyTorch does. */
export function dialectOf(version: string | undefined): { readonly hardSigmoidSlope: number; readonly bilinear: 'half_pixel' } {
  return { hardSigmoidSlope: version !== undefined && Number.parseInt(version) >= 3 ? 1 / 6 : 0.2, bilinear: 'half_pixel' };
}

async function open({ main }: FileSet): Promise<ModelGraph> {
  const root = await openHdf5(main);
  const configText = textOf(root, 'model_config');
  const version = textOf(root, 'keras_version') ?? textOf(hdf5At(root, 'model_weights'), 'keras_version');
  const producer = `Keras${version ? ` ${version}` : ''}`;
  const config = configText === undefined ? undefined : parseJson(configText, main.name, 'model_config');
  if (!isKerasModel(config)) return openWeights(main, root, producer, config);
  const group = hdf5At(root, 'model_weights');
  if (group?.kind !== 'group') {
    throw new ParticlizeError({ file: main.name, place: 'model_weights', cause: 'the model has no weights with it', action: 'Save the model again with model.save' });
  }
  const store = h5Weights(group);
  const { record, ...parts } = importKeras(parseKerasModel(config, main.name, []), store.weights, { file: main.name, dialect: dialectOf(version) });
  const origin: H5Origin = { source: main, configText, file: { name: main.name, root, store, record } };
  return finishGraph({ ...parts, format: kerasH5.id, producer, opset: 18, origin });
}

/** Weights alone, or those of a model class that is nowhere but in somebody's source. */
async function openWeights(main: ByteSource, root: Hdf5Group, producer: string, config: Json | undefined): Promise<ModelGraph> {
  const inner = hdf5At(root, 'model_weights');
  const group = inner?.kind === 'group' ? inner : root;
  const modern = ['layers', '_layer_checkpoint_dependencies'].some((name) => group.children.get(name)?.kind === 'group') || group.children.has('vars');
  const store = modern ? archiveWeights(group, undefined) : h5Weights(group);
  if (store.named.length === 0) {
    throw new ParticlizeError({ file: main.name, cause: 'this HDF5 file holds no weights of a Keras model', action: 'Save the model with model.save or its weights with model.save_weights' });
  }
  const origin: H5Origin = { source: main, configText: undefined, file: { name: main.name, root, store, record: emptyRecord } };
  return namedTensorGraph({
    format: kerasH5.id, producer, tensors: store.named, origin,
    findings: config === undefined ? [] : [customClass(config)],
  });
}

export const emptyRecord: KerasRecord = { weights: new Map(), sizes: [], targets: [], layerInputs: [] };

export function customClass(config: Json): { severity: 'warning'; place: string; message: string } {
  const name = isObject(config) && typeof config.class_name === 'string' ? `'${config.class_name}'` : 'unknown';
  return {
    severity: 'warning', place: 'config',
    message: `the model's class ${name} is code that is not in the file, so that only its weights can be shown; save a Functional or Sequential model to see its layers`,
  };
}

export function parseJson(text: string, file: string, place: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json;
    if (isObject(value)) return value;
  } catch (error) {
    throw new ParticlizeError({
      file, place, cause: `it is not valid JSON: ${error instanceof Error ? error.message : String(error)}`, action: 'The file is damaged; save it again',
    }, { cause: error });
  }
  throw new ParticlizeError({ file, place, cause: 'it does not hold a model configuration' });
}

function textOf(object: ReturnType<typeof hdf5At>, name: string): string | undefined {
  const value = object?.attributes.get(name)?.values?.[0];
  return typeof value === 'string' ? value : undefined;
}

function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const { source, configText, file } = original.origin as H5Origin;
  if (graph === original || sameTensors(original, graph)) {
    return Promise.resolve([{ name: mainName, sizeBytes: source.sizeBytes, chunks: () => copied(source, 0, source.sizeBytes) }]);
  }
  if (configText === undefined) return Promise.reject(nothingToChange(file.name));
  const config = JSON.parse(configText) as JsonObject;
  updateKerasConfig(config, file.record, original, graph);
  const written = rewriteWeights(file, original, graph, (root) => {
    root.attributes.set('model_config', withText(file.root.attributes.get('model_config')!, JSON.stringify(config)));
  });
  return Promise.resolve([{ name: mainName, ...written }]);
}

export function nothingToChange(file: string): ParticlizeError {
  return new ParticlizeError({ file, cause: 'the file holds weights without a layer graph, so that nothing in it can be changed' });
}

export function sameTensors(original: ModelGraph, graph: ModelGraph): boolean {
  return graph.tensors.size === original.tensors.size && [...graph.tensors].every(([name, tensor]) => original.tensors.get(name) === tensor);
}
