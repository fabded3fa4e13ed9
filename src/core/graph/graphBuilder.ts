import { unique } from './finishGraph';
import { ShapeInference } from './inferShapes';
import type { Attribute, GraphNode, ModelGraph, ValueInfo } from './modelGraph';
import { asNumbers, float32Array, int64Array } from './numeric';
import type { GraphBuilder, ValueFacts } from './ops/operator';
import { elementCount, tensorOf, type NdArray, type Tensor } from './tensor';

/**
 * Builds a new graph on an existing one: everything of the base stays, nodes may read any of its values, and new names
 * never meet old ones. Contributions, gradients and losses are built with it.
 */
export class GraphOnGraph implements GraphBuilder {
  private readonly added: GraphNode[] = [];
  private readonly baseNodes: GraphNode[];
  private readonly tensors: Map<string, Tensor>;
  private readonly inputs: ValueInfo[];
  private readonly inference: ShapeInference;
  private readonly names: Set<string>;
  private readonly nodeNames: Set<string>;
  private readonly counts = new Map<string, number>();
  /** Name of the layer that holds what is added. */
  private readonly layer: string;

  constructor(private readonly base: ModelGraph) {
    this.tensors = new Map(base.tensors);
    this.baseNodes = [...base.nodes];
    this.inputs = [...base.inputs];
    this.names = new Set([...base.tensors.keys(), ...base.values.keys(), ...base.inputs.map((input) => input.name)]);
    for (const node of base.nodes) for (const output of node.outputs) this.names.add(output);
    this.layer = unique(prefix, new Set(base.layers.map((layer) => layer.name)));
    this.nodeNames = new Set(base.nodes.map((node) => node.name));
    this.inference = new ShapeInference({
      opset: base.opset, inputs: base.inputs, tensors: this.tensors, constants: base.constants,
    });
    for (const [name, info] of base.values) this.inference.values.set(name, info);
  }

  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.nodes(op, inputs, 1, attributes)[0]!;
  }

  nodes(
    op: string, inputs: readonly string[], outputs: number, attributes: Readonly<Record<string, Attribute>> = {},
  ): readonly string[] {
    const name = this.numbered(`${prefix}/${op}`, this.nodeNames);
    const made = Array.from({ length: outputs }, () => this.numbered(`${prefix}/${op}:0`, this.names));
    const node: GraphNode = { name, op, domain: '', inputs, outputs: made, attributes, layer: this.layer };
    this.added.push(node);
    this.inference.add(node);
    return made;
  }

  /** The name of an output of a node; one that was left out so far is asked of the node from now on. */
  outputOf(node: Pick<GraphNode, 'outputs'>, index: number): string {
    const first = node.outputs.find(Boolean);
    const places = [this.baseNodes, this.added].map((list) => list.findIndex((own) => own.outputs.includes(first!)));
    const list = places[0]! >= 0 ? this.baseNodes : this.added;
    const place = Math.max(...places);
    const own = list[place];
    if (!own) throw new Error('the node is not part of the graph');
    if (own.outputs[index]) return own.outputs[index];
    const outputs = Array.from({ length: Math.max(own.outputs.length, index + 1) }, (_, at) => own.outputs[at] ?? '');
    const name = (outputs[index] = unique(`${prefix}/${own.op}:${index}`, this.names));
    this.inference.add((list[place] = { ...own, outputs }));
    return name;
  }

  /** A new input of the graph. */
  input(hint: string, info: Omit<ValueInfo, 'name'>): string {
    const input = { ...info, name: unique(hint, this.names) };
    this.inputs.push(input);
    this.inference.values.set(input.name, input);
    return input.name;
  }

  /** A constant of any type. */
  constant(hint: string, array: NdArray): string {
    const name = this.numbered(hint, this.names);
    this.tensors.set(name, tensorOf(name, array));
    const small = elementCount(array.shape) <= 1024 && (/int|bool/.test(array.dtype) || elementCount(array.shape) === 1);
    this.inference.addTensor(name, small ? asNumbers(array) : undefined);
    return name;
  }

  int64(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(`${prefix}/int64`, int64Array(values, shape));
  }

  float32(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(`${prefix}/float32`, float32Array(values, shape));
  }

  facts(value: string): ValueFacts {
    return this.inference.facts(value);
  }

  /** The base and what was added, with these outputs. The builder may go on and finish again. */
  finish(outputs: readonly string[]): Promise<ModelGraph> {
    const { base } = this;
    const layer = {
      name: this.layer, type: 'Particlize', nodes: this.added.map((node) => node.name),
      tensors: [...this.tensors.keys()].filter((name) => !base.tensors.has(name)),
    };
    return Promise.resolve({
      ...base,
      inputs: [...this.inputs],
      outputs: outputs.map((name) => this.infoOf(name)),
      nodes: [...this.baseNodes, ...this.added],
      tensors: new Map(this.tensors),
      layers: this.added.length ? [...base.layers, layer] : base.layers,
      values: new Map(this.inference.values),
      constants: new Map(this.inference.constants),
    });
  }

  /** Like `unique`, but goes on counting where it was: unrolled layers have thousands of operators of one kind. */
  private numbered(wanted: string, taken: Set<string>): string {
    let count = this.counts.get(wanted) ?? 0;
    let name = wanted;
    for (; taken.has(name); name = `${wanted}.${count}`) count++;
    this.counts.set(wanted, count);
    taken.add(name);
    return name;
  }

  private infoOf(name: string): ValueInfo {
    const { dtype, shape } = this.inference.facts(name);
    return { name, dtype, shape };
  }
}

const prefix = 'particlize';
