import { ParticlizeError } from '../../graph/errors';
import { isObject, type Json, type JsonObject, type JsonPath } from '../containers/json';

/** An output of one call of a layer: Keras's (layer name, node index, tensor index). */
export interface TensorRef {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
}

export interface KerasLayerConfig {
  readonly name: string;
  readonly className: string;
  readonly config: JsonObject;
  /** Where `config` lies in the document. */
  readonly path: JsonPath;
  /** The inputs of each call; a layer that is called twice is shared. Empty in a Sequential model. */
  readonly calls: readonly (readonly TensorRef[])[];
  /** Set when the layer is itself a model. */
  readonly model?: KerasModelConfig;
}

export interface KerasModelConfig {
  readonly name: string;
  readonly sequential: boolean;
  readonly layers: readonly KerasLayerConfig[];
  readonly inputs: readonly TensorRef[];
  readonly outputs: readonly TensorRef[];
  /** `build_input_shape` of a Sequential model that names no input shape elsewhere. */
  readonly buildInputShape?: Json;
}

const modelClasses = new Set(['Sequential', 'Model', 'Functional']);
const deepestNesting = 32;

export function isKerasModel(value: Json | undefined): value is JsonObject {
  return isObject(value) && typeof value.class_name === 'string' && modelClasses.has(value.class_name)
    && (isObject(value.config) || Array.isArray(value.config));
}

/**
 * Reads a Keras model configuration (Keras 1 lists, Keras 2, Keras 3, TF.js), whose root lies at `path` of `file`.
 * Throws a ParticlizeError naming the layer when it makes no sense.
 */
export function parseKerasModel(value: Json | undefined, file: string, path: JsonPath, depth = 0): KerasModelConfig {
  const where = path.join('.');
  if (!isKerasModel(value)) {
    throw new ParticlizeError({
      file, place: where,
      cause: `this is not a Sequential or Functional model${isObject(value) ? ` but ${JSON.stringify(value.class_name)}` : ''}`,
      action: 'Models made of custom classes have no layer graph in the file: save a Functional model',
    });
  }
  if (depth > deepestNesting) throw new ParticlizeError({ file, place: where, cause: 'models are nested too deeply' });
  const { config } = value;
  const listed = Array.isArray(config) ? config : isObject(config) ? config.layers : undefined;
  if (!Array.isArray(listed)) throw new ParticlizeError({ file, place: where, cause: 'the model lists no layers' });
  const layersPath = [...path, 'config', ...(Array.isArray(config) ? [] : ['layers'])];
  const layers = listed.map((layer, index) => parseLayer(layer, file, [...layersPath, index], depth));
  requireUniqueNames(layers, file);
  const settings: JsonObject = isObject(config) ? config : {};
  const model = {
    name: typeof settings.name === 'string' ? settings.name : 'model',
    sequential: value.class_name === 'Sequential',
    layers,
    inputs: refsOf(settings.input_layers),
    outputs: refsOf(settings.output_layers),
    buildInputShape: settings.build_input_shape,
  };
  return countedFromZero(model);
}

/**
 * A nested model has been called once before anything calls it: by itself, when it was made. Most versions of Keras
 * count that as its call 0, so that the file's own calls start at 1; some do not.
 */
function countedFromZero(model: KerasModelConfig): KerasModelConfig {
  const refs = [...model.outputs, ...model.layers.flatMap((layer) => layer.calls.flat())];
  const late = new Set<string>();
  for (const { name, calls, model: inner } of model.layers) {
    const indices = inner ? refs.filter((ref) => ref.layer === name).map((ref) => ref.call) : [];
    if (indices.length && (Math.max(...indices) >= calls.length || !indices.includes(0))) late.add(name);
  }
  if (late.size === 0) return model;
  const shift = (ref: TensorRef): TensorRef => late.has(ref.layer) ? { ...ref, call: ref.call - 1 } : ref;
  return {
    ...model,
    outputs: model.outputs.map(shift),
    layers: model.layers.map((layer) => ({ ...layer, calls: layer.calls.map((call) => call.map(shift)) })),
  };
}

function parseLayer(value: Json, file: string, path: JsonPath, depth: number): KerasLayerConfig {
  const place = path.join('.');
  if (!isObject(value) || typeof value.class_name !== 'string') {
    throw new ParticlizeError({ file, place, cause: 'this layer has no class_name' });
  }
  let config: JsonObject = isObject(value.config) ? value.config : {};
  const name = [value.name, config.name].find((candidate) => typeof candidate === 'string' && candidate !== '');
  const model = isKerasModel(value) ? parseKerasModel(value, file, path, depth + 1) : undefined;
  const layerName = typeof name === 'string' ? name : model?.name;
  if (layerName === undefined) throw new ParticlizeError({ file, place, cause: `this ${value.class_name} has no name` });
  const inbound = Array.isArray(value.inbound_nodes) ? value.inbound_nodes : [];
  // Said in the call, not in the layer; nothing else that a call says changes what is computed.
  if (JSON.stringify(inbound).includes('"use_causal_mask":true')) config = { ...config, use_causal_mask: true };
  return {
    name: layerName, className: value.class_name, config, path: [...path, 'config'], model,
    calls: inbound.map((call) => isObject(call) ? historiesIn(call) : refsOf(call)),
  };
}

function requireUniqueNames(layers: readonly KerasLayerConfig[], file: string): void {
  const seen = new Set<string>();
  for (const { name } of layers) {
    if (seen.has(name)) throw new ParticlizeError({ file, place: `layer ${name}`, cause: 'two layers have this name' });
    seen.add(name);
  }
}

/** ["layer", 0, 0] (Keras 3, one tensor), [["layer", 0, 0, {}], ...] (Keras 2), or names to these (named inputs). */
function refsOf(value: Json | undefined): readonly TensorRef[] {
  if (isObject(value)) return Object.values(value).flatMap((item) => refsOf(item));
  if (!Array.isArray(value)) return [];
  const [layer, call, tensor, ...rest] = value;
  if (typeof layer === 'string' && typeof call === 'number' && typeof tensor === 'number') {
    return [{ layer, call, tensor }, ...rest.flatMap((item) => isObject(item) ? keywordRefs(item) : [])];
  }
  return value.flatMap((item) => refsOf(item));
}

/** Keras 2 writes tensors that were passed by keyword into the options of the first one. */
function keywordRefs(options: JsonObject): readonly TensorRef[] {
  return Object.values(options).flatMap((option) => Array.isArray(option) && typeof option[0] === 'string' ? refsOf(option) : []);
}

/** Keras 3: tensors anywhere in a call's args and kwargs, by their history. */
function historiesIn(value: Json | undefined): readonly TensorRef[] {
  if (Array.isArray(value)) return value.flatMap((item) => historiesIn(item));
  if (!isObject(value)) return [];
  if (value.class_name === '__keras_tensor__' && isObject(value.config)) return refsOf(value.config.keras_history);
  return Object.values(value).flatMap((item) => historiesIn(item));
}
