import { int } from '../../graph/attributes';
import { ShapeInference } from '../../graph/inferShapes';
import { unique } from '../../graph/finishGraph';
import { float32Array, int64Array } from '../../graph/numeric';
import type { Attributes, GraphNode, Layer, ModelGraph, Shape, ValueInfo } from '../../graph/modelGraph';
import { tensorOf, type NdArray, type Tensor } from '../../graph/tensor';
import type { Span } from '../definition';
import type { Arguments, FollowHooks } from './interpreter';
import { callFunction, tensorItem } from './torchFunctions';
import { callLayer } from './torchLayers';
import { numbersOf, unknownValue, type ModuleValue, type TensorValue, type Value } from './values';

/** What could not be followed, and where. */
export class Unfollowed extends Error {
  constructor(readonly reason: string, readonly place: Span) {
    super(reason);
  }
}

/** Operators of a model, noted while its `forward` is followed with values of a graph instead of numbers. */
export class TorchTrace {
  readonly nodes: GraphNode[] = [];
  readonly tensors: Map<string, Tensor>;
  readonly inputs: ValueInfo[] = [];
  readonly inference: ShapeInference;
  /** Layers that have no weights, in the order in which they are used. */
  readonly layerNodes = new Map<string, { type: string; nodes: string[] }>();
  /** A dense layer's input that only the size of the picture would tell. */
  needsSize = false;
  private readonly names: Set<string>;
  private layer: { name: string; type: string } | undefined;
  private readonly paths: ReadonlyMap<ModuleValue, string>;

  constructor(
    readonly base: ModelGraph,
    paths: ReadonlyMap<ModuleValue, string>,
    /** Height and width to try for an input picture. */
    readonly pictureSize: number | null,
  ) {
    this.paths = paths;
    this.tensors = new Map(base.tensors);
    this.names = new Set(base.tensors.keys());
    this.inference = new ShapeInference({ opset: 18, inputs: [], tensors: this.tensors, constants: new Map() });
  }

  hooks(): Omit<FollowHooks, 'native'> & { function: FollowHooks['native'] } {
    return {
      module: (module, given, at) => this.callModule(module, given, at),
      // `nn.MaxPool2d(2)(x)` makes a layer first.
      function: (name, given, call) => (/\.[A-Z]\w*$/.test(name) ? undefined : callFunction(this, name, given, call)),
      tensorMember: (tensor, name, given, at) => {
        const result = callFunction(this, `Tensor.${name}`, { positional: [tensor, ...(given?.positional ?? [])], keywords: given?.keywords ?? new Map() }, at);
        if (!result) throw new Unfollowed(`".${name}" of a tensor is not followed`, at);
        return result;
      },
      tensorOperation: (operator, operands, at) => {
        const result = callFunction(this, `operator.${operator}`, { positional: operands, keywords: new Map() }, at);
        if (!result) throw new Unfollowed(`"${operator}" of tensors is not followed`, at);
        return result;
      },
      tensorItem: (tensor, index, evaluated, at) => tensorItem(this, tensor as TensorValue, index, evaluated, at),
      undecided: (value, at) => {
        throw new Unfollowed(value.kind === 'unknown' ? value.reason : 'what happens depends on the data', at);
      },
    };
  }

  emit(op: string, inputs: readonly string[], attributes: Attributes = {}, hint = op.toLowerCase()): TensorValue {
    const layer = this.layer ?? { name: unique(hint, new Set([...this.layerNodes.keys(), ...this.paths.values()])), type: op };
    const name = unique(layer.name, this.names);
    const output = unique(`${layer.name}:0`, this.names);
    const node: GraphNode = { name, op, domain: '', inputs, outputs: [output], attributes, layer: layer.name };
    const own = this.layerNodes.get(layer.name);
    if (own) own.nodes.push(name);
    else this.layerNodes.set(layer.name, { type: layer.type, nodes: [name] });
    this.nodes.push(node);
    this.inference.add(node);
    return { kind: 'tensor', name: output };
  }

  shape(value: TensorValue): Shape | undefined {
    return this.inference.facts(value.name).shape;
  }

  ints(values: readonly number[]): string {
    return this.constant(int64Array(values), values);
  }

  scalar(value: number): string {
    return this.constant(float32Array([value], []));
  }

  /** The value as a tensor, a number as a constant. */
  tensor(value: Value | undefined, at: Span): TensorValue {
    if (value?.kind === 'tensor') return value;
    if (value?.kind === 'number') return { kind: 'tensor', name: this.scalar(value.value) };
    throw new Unfollowed(value?.kind === 'unknown' ? value.reason : 'a tensor is expected here', value?.kind === 'unknown' ? value.place : at);
  }

  number(value: Value | undefined, otherwise: number, at: Span): number {
    if (value === undefined) return otherwise;
    if (value.kind === 'number') return value.value;
    throw new Unfollowed(value.kind === 'unknown' ? value.reason : 'a number is expected here', at);
  }

  numbers(value: Value | undefined, count: number, otherwise: readonly number[], at: Span): readonly number[] {
    if (value === undefined || (value.kind === 'constant' && value.value === null)) return otherwise;
    const numbers = numbersOf(value);
    if (!numbers || (numbers.length !== 1 && numbers.length !== count)) throw new Unfollowed('these numbers are not known', at);
    return numbers.length === count ? numbers : new Array<number>(count).fill(numbers[0]!);
  }

  /** The tensor that a module keeps under a name; undefined when it has none. */
  weight(module: ModuleValue, role: string): string | undefined {
    const path = this.paths.get(module);
    const name = path === undefined ? role : `${path}.${role}`;
    return this.tensors.has(name) ? name : undefined;
  }

  /** What the first layer says of the model's input. */
  describeInput(value: TensorValue, shape: Shape, dtype: ValueInfo['dtype'] = 'float32'): void {
    const index = this.inputs.findIndex((input) => input.name === value.name && !input.shape);
    if (index < 0) return;
    const info: ValueInfo = { name: value.name, dtype, shape };
    this.inputs[index] = info;
    this.inference.values.set(value.name, info);
  }

  addInput(name: string): TensorValue {
    const own = unique(name, this.names);
    this.inputs.push({ name: own, dtype: 'float32' });
    this.inference.values.set(own, { name: own, dtype: 'float32' });
    return { kind: 'tensor', name: own };
  }

  /** Layers of the state dict with their operators, then those without weights. */
  layers(): Layer[] {
    const used = new Map(this.base.layers.map((layer) => [layer.name, layer]));
    const made = [...this.layerNodes].map(([name, { type, nodes }]): Layer => {
      const known = used.get(name);
      used.delete(name);
      return { name, type, nodes, tensors: known?.tensors ?? [] };
    });
    return [...made, ...[...used.values()].map((layer) => ({ ...layer, nodes: [] }))];
  }

  private callModule(module: ModuleValue, given: Arguments, at: Span): Value {
    const outer = this.layer;
    const path = this.paths.get(module);
    // Layers leave out what a training wrapper puts in front of every name.
    const bare = path?.replace(/^(module\.|_orig_mod\.)+/, '');
    const known = path !== undefined && !this.base.layers.some(({ name }) => name === path) && this.base.layers.some(({ name }) => name === bare) ? bare : path;
    this.layer = { name: known ?? unique(module.type.toLowerCase(), new Set(this.layerNodes.keys())), type: module.type };
    const result = callLayer(this, module, given, at);
    this.layer = outer;
    return result ?? unknownValue(`nn.${module.type} is not followed`, at);
  }

  private constant(array: NdArray, contents?: readonly number[]): string {
    const name = unique('constant', this.names);
    this.tensors.set(name, tensorOf(name, array));
    this.inference.addTensor(name, contents);
    return name;
  }
}

/** One window of pooling or a convolution in every direction. */
export function windowAttributes(kernel: readonly number[] | undefined, strides: readonly number[], padding: readonly number[]): Attributes {
  return {
    ...(kernel ? { kernel_shape: { type: 'ints', value: kernel } } : {}),
    strides: { type: 'ints', value: strides }, pads: { type: 'ints', value: [...padding, ...padding] },
  };
}

export function axisAttribute(axis: number): Attributes {
  return { axis: int(axis) };
}
