import { readsOf } from '../../graph/attributes';
import { unique } from '../../graph/finishGraph';
import { lookUp } from '../../graph/lookUp';
import type { GraphNode, Layer } from '../../graph/modelGraph';
import { elementCount, type Tensor } from '../../graph/tensor';

export interface LayersInput {
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Tensors that came from Constant nodes: a single number among them is a setting, not a weight. */
  readonly constants: ReadonlySet<string>;
  /** Nodes that the file does not name. */
  readonly unnamed: ReadonlySet<string>;
  /** Module path by node name, where the exporter wrote it down. */
  readonly scopes?: ReadonlyMap<string, string>;
  readonly outputs: readonly string[];
  readonly producer: string;
}

/**
 * Groups nodes into the layers that the user knows and names them. What has weights is a layer, and so is what has none;
 * the arithmetic of sizes and a bias that is added separately belong to the layer that they serve. Names come from the
 * weights' module (`conv1.weight`), else from the module around the node (`/features/features.0/Conv`), else from the node, else
 * from its output.
 */
export function layersOf(input: LayersInput): { nodes: readonly GraphNode[]; layers: readonly Layer[] } {
  return new LayerMaker(input).make();
}

interface Group {
  readonly nodes: GraphNode[];
  /** Module path, where weights or the node's name give one. */
  module?: string;
  main: GraphNode;
  readonly weights: string[];
}

class LayerMaker {
  private readonly consumers = new Map<string, GraphNode[]>();
  private readonly producer = new Map<string, GraphNode>();
  private readonly groupOf = new Map<GraphNode, Group>();
  private readonly groups: Group[] = [];
  private readonly ownedTensors = new Set<string>();
  private readonly serving: ReadonlySet<GraphNode>;

  constructor(private readonly input: LayersInput) {
    for (const node of input.nodes) {
      for (const output of node.outputs) if (output) this.producer.set(output, node);
      for (const read of new Set(readsOf(node))) this.consumers.set(read, [...(this.consumers.get(read) ?? []), node]);
    }
    this.serving = this.findServing();
  }

  make(): { nodes: readonly GraphNode[]; layers: readonly Layer[] } {
    for (const node of this.input.nodes) if (!this.serving.has(node)) this.place(node);
    this.joinModules();
    // From the end, so that the consumer of a serving node has its group already.
    for (const node of [...this.input.nodes].reverse()) {
      if (!this.serving.has(node)) continue;
      const user = node.outputs.flatMap((output) => this.consumers.get(output) ?? []).find((next) => this.groupOf.has(next));
      const group = user ? this.groupOf.get(user)! : this.start(node);
      if (user) this.add(group, node);
    }
    return this.finish();
  }

  /** Puts a node into the group of the layer it completes, or into a new one. */
  private place(node: GraphNode): void {
    const weights = this.weightsOf(node);
    const base = this.biasBase(node, weights);
    if (base) {
      // Weights that an exporter folded have lost their name; their bias still has it.
      base.module ??= this.moduleOfWeights(weights);
      return this.add(base, node, weights);
    }
    const module = this.moduleOfWeights(weights);
    const twin = module === undefined || node.domain ? undefined : this.groups.find((group) => group.module === module && group.weights.length > 0);
    // The scale and the shift of a normalisation written out in steps; never two operators that have particles.
    if (twin && !(hasParticles(twin.main) && hasParticles(node))) {
      if (hasParticles(node)) twin.main = node;
      return this.add(twin, node, weights);
    }
    const group = this.start(node);
    group.module = module ?? this.input.scopes?.get(node.name) ?? scopeOf(node);
    group.weights.push(...weights);
    weights.forEach((weight) => this.ownedTensors.add(weight));
  }

  private start(node: GraphNode): Group {
    const group: Group = { nodes: [node], main: node, weights: [] };
    this.groups.push(group);
    this.groupOf.set(node, group);
    return group;
  }

  private add(group: Group, node: GraphNode, weights: readonly string[] = []): void {
    group.nodes.push(node);
    this.groupOf.set(node, group);
    for (const weight of weights) {
      if (!this.ownedTensors.has(weight)) group.weights.push(weight);
      this.ownedTensors.add(weight);
    }
  }

  /** The group whose output this node only adds a bias to. */
  private biasBase(node: GraphNode, weights: readonly string[]): Group | undefined {
    if (node.op !== 'Add' || node.domain || weights.length !== 1) return undefined;
    const tensor = this.input.tensors.get(weights[0]!)!;
    // One number a channel; over the positions of a sequence it would be an embedding.
    if (tensor.shape.filter((size) => size !== 1).length > 1) return undefined;
    const value = node.inputs.find((name) => name !== weights[0]);
    const before = value === undefined ? undefined : this.producer.get(value);
    if (!before || !takesBias(before) || this.consumers.get(value!)!.length !== 1 || this.input.outputs.includes(value!)) return undefined;
    const group = this.groupOf.get(before);
    return group?.main === before && group.weights.length > 0 ? group : undefined;
  }

  /** Weights that a node reads and that no layer has yet, or all of them when others have. */
  private weightsOf(node: GraphNode): readonly string[] {
    const settings = lookUp(settingInputs, node.op) ?? [];
    return [...new Set(node.inputs.filter((name, index) => name && !settings.includes(index) && this.isWeight(name)))];
  }

  private isWeight(name: string): boolean {
    const tensor = this.input.tensors.get(name);
    if (!tensor || tensor.shape.length === 0) return false;
    if (this.input.constants.has(name) && elementCount(tensor.shape) === 1) return false;
    return !['int32', 'int64', 'uint32', 'uint64', 'bool', 'string'].includes(tensor.dtype);
  }

  /** The module that a node's own weights name; weights that an earlier layer has say nothing (exporters share equal ones). */
  private moduleOfWeights(weights: readonly string[]): string | undefined {
    const own = weights.filter((weight) => !this.ownedTensors.has(weight));
    const rank = (name: string): number => this.input.tensors.get(name)!.shape.length;
    return own.sort((a, b) => rank(b) - rank(a)).map(moduleOf).find((module) => module !== undefined);
  }

  /** Nodes of a module without weights of their own (the transposes around a recurrent layer) join its layer. */
  private joinModules(): void {
    const modules = new Map<string, Group>();
    for (const group of this.groups) if (group.module && group.weights.length > 0 && !modules.has(group.module)) modules.set(group.module, group);
    const names = [...new Set(this.groups.flatMap((group) => group.module ?? []))].sort();
    const isLeaf = (module: string): boolean => {
      const next = names[lowerBound(names, `${module}.`)];
      return !next?.startsWith(`${module}.`);
    };
    for (const group of [...this.groups]) {
      const home = group.module ? modules.get(group.module) : undefined;
      if (!home || home === group || group.weights.length > 0 || hasParticles(group.main) || !isLeaf(group.module!)) continue;
      for (const node of group.nodes) this.add(home, node);
      this.groups.splice(this.groups.indexOf(group), 1);
    }
  }

  private finish(): { nodes: readonly GraphNode[]; layers: readonly Layer[] } {
    const position = new Map(this.input.nodes.map((node, index) => [node, index]));
    for (const group of this.groups) group.nodes.sort((a, b) => position.get(a)! - position.get(b)!);
    this.groups.sort((a, b) => position.get(a.main)! - position.get(b.main)!);
    const names = this.names();
    const layers = this.groups.map((group, index) => ({
      name: names[index]!, type: group.main.op, nodes: group.nodes.map((node) => node.name), tensors: group.weights,
    }));
    const layerOf = new Map(this.groups.flatMap((group, index) => group.nodes.map((node) => [node, names[index]!] as const)));
    return { nodes: this.input.nodes.map((node) => ({ ...node, layer: layerOf.get(node)! })), layers };
  }

  private names(): string[] {
    const taken = new Set<string>();
    const counts = new Map<string, number>();
    // Layers with weights choose first: a module's name belongs to its weights, not to an addition beside them.
    const order = this.groups.map((_, index) => index)
      .sort((a, b) => Number(this.groups[b]!.weights.length > 0) - Number(this.groups[a]!.weights.length > 0) || a - b);
    const modules = [...new Set(this.groups.flatMap((group) => group.module ?? []))].sort();
    const names: string[] = [];
    for (const index of order) {
      const { main, module, weights } = this.groups[index]!;
      const count = counts.get(main.op) ?? 0;
      counts.set(main.op, count + 1);
      const last = nodeSegments(main).at(-1)?.replace(/^node_/, '') ?? main.op;
      const composite = module !== undefined && weights.length === 0 && modules[lowerBound(modules, `${module}.`)]?.startsWith(`${module}.`);
      const own = this.input.unnamed.has(main.name) ? undefined : ownName(main, this.input.producer);
      const candidates = [
        ...(module && !composite ? [module] : []),
        ...(module ? [`${module}/${last}`] : []),
        ...(own ? [own] : []),
        ...main.outputs.filter(isTelling).map(plainName),
        ...weights.filter(isTelling),
      ];
      names[index] = unique(candidates.find((name) => !taken.has(name)) ?? candidates[0] ?? `${main.op}_${count}`, taken);
    }
    return names;
  }

  /**
   * Nodes that only compute sizes, states and rearranged constants for others: everything that they read comes from
   * Shape or from constants.
   */
  private findServing(): ReadonlySet<GraphNode> {
    const serving = new Set<GraphNode>();
    const outputs = new Set(this.input.outputs);
    for (const node of this.input.nodes) {
      if (node.outputs.some((output) => outputs.has(output)) || node.domain) continue;
      const reads = readsOf(node);
      const values = reads.filter((name) => !this.input.tensors.has(name));
      const independent = node.op === 'Shape' || node.op === 'Size'
        || (sizeArithmetic.has(node.op) && values.every((name) => {
          const before = this.producer.get(name);
          return before !== undefined && serving.has(before);
        }));
      const readsTable = node.op === 'Gather' && this.isWeight(node.inputs[0] ?? '');
      if (independent && !readsTable) serving.add(node);
    }
    return serving;
  }
}

const sizeArithmetic = new Set([
  'Add', 'Cast', 'Ceil', 'Concat', 'ConstantOfShape', 'CumSum', 'DequantizeLinear', 'Div', 'Equal', 'Expand', 'Floor', 'Gather', 'Greater',
  'Identity', 'Less', 'Max', 'Min', 'Mod', 'Mul', 'Neg', 'NonZero', 'Not', 'Range', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'Reshape',
  'ScatterND', 'Slice', 'Split', 'Sqrt', 'Squeeze', 'Sub', 'Tile', 'Transpose', 'Trilu', 'Unsqueeze', 'Where', 'And', 'Or',
]);

/** Inputs that are settings although they may be float tensors. */
const settingInputs: Readonly<Record<string, readonly number[]>> = {
  Resize: [1, 2], Upsample: [1], Clip: [1, 2], Pad: [1, 2], Dropout: [1], OneHot: [1, 2],
};

const particleOps = new Set([
  'Conv', 'ConvTranspose', 'ConvInteger', 'QLinearConv', 'Gemm', 'MatMul', 'MatMulInteger', 'QLinearMatMul', 'LSTM', 'GRU', 'RNN',
  'Gather', 'Attention', 'MultiHeadAttention', 'EmbedLayerNormalization',
]);

function hasParticles(node: GraphNode): boolean {
  return particleOps.has(node.op);
}

function takesBias({ op, inputs }: GraphNode): boolean {
  return op === 'MatMul' || ((op === 'Conv' || op === 'ConvTranspose' || op === 'Gemm') && !inputs[2]);
}

/** `conv1` of `conv1.weight`; undefined for names that are numbers or made up by an exporter. */
function moduleOf(weight: string): string | undefined {
  if (!isTelling(weight) || /[/:]/.test(weight)) return undefined;
  const dot = weight.lastIndexOf('.');
  return dot > 0 ? weight.slice(0, dot) : undefined;
}

/**
 * The module path in a node name of PyTorch's exporter: `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1`, because a
 * member of a list repeats the list's name.
 */
function scopeOf(node: GraphNode): string | undefined {
  if (!node.name.startsWith('/')) return undefined;
  const segments = nodeSegments(node).slice(0, -1);
  const path: string[] = [];
  for (const segment of segments) {
    if (path.length && segment.startsWith(`${path.at(-1)!}.`)) path.pop();
    path.push(segment);
  }
  return path.length ? path.join('.') : undefined;
}

function nodeSegments(node: GraphNode): string[] {
  return node.name.split('/').filter(Boolean);
}

/** The node's name as a layer's; tf2onnx names nodes by the operation inside the Keras layer. */
function ownName(node: GraphNode, producer: string): string | undefined {
  if (!isTelling(node.name)) return undefined;
  const name = node.name.replace(/^\/+/, '');
  if (!/^tf2onnx/.test(producer)) return name;
  const segments = name.split('/').filter((segment) => !/^StatefulPartitionedCall/.test(segment));
  const trimmed = segments.slice(0, -1).join('/');
  return trimmed || name;
}

/** A value's name as a layer's: `/head/Gemm_output_0` is head/Gemm. */
function plainName(value: string): string {
  return value.replace(/^\/+/, '').replace(/_output_\d+$/, '');
}

/** Whether a name tells a person something: not a number, not `onnx::Conv_139`. */
function isTelling(name: string): boolean {
  return name !== '' && !/^\d+$/.test(name) && !/^(onnx::|_v_|val_?\d)/.test(name);
}

function lowerBound(sorted: readonly string[], wanted: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
