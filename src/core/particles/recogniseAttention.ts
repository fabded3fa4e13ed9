import { couplingOf } from '../graph/coupling';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphIndex, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { isFloat } from '../graph/numeric';
import { attentionHeads } from '../graph/ops/attention';
import { fusedHeads } from '../graph/ops/fusedAttention';
import type { AxisRef, ParticleRule, ShapeContext, WeightSlice } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { headLabels, sliceOf, type LabelledAxis } from './headLabels';

/** Softmax(Q K') V in heads, as one operator or as exporters write it, and the projections around it. */
export interface RecognisedAttention {
  /** The operator, or the product with the values. */
  readonly node: GraphNode;
  /** Module of the projections, where their names agree on one. */
  readonly layer: string;
  readonly count: number;
  /** The axis with one index a head; an axis inside a reshape where no value has one. */
  readonly producer: AxisRef;
  /** The input of the output projection: heads one behind the other. */
  readonly acts: readonly AxisRef[];
  readonly slices: readonly WeightSlice[];
  /** The projections that make queries, keys and values: their outputs are the heads' inside. */
  readonly projections: readonly GraphNode[];
}

/**
 * Finds attention in its operators, and in those that exporters write for it: two products with a softmax between them.
 * Scale, mask, dropout, norms, rotation of positions and keys that several heads share may lie between. Which columns of
 * which weight are a head's follows from the operators' channel-flow rules, so it does not matter how they are cut apart.
 * What does not come out as heads one behind the other is left as it is.
 */
export function recogniseAttention(graph: ModelGraph): readonly RecognisedAttention[] {
  const finder = new Finder(graph);
  return graph.nodes.flatMap((node) => {
    const core = finder.core(node);
    return (core && finder.from(core)) ?? [];
  });
}

/** The part that is the same however it is written. */
interface Core {
  readonly node: GraphNode;
  /** What leaves it, and the axis of a head's numbers there, with their count. */
  readonly result: string;
  readonly widthAxis: number;
  readonly width: number;
  /** Number of heads, where the operator says it. */
  readonly count?: number;
  /** What queries, keys and values are made of. */
  readonly sources: readonly { readonly role: 'query' | 'key' | 'value'; readonly value: string }[];
  /** What the operator itself has of them. */
  readonly weight?: string;
  readonly bias?: string;
}

class Finder {
  private readonly index: GraphIndex;
  private readonly context: ShapeContext;

  constructor(private readonly graph: ModelGraph) {
    this.index = indexOf(graph);
    this.context = contextOf(graph);
  }

  core(node: GraphNode): Core | undefined {
    if (node.op === 'Softmax' && node.domain === '') return this.written(node);
    const heads = attentionHeads(node, this.context) ?? fusedHeads(node, this.context);
    const result = node.outputs[0] ?? '';
    const rank = this.context.facts(result).shape?.length;
    if (!heads || rank === undefined) return undefined;
    const sources = heads.sources.map((value, place) => ({ role: roles[place]!, value })).filter(({ value }) => value !== '');
    return { node, result, widthAxis: rank - 1, width: heads.width, count: heads.count, sources, weight: heads.weight, bias: heads.bias };
  }

  from({ node, result, widthAxis, width, count: said, sources, weight, bias }: Core): RecognisedAttention | undefined {
    const act = this.joined(result);
    const size = act && this.context.facts(act.value).shape?.[act.axis];
    if (!act || typeof size !== 'number' || size % width !== 0) return undefined;
    const count = size / width;
    if (said !== undefined && said !== count) return undefined;
    const labelled = headLabels(this.graph, act, (index) => Math.floor(index / width));
    // Numbers of one head that lie apart would label the axis of its width instead.
    if (this.context.facts(result).shape?.[widthAxis] === width && labelled.has(`${result}\0${widthAxis}`) && count > 1) return undefined;
    const producer = this.producer(result, labelled, count);
    const makers = sources.map(({ role, value }) => ({ role, node: this.projection(value) }));
    const projections = [...new Set(makers.flatMap((maker) => maker.node ?? []))];
    const own = projections.length ? projections : [node];
    if (!producer || (makers.some((maker) => !maker.node) && said === undefined)) return undefined;
    const roleOf = this.rolesOf(makers, act);
    if (weight) roleOf.set(weight, 'query');
    if (bias) roleOf.set(bias, 'bias');
    const slices = this.slices(labelled, roleOf, 1);
    // Keys and values that several heads share: their columns are a group's.
    const grouped = new Map<number, ReadonlyMap<string, LabelledAxis>>();
    for (let shared = 2; shared <= count && projections.length; shared++) {
      if (count % shared !== 0 || makers.every((maker) => !maker.node || slices.some(({ tensor }) => maker.node!.inputs.includes(tensor)))) continue;
      const groups = headLabels(this.graph, act, (index) => Math.floor(index / width / shared));
      grouped.set(shared, groups);
      const parts = this.slices(groups, roleOf, shared).filter(({ tensor }) => !slices.some((slice) => slice.tensor === tensor));
      if (parts.some(({ role }) => role === 'key' || role === 'value')) slices.push(...parts.filter(({ role }) => role !== 'query' && role !== 'output'));
    }
    // Queries whose heads are two axes, groups and members, show as groups.
    const sharing = slices.find(({ shared = 1, role }) => shared > 1 && role === 'key')?.shared ?? 1;
    for (const [shared, groups] of [...grouped].filter(([times]) => times === sharing)) {
      const queries = this.slices(groups, roleOf, shared).filter(({ tensor, role, block = 1 }) => role === 'query' && block % shared === 0 && !slices.some((slice) => slice.tensor === tensor));
      slices.unshift(...queries.map(({ block = 1, shared: _whole, ...slice }) => ({ ...slice, block: block / shared })));
    }
    return {
      node, count, producer, acts: [act], slices, projections: own,
      layer: commonModule(own.map(({ layer }) => layer)) ?? node.layer,
    };
  }

  /** The two products around a softmax. */
  private written(softmax: GraphNode): Core | undefined {
    const weighted = this.weighted(softmax.outputs[0]!);
    const scores = this.scores(softmax.inputs[0]!);
    if (!weighted || !scores) return undefined;
    const result = weighted.node.outputs[0]!;
    const value = weighted.node.inputs[1 - weighted.place]!;
    const widthAxis = this.ownAxis(weighted.node, 1 - weighted.place);
    const width = widthAxis === undefined ? undefined : this.context.facts(result).shape?.[widthAxis];
    if (widthAxis === undefined || typeof width !== 'number') return undefined;
    const [query = '', key = ''] = scores.inputs;
    return { node: weighted.node, result, widthAxis, width, sources: [{ role: 'query', value: query }, { role: 'key', value: key }, { role: 'value', value }] };
  }

  /** The axis of a product's result that is only this operand's. */
  private ownAxis(node: GraphNode, place: number): number | undefined {
    const rank = this.context.facts(node.outputs[0]!).shape?.length;
    if (rank === undefined) return undefined;
    if (node.op === 'MatMul') return place === 1 ? rank - 1 : rank - 2;
    const equation = node.attributes['equation'];
    const [operands = '', output] = (equation?.type === 'string' ? equation.value : '').replace(/\s/g, '').split('->');
    const terms = operands.split(',');
    if (!output || terms.length !== 2 || operands.includes('.')) return undefined;
    const own = [...output].filter((letter) => terms[place]!.includes(letter) && !terms[1 - place]!.includes(letter));
    return own.length === 1 ? output.indexOf(own[0]!) : undefined;
  }

  /** The product of the attention weights with the values, and which operand the weights are. */
  private weighted(value: string, depth = 0): { readonly node: GraphNode; readonly place: number } | undefined {
    if (depth > 8) return undefined;
    for (const node of this.index.consumers.get(value) ?? []) {
      const place = node.inputs.indexOf(value);
      if (products.has(node.op) && node.inputs.length === 2 && !this.context.isConstant(node.inputs[1 - place]!)) return { node, place };
      // Dropout; what keeps rows that are masked throughout from being no numbers; samples and heads put on one axis.
      if (passing.has(node.op) || node.op === 'Where' || node.op === 'Reshape') {
        const found = this.weighted(node.outputs[0]!, depth + 1);
        if (found) return found;
      }
    }
    return undefined;
  }

  /** The product of queries and keys: back through scale and mask. */
  private scores(value: string, depth = 0): GraphNode | undefined {
    const node = this.index.producer.get(value);
    if (!node || depth > 8) return undefined;
    if (products.has(node.op)) return node.inputs.length === 2 && !node.inputs.some((input) => this.context.isConstant(input)) ? node : undefined;
    if (!scaling.has(node.op) && !passing.has(node.op) && node.op !== 'Reshape') return undefined;
    for (const input of node.op === 'Reshape' ? node.inputs.slice(0, 1) : node.inputs) {
      const found = input && !this.context.isConstant(input) ? this.scores(input, depth + 1) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  /** The projection behind queries, keys or values: the nearest product with weights, against the flow. */
  private projection(value: string): GraphNode | undefined {
    const seen = new Set<string>();
    const open = [value];
    for (let name = open.shift(); name !== undefined && seen.size < 60; name = open.shift()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const node = this.index.producer.get(name);
      if (!node) continue;
      if (this.rule(node)) return node;
      if (!inside.has(node.op)) continue;
      // The first operand is what is moved; the others say how.
      const moved = mixing.has(node.op) ? node.inputs : node.inputs.slice(0, 1);
      open.push(...moved.filter((input) => input && !this.context.isConstant(input) && !this.graph.constants.has(input)));
    }
    return undefined;
  }

  /** Where the heads lie one behind the other, in front of the output projection (or of whatever reads them instead). */
  private joined(value: string): AxisRef | undefined {
    let at: AxisRef | undefined;
    for (let name = value, steps = 0; steps < 8; steps++) {
      const rank = this.context.facts(name).shape?.length;
      if (rank !== undefined) at = { value: name, axis: rank - 1 };
      const readers = (this.index.consumers.get(name) ?? []).filter(({ op }) => op !== 'Shape');
      const linear = readers.find((node) => this.linear(node, name));
      if (linear) return { value: name, axis: this.linear(linear, name)!.axis };
      const next = readers.filter(({ op }) => moving.has(op));
      if (next.length !== 1) return at;
      name = next[0]!.outputs[0]!;
    }
    return undefined;
  }

  private linear(node: GraphNode, input: string): AxisRef | undefined {
    const rule = familyOf(node)?.linear?.(node, this.context);
    return rule?.weight && rule.input === input ? { value: input, axis: rule.axis } : undefined;
  }

  /** The nearest axis with one index a head. */
  private producer(result: string, labelled: ReadonlyMap<string, LabelledAxis>, count: number): AxisRef | undefined {
    const plain = [...labelled.values()].filter(({ labels }) => labels.length === count && labels.every((label, index) => label === index));
    const made = plain.filter(({ ref }) => this.index.producer.has(ref.value));
    const order = [plain.find(({ ref }) => ref.value === result), ...made.reverse(), plain.find(({ ref }) => !this.graph.tensors.has(ref.value))];
    const size = couplingOf(this.graph).size;
    return order.find((one) => one && size(one.ref) === count)?.ref;
  }

  /** Roles of the tensors that projections read. */
  private rolesOf(makers: readonly { readonly role: WeightSlice['role']; readonly node: GraphNode | undefined }[], act: AxisRef): Map<string, WeightSlice['role']> {
    const found = new Map<string, WeightSlice['role']>();
    for (const { role, node } of makers) {
      for (const slice of (node && this.rule(node)?.slices) ?? []) {
        for (const tensor of this.stored(slice.tensor)) if (!found.has(tensor)) found.set(tensor, slice.role === 'bias' ? 'bias' : role);
      }
    }
    for (const node of this.index.consumers.get(act.value) ?? []) {
      const weight = familyOf(node)?.linear?.(node, this.context)?.weight;
      for (const tensor of weight ? this.stored(weight.value) : []) if (!found.has(tensor)) found.set(tensor, 'output');
    }
    return found;
  }

  /** The tensor behind a constant that is made of it (turned, unpacked). */
  private stored(value: string, depth = 0): readonly string[] {
    if (this.graph.tensors.has(value)) return [value];
    const node = depth < 8 ? this.index.producer.get(value) : undefined;
    return node && this.context.isConstant(value) ? node.inputs.filter(Boolean).flatMap((input) => this.stored(input, depth + 1)) : [];
  }

  private slices(labelled: ReadonlyMap<string, LabelledAxis>, roleOf: ReadonlyMap<string, WeightSlice['role']>, shared: number): WeightSlice[] {
    return [...labelled.values()].flatMap((axis) => {
      const tensor = this.graph.tensors.get(axis.ref.value);
      if (!tensor || !isFloat(tensor.dtype)) return [];
      return sliceOf(axis, roleOf.get(tensor.name) ?? (this.isAdded(tensor.name) ? 'bias' : 'norm'), shared) ?? [];
    }).sort((one, two) => ranks.indexOf(one.role) - ranks.indexOf(two.role));
  }

  private isAdded(tensor: string, depth = 0): boolean {
    // Also when it is cut up first (one bias for three projections), or looked up (biases of places).
    const readers = this.index.consumers.get(tensor) ?? [];
    return depth < 4 && readers.some(({ op, outputs }) => op === 'Add' || op === 'Gather' || op.endsWith('Attention') || (cutting.has(op) && outputs.some((output) => this.isAdded(output, depth + 1))));
  }

  private rule(node: GraphNode): ParticleRule | undefined {
    const rule = familyOf(node)?.particles?.(node, this.context);
    return rule?.kind === 'neuron' || rule?.kind === 'kernel' ? rule : undefined;
  }
}

const roles = ['query', 'key', 'value'] as const;
const ranks: readonly WeightSlice['role'][] = ['query', 'key', 'value', 'bias', 'output', 'norm'];
const products = new Set(['MatMul', 'Einsum']);
const cutting = new Set(['Split', 'Slice', 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze']);
const passing = new Set(['Dropout', 'Identity', 'Cast']);
const scaling = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where', 'Clip', 'Tanh', 'Min', 'Max', 'Sum']);
const moving = new Set([...passing, 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Flatten']);
/** What may lie between a projection and its use: cutting into heads, scaling, rotation, sharing between heads. */
const inside = new Set([
  'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Split', 'Slice', 'Gather', 'Concat', 'Add', 'Mul', 'Div', 'Sub', 'Neg', 'Expand', 'Tile',
  'Identity', 'Dropout', 'Cast', 'LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization', 'Flatten', 'Where', 'RotaryEmbedding',
]);
const mixing = new Set(['Concat', 'Add', 'Mul', 'Sub']);

/** 'blocks.2.attn' of 'blocks.2.attn.q' and 'blocks.2.attn.k'; the name itself when there is one projection for all. */
function commonModule(names: readonly string[]): string | undefined {
  const paths = names.map((name) => name.split(/(?<=[./])/));
  const [first] = paths;
  if (!first || new Set(names).size === 1) return names[0];
  let shared = 0;
  while (shared < first.length - 1 && paths.every((path) => path[shared] === first[shared])) shared++;
  return first.slice(0, shared).join('').replace(/[./]$/, '') || undefined;
}
