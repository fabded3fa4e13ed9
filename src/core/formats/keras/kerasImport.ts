import { ParticlizeError, type Finding } from '../../graph/errors';
import type { GraphNode, Layer, ValueInfo } from '../../graph/modelGraph';
import type { DType, Tensor } from '../../graph/tensor';
import type { Json, JsonPath } from '../containers/json';
import { jsonShape } from './jsonShape';
import type { KerasLayerConfig, KerasModelConfig, TensorRef } from './kerasConfig';
import { LayerBuilder, type SharedLayer } from './layerBuilder';
import type { KerasDialect, KerasValue } from './layerRule';
import { ruleOf } from './layers/registry';
import type { KerasWeights } from './namedWeights';
import type { WeightLayout } from './weightView';

/** What a writer needs to carry changes of the graph back into a Keras file. */
export interface KerasRecord {
  /** By tensor of the graph: the file's weight that it shows, and how. */
  readonly weights: ReadonlyMap<string, { readonly weight: string; readonly layout: WeightLayout; readonly layer: string }>;
  /** Settings of a layer's config (at `path`) that are the size of a tensor's axis. */
  readonly sizes: readonly { readonly path: JsonPath; readonly setting: string; readonly tensor: string; readonly axis: number; readonly divisor?: number; readonly explicit?: boolean }[];
  /** Settings that are the target of a Reshape node, without the batch. */
  readonly targets: readonly { readonly path: JsonPath; readonly setting: string; readonly node: string }[];
  /** The values that each layer's first call reads; `index` behind the first. */
  readonly layerInputs: readonly { readonly path: JsonPath; readonly value: string; readonly index?: number }[];
}

/** The parts of a GraphDraft that follow from a Keras configuration. */
export interface KerasImport {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly Layer[];
  readonly declared: ReadonlyMap<string, ValueInfo>;
  readonly findings: readonly Finding[];
  readonly record: KerasRecord;
}

/**
 * Translates a Keras model into ONNX's vocabulary. Values keep Keras's own layout at the borders of every layer; inside
 * a channels-last layer Transposes surround the operator. Throws a ParticlizeError naming the layer.
 */
export function importKeras(
  model: KerasModelConfig, weights: KerasWeights, { file, dialect }: { file: string; dialect: KerasDialect },
): KerasImport {
  const importer = new Importer(weights, file, dialect);
  const outputs = importer.run(model, [], undefined);
  return importer.finish(outputs);
}

class Importer {
  private readonly inputs: ValueInfo[] = [];
  private readonly nodes: GraphNode[] = [];
  private readonly tensors = new Map<string, Tensor>();
  private readonly layers = new Map<string, SharedLayer>();
  private readonly declared = new Map<string, ValueInfo>();
  private readonly findings: Finding[] = [];
  private readonly names = new Set<string>();
  private readonly shown = new Map<string, string>();
  private readonly record = {
    weights: new Map<string, { weight: string; layout: WeightLayout; layer: string }>(),
    sizes: [] as KerasRecord['sizes'][number][],
    targets: [] as KerasRecord['targets'][number][],
    layerInputs: [] as KerasRecord['layerInputs'][number][],
  };

  constructor(
    private readonly weights: KerasWeights, private readonly file: string, private readonly dialect: KerasDialect,
  ) {}

  /** Adds a model's layers, fed with the values of an outer model or with inputs of its own; gives its outputs. */
  run(model: KerasModelConfig, prefix: readonly string[], given: readonly KerasValue[] | undefined): readonly KerasValue[] {
    // In the order of the file, which is how its own tools list them.
    for (const layer of model.layers) if (!layer.model) this.sharedLayer(layer, prefix);
    return model.sequential ? [this.runSequential(model, prefix, given?.[0])] : this.runFunctional(model, prefix, given);
  }

  finish(outputs: readonly KerasValue[]): KerasImport {
    return {
      inputs: this.inputs,
      outputs: outputs.map(({ name, shape, dtype = 'float32' }) => ({ name, dtype, ...(shape && { shape }) })),
      nodes: this.nodes, tensors: this.tensors, declared: this.declared, findings: this.findings, record: this.record,
      layers: [...this.layers.values()].map(({ name, type, nodes, weights, outputShape }) => ({
        name, type, nodes, tensors: [...weights.values()], ...(outputShape && { outputShape }),
      })),
    };
  }

  private runSequential(model: KerasModelConfig, prefix: readonly string[], given: KerasValue | undefined): KerasValue {
    const [first, ...others] = model.layers;
    if (!first) throw new ParticlizeError({ file: this.file, place: `model ${model.name}`, cause: 'it has no layers' });
    const fed = first.className === 'InputLayer';
    let value = given ?? this.addInput(fed ? first.name : `${first.name}_input`, inputLayerOf(first), model.buildInputShape);
    if (fed) this.noteInputShape(first, prefix, value);
    for (const layer of fed ? others : model.layers) {
      const [output] = this.call(layer, prefix, [value]);
      if (!output) throw this.error(layer, prefix, 'it gives no output');
      value = output;
    }
    return value;
  }

  private runFunctional(
    model: KerasModelConfig, prefix: readonly string[], given: readonly KerasValue[] | undefined,
  ): readonly KerasValue[] {
    const values = new Map<string, readonly KerasValue[]>();
    const inputLayers = model.layers.filter((layer) => layer.className === 'InputLayer');
    const order = [...new Set([...model.inputs.map((ref) => ref.layer), ...inputLayers.map((layer) => layer.name)])];
    if (given && given.length !== order.length) {
      throw new ParticlizeError({
        file: this.file, place: `model ${[...prefix, model.name].join('/')}`,
        cause: `it has ${order.length} inputs but is given ${given.length}`,
      });
    }
    for (const layer of inputLayers) {
      const value = given?.[order.indexOf(layer.name)] ?? this.addInput(layer.name, layer, undefined);
      this.noteInputShape(layer, prefix, value);
      values.set(key(layer.name, 0), [value]);
    }
    this.runCalls(model, prefix, values);
    return model.outputs.map((ref) => {
      const value = this.resolve(ref, values);
      if (value) return value;
      throw new ParticlizeError({
        file: this.file, place: `model ${model.name}`, cause: `its output is layer '${ref.layer}', which gives nothing`,
      });
    });
  }

  /** Runs every call once its inputs are there, whatever order the file lists the layers in. */
  private runCalls(model: KerasModelConfig, prefix: readonly string[], values: Map<string, readonly KerasValue[]>): void {
    let waiting = model.layers.flatMap((layer) => layer.className === 'InputLayer' ? []
      : layer.calls.map((refs, call) => ({ layer, refs, call })));
    while (waiting.length) {
      const later = waiting.filter(({ layer, refs, call }) => {
        const inputs = refs.map((ref) => this.resolve(ref, values));
        if (!inputs.every((input): input is KerasValue => input !== undefined)) return true;
        values.set(key(layer.name, call), this.call(layer, prefix, inputs));
        return false;
      });
      if (later.length === waiting.length) {
        const { layer, refs } = later[0]!;
        const missing = refs.find((ref) => !this.resolve(ref, values));
        throw this.error(layer, prefix, `it reads layer '${missing?.layer}', which is missing or depends on it`);
      }
      waiting = later;
    }
  }

  private call(layer: KerasLayerConfig, prefix: readonly string[], inputs: readonly KerasValue[]): readonly KerasValue[] {
    if (layer.model) return this.run(layer.model, [...prefix, layer.name], inputs);
    const shared = this.sharedLayer(layer, prefix);
    const builder = new LayerBuilder({
      file: this.file, dialect: this.dialect, weights: this.weights, names: this.names, shown: this.shown, nodes: this.nodes,
      tensors: this.tensors, findings: this.findings, record: this.record, shared, config: layer.config, path: layer.path,
    }, inputs);
    if (shared.calls++ === 0) {
      inputs.forEach(({ name }, index) => this.record.layerInputs.push({ path: layer.path, value: name, ...(index > 0 && { index }) }));
    }
    const rule = ruleOf(layer.className);
    const outputs = builder.finish(rule ? rule(builder) : builder.opaque());
    for (const { name, shape, dtype = 'float32' } of outputs) if (shape) this.declared.set(name, { name, shape, dtype });
    return outputs;
  }

  private resolve(ref: TensorRef, values: ReadonlyMap<string, readonly KerasValue[]>): KerasValue | undefined {
    const outputs = values.get(key(ref.layer, ref.call));
    const value = outputs?.[ref.tensor];
    if (value || !outputs?.[0]) return value;
    // Only layers that nothing is known about give more than one tensor; their node gets one more output.
    const producer = this.nodes.findIndex((node) => node.outputs.includes(outputs[0]!.name));
    const node = this.nodes[producer];
    if (node?.domain !== 'keras') return undefined;
    const wanted = Array.from({ length: ref.tensor + 1 }, (_, index) => index === 0 ? outputs[0]!.name : `${outputs[0]!.name}:${index}`);
    if (wanted.length > node.outputs.length) this.nodes[producer] = { ...node, outputs: wanted };
    return { name: wanted[ref.tensor]! };
  }

  private addInput(name: string, layer: KerasLayerConfig, buildInputShape: Json | undefined): KerasValue {
    const { config } = layer;
    const listed = jsonShape(config.batch_input_shape) ?? jsonShape(config.batch_shape) ?? jsonShape(buildInputShape);
    const { dtype } = config;
    const input = { name, ...(listed && { shape: listed }), dtype: inputTypes.get(typeof dtype === 'string' ? dtype : '') ?? 'float32' };
    this.names.add(name);
    this.inputs.push(input);
    return input;
  }

  private noteInputShape(layer: KerasLayerConfig, prefix: readonly string[], value: KerasValue): void {
    this.sharedLayer(layer, prefix).outputShape ??= value.shape;
  }

  private sharedLayer(layer: KerasLayerConfig, prefix: readonly string[]): SharedLayer {
    const path = [...prefix, layer.name];
    const name = path.join('/');
    let shared = this.layers.get(name);
    if (!shared) {
      shared = { name, path, type: layer.className, nodes: [], weights: new Map(), calls: 0 };
      this.layers.set(name, shared);
    }
    return shared;
  }

  private error(layer: KerasLayerConfig, prefix: readonly string[], cause: string): ParticlizeError {
    return new ParticlizeError({ file: this.file, place: `layer ${[...prefix, layer.name].join('/')}`, cause });
  }
}

const inputTypes = new Map<string, DType>([
  ['float32', 'float32'], ['float64', 'float32'], ['float16', 'float32'], ['int32', 'int32'], ['int64', 'int64'],
  ['uint8', 'uint8'], ['bool', 'bool'],
]);

/** The layer that says what a Sequential model is fed with: its first, inside its first when that is a model. */
function inputLayerOf(layer: KerasLayerConfig): KerasLayerConfig {
  const inner = layer.model?.layers[0];
  return inner ? inputLayerOf(inner) : layer;
}

function key(layer: string, call: number): string {
  return `${call} ${layer}`;
}
