import { ParticlizeError, type Finding } from '../../graph/errors';
import { unique } from '../../graph/finishGraph';
import { ShapeInference } from '../../graph/inferShapes';
import type { GraphNode, Layer, ValueInfo } from '../../graph/modelGraph';
import { asNumbers, isFloat } from '../../graph/numeric';
import { elementCount, tensorOf, type NdArray, type Tensor } from '../../graph/tensor';
import { fileShape, unviewWeight, viewWeight, type WeightLayout } from '../keras/weightView';
import type { InlinedGraph } from './inlineFunctions';
import type { WeightRef } from './opContext';
import { NodeContext } from './nodeContext';
import { ruleOf } from './ops/registry';
import { splitRef, type TfNode } from './tfGraph';
import { layersOf, namesOf, type TranslatedNode } from './tfLayers';

/** Where a graph begins and ends, and where its variables are. */
export interface TfEnds {
  readonly file: string;
  /** Placeholders by the name that the model's inputs shall have; missing: each under its own. */
  readonly inputNames?: ReadonlyMap<string, string>;
  /** References of what it gives. */
  readonly outputs: readonly string[];
  /** The contents of a variable (VarHandleOp, VariableV2). */
  variable(node: TfNode): Tensor | undefined;
}

/** What a writer needs to carry changes of the graph back into the file. */
export interface TfRecord {
  /** By tensor of the graph: the constant of the file that it shows. */
  readonly weights: ReadonlyMap<string, TfWeight>;
  /** By node of the graph and index of its input: the input of the file's node, and how its contents go back. */
  readonly inputs: ReadonlyMap<string, ReadonlyMap<number, TfInput>>;
  /** Inputs of the file's nodes that hold the size of a tensor's axis, which the graph does not need. */
  readonly follows: readonly TfFollow[];
}

export interface TfFollow {
  readonly tensor: string;
  readonly axis: number;
  readonly node: string;
  readonly input: number;
  toFile(size: number): { readonly values: readonly number[]; readonly shape: readonly number[] };
}

export interface TfWeight {
  readonly weight: string;
  readonly layer: string;
  toFile(array: NdArray): NdArray;
  shapeInFile(shape: readonly number[]): readonly number[];
}

export interface TfInput {
  readonly node: string;
  readonly input: number;
  toFile(values: readonly number[]): { readonly values: readonly number[]; readonly shape: readonly number[] };
}

/** The parts of a GraphDraft that follow from a TensorFlow graph. */
export interface TfTranslation {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly Layer[];
  readonly findings: readonly Finding[];
  readonly record: TfRecord;
}

/**
 * Translates what a TensorFlow graph's outputs depend on into ONNX's vocabulary. Values keep TensorFlow's layout between
 * nodes; inside a channels-last operator Transposes surround ONNX's. Rejects with a ParticlizeError naming the node.
 */
export async function translate(graph: InlinedGraph, ends: TfEnds): Promise<TfTranslation> {
  const translator = new Translator(graph, ends);
  await translator.prepare();
  translator.run();
  return translator.finish();
}

const passing = new Set(['Identity', 'StopGradient', 'ReadVariableOp', 'PreventGradient', 'Snapshot', 'CheckNumerics', 'Enter']);
const placeholders = new Set(['Placeholder', 'PlaceholderWithDefault', 'PlaceholderV2', '_Arg']);
const variables = new Set(['VarHandleOp', 'VariableV2', 'Variable']);
const smallElements = 1024;

/** A constant of the file. */
export interface TfConstant {
  readonly node: TfNode;
  readonly tensor: Tensor;
}

export class Translator {
  readonly inputs: ValueInfo[] = [];
  readonly nodes: GraphNode[] = [];
  readonly tensors = new Map<string, Tensor>();
  readonly findings: Finding[] = [];
  readonly weights = new Map<string, TfWeight>();
  readonly follows: TfFollow[] = [];
  readonly madeInputs = new Map<string, Map<number, TfInput>>();
  readonly inference: ShapeInference;
  readonly taken = new Set<string>();
  /** Readers of every reference, within what is translated. */
  readonly readers = new Map<string, { readonly node: TfNode; readonly index: number }[]>();
  readonly outputRefs: readonly string[];
  private readonly order: TfNode[] = [];
  private readonly values = new Map<string, readonly string[]>();
  private readonly contents = new Map<Tensor, readonly number[]>();
  private readonly views = new Map<string, WeightRef>();
  private readonly translated: TranslatedNode[] = [];
  private readonly renames = new Map<string, string>();
  private names: (name: string) => string = (name) => name;

  constructor(readonly graph: InlinedGraph, readonly ends: TfEnds) {
    this.outputRefs = ends.outputs.map((ref) => graph.resolve(ref));
    this.inference = new ShapeInference({ opset: 18, inputs: [], tensors: this.tensors, constants: new Map() });
  }

  /** Orders the nodes and reads the small constants, which the rules ask for. */
  async prepare(): Promise<void> {
    this.sort();
    this.names = namesOf(this.order);
    const small = new Set<Tensor>();
    for (const node of this.order) {
      const tensor = node.op === 'Const' ? node.attributes.get('value')?.tensor : undefined;
      if (tensor && tensor.dtype !== 'string' && elementCount(tensor.shape) <= smallElements && tensor.shape.length <= 2) small.add(tensor);
    }
    for (const tensor of small) this.contents.set(tensor, asNumbers(await tensor.read()));
  }

  run(): void {
    for (const node of this.order) if (!this.values.has(node.name)) this.translateNode(node);
  }

  finish(): TfTranslation {
    const outputs = this.outputRefs.map((ref): ValueInfo => {
      let value = this.value(ref, 'the outputs');
      if (this.tensors.has(value) || this.inputs.some((input) => input.name === value)) {
        const name = unique(`${value}:output`, this.taken);
        this.nodes.push({ name, op: 'Identity', domain: '', inputs: [value], outputs: [name], attributes: {}, layer: name });
        this.translated.push({ name, op: 'Identity', nodes: [name], weighted: false });
        value = name;
      }
      return { name: value };
    });
    const renamed = (name: string): string => this.renames.get(name) ?? name;
    this.dropUnread(outputs.map(({ name }) => name));
    const { layers, layerOf } = layersOf(this.translated, this.nodes, (name) => {
      const tensor = this.weights.has(name) ? this.tensors.get(name) : undefined;
      return tensor !== undefined && isFloat(tensor.dtype) && tensor.shape.length > 0;
    });
    const nodes = this.nodes.map((node) => ({
      ...node, layer: layerOf.get(node.name) ?? node.layer, inputs: node.inputs.map(renamed), outputs: node.outputs.map(renamed),
    }));
    const used = new Set(nodes.flatMap((node) => node.inputs));
    return {
      inputs: this.inputs, nodes, layers, findings: this.findings,
      outputs: outputs.map(({ name }) => ({ name: renamed(name) })),
      tensors: new Map([...this.tensors].filter(([name]) => used.has(name))),
      record: {
        inputs: this.madeInputs, follows: this.follows,
        weights: new Map([...this.weights].filter(([name]) => used.has(name)).map(([name, weight]) => [name, { ...weight, layer: layerOf.get(weight.layer) ?? weight.layer }])),
      },
    };
  }

  /** The constant that a reference leads to, through nodes that pass their input on. */
  constantAt(ref: string, through: ReadonlySet<string> = passing): TfConstant | undefined {
    for (let current = this.graph.resolve(ref), steps = 0; steps < 1000; steps++) {
      const node = this.graph.nodes.get(splitRef(current)[0]);
      if (!node) return undefined;
      if (node.op === 'Const' || variables.has(node.op)) {
        const tensor = node.op === 'Const' ? node.attributes.get('value')?.tensor : this.ends.variable(node);
        return tensor && { node, tensor };
      }
      if (!through.has(node.op) || node.inputs[0] === undefined) return undefined;
      current = this.graph.resolve(node.inputs[0]);
    }
    return undefined;
  }

  contentsOf({ tensor }: TfConstant): readonly number[] | undefined {
    return this.contents.get(tensor);
  }

  /** A constant of the file as a tensor of the graph. `shape` gives it another shape with the same elements. */
  register({ node, tensor }: TfConstant, layout: WeightLayout, layer: string, shape?: readonly number[]): WeightRef {
    const key = JSON.stringify([node.name, layout, shape]);
    const known = this.views.get(key);
    if (known) return known;
    const name = unique(this.weightName(node), this.taken);
    const whole = tensor.dtype === 'int32';
    const viewed = viewWeight(name, tensor, layout);
    const shaped: Tensor = shape && shape.join() !== viewed.shape.join()
      ? { name, dtype: viewed.dtype, shape, read: async () => ({ ...await viewed.read(), shape }) } : viewed;
    const made = whole ? asInt64(shaped) : shaped;
    this.tensors.set(name, made);
    const contents = this.contents.get(tensor);
    if (contents && (whole || tensor.dtype === 'int64' || contents.length === 1)) this.inference.addTensor(name, contents);
    this.weights.set(name, {
      weight: node.name, layer,
      toFile: (array) => shape ? { ...array, shape: asRank(array.shape, tensor.shape) } : unviewWeight(array, layout),
      shapeInFile: (now) => shape ? asRank(now, tensor.shape) : fileShape(now, layout),
    });
    const ref = { name, shape: made.shape };
    this.views.set(key, ref);
    return ref;
  }

  /** The value that a reference became; constants become tensors. */
  value(ref: string, reader: string): string {
    const resolved = this.graph.resolve(ref);
    const constant = this.constantAt(resolved);
    if (constant) return this.register(constant, { axes: constant.tensor.shape.map((_, axis) => axis) }, reader).name;
    const [node, output] = splitRef(resolved);
    return this.values.get(node)?.[output]
      ?? this.fail(reader, `it reads '${resolved.slice(0, 200)}', which the file does not make`);
  }

  fail(node: string, cause: string): never {
    throw new ParticlizeError({ file: this.ends.file, place: `node ${node.slice(0, 200)}`, cause });
  }

  constantArray(hint: string, array: NdArray): string {
    const name = unique(hint, this.taken);
    this.tensors.set(name, tensorOf(name, array));
    this.inference.addTensor(name, elementCount(array.shape) <= smallElements ? asNumbers(array) : undefined);
    return name;
  }

  /** A bias that was taken into its convolution leaves behind what reshaped it. */
  private dropUnread(outputs: readonly string[]): void {
    const read = new Set(outputs);
    for (let index = this.nodes.length - 1; index >= 0; index--) {
      const node = this.nodes[index]!;
      if (node.outputs.some((output) => read.has(output))) for (const input of node.inputs) read.add(input);
      else this.nodes.splice(index, 1);
    }
    const left = new Set(this.nodes.map((node) => node.name));
    this.translated.forEach((one, index) => {
      this.translated[index] = { ...one, nodes: one.nodes.filter((node) => left.has(node)) };
    });
  }

  private translateNode(node: TfNode): void {
    if (node.op === 'Const' || variables.has(node.op) || node.op === 'NoOp') return;
    if (placeholders.has(node.op)) return this.addInput(node);
    if (passing.has(node.op) && node.inputs[0] !== undefined) {
      if (!this.constantAt(node.name)) this.values.set(node.name, [this.value(node.inputs[0], node.name)]);
      return;
    }
    const firstNode = this.nodes.length;
    const context = new NodeContext(this, node);
    const rule = ruleOf(node.op);
    const result = rule ? rule(context) : context.opaque();
    const list = typeof result === 'string' ? [result] : result;
    const target = context.absorbed ?? node;
    const made = new Set(this.nodes.slice(firstNode).flatMap((one) => one.outputs));
    list.forEach((value, output) => {
      if (!made.has(value) || this.renames.has(value)) return;
      const plain = this.names(target.name);
      this.renames.set(value, unique(output === 0 ? plain : `${plain}:${output}`, this.taken));
    });
    this.values.set(node.name, list);
    if (context.absorbed) this.values.set(context.absorbed.name, list);
    this.translated.push({
      name: this.names(node.name), op: node.op, nodes: this.nodes.slice(firstNode).map((one) => one.name), weighted: context.weighted,
    });
  }

  private addInput(node: TfNode): void {
    const { attributes, name } = node;
    const given = attributes.get('dtype')?.dtype ?? attributes.get('T')?.dtype ?? 'float32';
    const dtype = given === 'resource' || given === 'other' ? 'float32' : given;
    const shape = attributes.get('shape')?.shape ?? undefined;
    const input = { name: unique(this.ends.inputNames?.get(name) ?? name, this.taken), dtype, ...(shape && { shape }) };
    this.inputs.push(input);
    this.inference.values.set(input.name, input);
    // Sizes and indices are int64 in ONNX: what is whole is made so where it comes in.
    const value = dtype === 'int32' ? new NodeContext(this, node).add('Cast', [input.name], { to: { type: 'int', value: 7 } }) : input.name;
    this.values.set(name, [value]);
    if (value !== input.name) this.translated.push({ name: this.names(name), op: node.op, nodes: [this.nodes.at(-1)!.name], weighted: false });
  }

  /** Depth first from the outputs, without recursion. */
  private sort(): void {
    const state = new Map<string, 'open' | 'done'>();
    const visit = (start: string): void => {
      const stack = [{ name: start, next: 0 }];
      while (stack.length) {
        const top = stack[stack.length - 1]!;
        const node = this.graph.nodes.get(top.name);
        if (!node) this.fail(top.name, 'it is used but is not in the file');
        state.set(top.name, 'open');
        const input = node.inputs[top.next++];
        if (input === undefined) {
          state.set(top.name, 'done');
          this.order.push(node);
          stack.pop();
          continue;
        }
        const ref = this.graph.resolve(input);
        const readers = this.readers.get(ref) ?? [];
        readers.push({ node, index: top.next - 1 });
        this.readers.set(ref, readers);
        const [next] = splitRef(ref);
        if (state.get(next) === 'open') this.fail(next, 'it depends on its own output; loops of TensorFlow 1 are not read');
        if (!state.has(next)) stack.push({ name: next, next: 0 });
      }
    };
    for (const ref of this.outputRefs) if (!state.has(splitRef(ref)[0])) visit(splitRef(ref)[0]);
  }

  /** 'dense/MatMul/ReadVariableOp' is the kernel of dense. */
  private weightName(node: TfNode): string {
    const shared = node.attributes.get('shared_name')?.text;
    // 'model/conv1/kernel_1': the model's name is in front, and a number behind tells copies of a variable apart.
    if (shared?.includes('/')) return shared.split('/').slice(-2).join('/').replace(/_\d+$/, '');
    const name = this.names(node.name);
    const read = /^(.*?)([^/]+)\/(?:\w*_)?ReadVariableOp(_\d+)?(\/resource)?$/.exec(name);
    if (!read) return name;
    const [, scope = '', op = ''] = read;
    const rank = node.attributes.get('value')?.tensor?.shape.length ?? 0;
    if (rank > 1) return `${scope}kernel`;
    return /^(Bias|Reshape|add)/i.test(op) ? `${scope}bias` : `${scope}${op}/value`;
  }
}


function asInt64(tensor: Tensor): Tensor {
  return {
    name: tensor.name, dtype: 'int64', shape: tensor.shape,
    read: async () => ({ dtype: 'int64', shape: tensor.shape, data: BigInt64Array.from((await tensor.read()).data as Int32Array, BigInt) }),
  };
}

/** [C] as a shape of the rank of `like`, which has one axis that is not 1. */
function asRank(shape: readonly number[], like: readonly number[]): readonly number[] {
  const axis = Math.max(0, like.findIndex((size) => size !== 1));
  return like.length === 0 ? shape : like.map((_, index) => index === axis ? elementCount(shape) : 1);
}
