import { ParticlizeError, type Finding } from '../../graph/errors';
import { unique } from '../../graph/finishGraph';
import type { Attribute, GraphNode, Shape } from '../../graph/modelGraph';
import { float32Array, int64Array } from '../../graph/numeric';
import { tensorOf, type NdArray, type Tensor } from '../../graph/tensor';
import { isObject, type Json, type JsonObject, type JsonPath } from '../containers/json';
import type { KerasDialect, KerasValue, LayerContext, WeightRef } from './layerRule';
import type { KerasRecord } from './kerasImport';
import type { KerasWeights } from './namedWeights';
import { viewWeight, type WeightLayout } from './weightView';

/** A layer and what its calls have added so far. */
export interface SharedLayer {
  readonly name: string;
  /** The way through nested models. */
  readonly path: readonly string[];
  readonly type: string;
  readonly nodes: string[];
  /** Tensors of the graph by Keras's name of the weight. */
  readonly weights: Map<string, string>;
  calls: number;
  outputShape?: Shape;
}

/** The graph that is being made, and the layer whose call is read. */
export interface BuilderTarget {
  readonly file: string;
  readonly dialect: KerasDialect;
  readonly weights: KerasWeights;
  readonly names: Set<string>;
  readonly nodes: GraphNode[];
  readonly tensors: Map<string, Tensor>;
  readonly findings: Finding[];
  readonly record: {
    readonly weights: Map<string, { weight: string; layout: WeightLayout; layer: string }>;
    readonly sizes: KerasRecord['sizes'][number][];
    readonly targets: KerasRecord['targets'][number][];
  };
  /** Tensors of the graph by the file's weight and the way it is shown. */
  readonly shown: Map<string, string>;
  readonly shared: SharedLayer;
  readonly config: JsonObject;
  readonly path: JsonPath;
  /** Inside a wrapper: the class of the wrapped layer, and how its part of the weights is called. */
  readonly className?: string;
  readonly part?: string;
}

/** The {@link LayerContext} of one call of a layer. */
export class LayerBuilder implements LayerContext {
  readonly className: string;
  readonly config: JsonObject;
  readonly dialect: KerasDialect;
  private readonly firstNode: number;

  constructor(
    private readonly target: BuilderTarget, readonly inputs: readonly KerasValue[], private readonly counter = { weights: 0 },
  ) {
    this.className = target.className ?? target.shared.type;
    this.config = target.config;
    this.dialect = target.dialect;
    this.firstNode = target.nodes.length;
  }

  input(): KerasValue {
    return this.inputs[0] ?? this.fail('it has no input');
  }

  setting(name: string): Json | undefined {
    return this.config[name];
  }

  number(name: string, otherwise: number): number {
    const value = this.setting(name) ?? otherwise;
    return typeof value === 'number' ? value : this.fail(`its ${name} ${JSON.stringify(value)} is not a number`);
  }

  text(name: string, otherwise: string): string {
    const value = this.setting(name);
    return typeof value === 'string' ? value : otherwise;
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.setting(name);
    return typeof value === 'boolean' ? value : otherwise;
  }

  sizes(name: string, count: number, otherwise?: readonly number[]): readonly number[] {
    const setting = this.setting(name) ?? otherwise;
    const list: unknown[] = Array.isArray(setting) ? setting : new Array<unknown>(count).fill(setting);
    const whole = list.every((item): item is number => typeof item === 'number' && Number.isInteger(item) && item > 0);
    if (!whole || (list.length !== count && list.length !== 1)) {
      this.fail(`its ${name} ${JSON.stringify(this.setting(name))} is not ${count === 1 ? 'a size' : `${count} sizes`}`);
    }
    return list.length === count ? list : new Array<number>(count).fill(list[0]!);
  }

  weight(name: string, { axes, rank = axes?.length, merge = false, alias, gates, heads }: Parameters<LayerContext['weight']>[1] = {}): WeightRef {
    const { shared, weights, tensors, record, part } = this.target;
    const suffix = part ? `${part}/${name}` : name;
    const position = this.counter.weights++;
    const known = shared.weights.get(suffix);
    if (known !== undefined) {
      return { name: known, shape: tensors.get(known)!.shape, multiplier: record.weights.get(known)?.layout.multiplier ?? 1 };
    }
    const weight = weights.find(shared.path, suffix, position)
      ?? (alias === undefined ? undefined : weights.find(shared.path, alias, position))
      ?? this.fail(`its weight '${suffix}' is not in the file`, 'Save the model again with all its weights');
    if (rank !== undefined && weight.shape.length !== rank) {
      this.fail(`its weight '${suffix}' has the shape [${weight.shape.join(', ')}] where ${rank} axes are needed`);
    }
    const order = axes ?? weight.shape.map((_, axis) => axis);
    // From the weight: TensorFlow.js does not write the depth_multiplier of every layer.
    const multiplier = merge ? weight.shape[order[1]!]! : 1;
    const layout: WeightLayout = { axes: order, ...(multiplier !== 1 && { multiplier }), ...(gates && { gates }), ...(heads && { heads }) };
    const tensor = this.show(weight, layout, suffix);
    return { name: tensor.name, shape: tensor.shape, multiplier };
  }

  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain = ''): string {
    const { shared, names, nodes } = this.target;
    const name = unique(`${shared.name}/${op}`, names);
    nodes.push({ name, op, domain, inputs, outputs: [name], attributes, layer: shared.name });
    shared.nodes.push(name);
    return name;
  }

  nodes(
    op: string, inputs: readonly string[], wanted: readonly boolean[], attributes: Readonly<Record<string, Attribute>> = {},
  ): readonly string[] {
    const { shared, names, nodes } = this.target;
    const name = unique(`${shared.name}/${op}`, names);
    const outputs = wanted.map((used, index) => (used ? unique(`${name}:${index}`, names) : ''));
    nodes.push({ name, op, domain: '', inputs, outputs, attributes, layer: shared.name });
    shared.nodes.push(name);
    return outputs;
  }

  wrapped(setting: string, inputs: readonly KerasValue[], part = this.target.part): LayerContext | undefined {
    const layer = this.setting(setting);
    if (!isObject(layer) || typeof layer.class_name !== 'string') return undefined;
    const config = isObject(layer.config) ? layer.config : {};
    const path = [...this.target.path, setting, 'config'];
    return new LayerBuilder({ ...this.target, config, path, className: layer.class_name, ...(part !== undefined && { part }) }, inputs, this.counter);
  }

  int64(hint: string, values: readonly number[]): string {
    return this.constant(hint, int64Array(values));
  }

  float32(hint: string, values: readonly number[], shape: readonly number[] = values.length === 1 ? [] : [values.length]): string {
    return this.constant(hint, float32Array(values, shape));
  }

  follows(setting: string, tensor: string, axis: number, divisor = 1): void {
    const { path, record } = this.target;
    if (typeof this.setting(setting) === 'number' && this.target.shared.calls === 1) {
      record.sizes.push({ path, setting, tensor, axis, ...(divisor !== 1 && { divisor }) });
    }
  }

  says(setting: string, tensor: string, axis: number): void {
    const { path, record, shared } = this.target;
    if (shared.calls === 1) record.sizes.push({ path, setting, tensor, axis, explicit: true });
  }

  followsTarget(setting: string, value: string): void {
    const { path, record, shared } = this.target;
    // Nodes are named like the values they make.
    if (shared.calls === 1) record.targets.push({ path, setting, node: value });
  }

  opaque(shape?: Shape): KerasValue {
    const { shared, weights } = this.target;
    for (const weight of weights.all(shared.path)) {
      const suffix = (weight.name.split('/').pop() ?? weight.name).replace(/:\d+$/, '');
      if (shared.weights.has(suffix)) continue;
      this.show(weight, { axes: weight.shape.map((_, axis) => axis) }, suffix);
    }
    const inputs = [...this.inputs.map((input) => input.name), ...shared.weights.values()];
    return { name: this.node(this.className, inputs, {}, 'keras'), shape };
  }

  report(message: string): void {
    this.target.findings.push({ severity: 'warning', place: `layer ${this.target.shared.name}`, message });
  }

  fail(cause: string, action?: string): never {
    throw new ParticlizeError({ file: this.target.file, place: `layer ${this.target.shared.name}`, cause, action });
  }

  /** Gives the layer's output the layer's name; a layer that adds nothing becomes an Identity, so that it has one. */
  finish(made: KerasValue | readonly KerasValue[]): readonly KerasValue[] {
    const { nodes, names, shared } = this.target;
    const outputs = Array.isArray(made) ? made as readonly KerasValue[] : [made as KerasValue];
    const output = outputs[0]!;
    const last = nodes.length > this.firstNode ? output.name : this.node('Identity', [output.name]);
    const name = unique(shared.name, names);
    for (let index = this.firstNode; index < nodes.length; index++) {
      const node = nodes[index]!;
      const rename = (value: string): string => value === last ? name : value;
      nodes[index] = { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
    }
    return [{ ...output, name }, ...outputs.slice(1).map((other) => (other.name === last ? { ...other, name } : other))];
  }

  /** A weight as a tensor of the graph; layers that share a weight (nested models called in two places) share the tensor. */
  private show(weight: Tensor, layout: WeightLayout, suffix: string): Tensor {
    const { shared, tensors, names, record, shown } = this.target;
    const view = JSON.stringify([weight.name, layout]);
    const known = tensors.get(shown.get(view) ?? '');
    const tensor = known ?? viewWeight(unique(`${shared.name}/${suffix}`, names), weight, layout);
    const { name } = tensor;
    shared.weights.set(suffix, name);
    if (known) return known;
    tensors.set(name, tensor);
    shown.set(view, name);
    record.weights.set(name, { weight: weight.name, layout, layer: shared.name });
    return tensor;
  }

  private constant(hint: string, array: NdArray): string {
    const { names, tensors, shared } = this.target;
    const name = unique(`${shared.name}/${hint}`, names);
    tensors.set(name, tensorOf(name, array));
    return name;
  }
}
