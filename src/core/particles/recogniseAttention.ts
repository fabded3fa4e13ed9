import { intsOf } from '../graph/attributes';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphIndex, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import type { AxisRef, ParticleRule, ShapeContext, WeightSlice } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';

/** Softmax(Q K') V with heads on an axis of its own, as exporters write it, and the projections around it. */
export interface RecognisedAttention {
  /** The product with the values; its output has one index a head on `producer.axis`. */
  readonly node: GraphNode;
  /** Module of the projections, where their names agree on one. */
  readonly layer: string;
  readonly count: number;
  readonly producer: AxisRef;
  /** The input of the output projection: heads one behind the other. */
  readonly acts: readonly AxisRef[];
  readonly slices: readonly WeightSlice[];
  /** The projections that make queries, keys and values: their outputs are the heads' inside. */
  readonly projections: readonly GraphNode[];
}

/**
 * Finds attention in the operators that exporters write for it: two products with a softmax between them, queries, keys and
 * values cut into heads by Reshape and Transpose. Scale, mask, dropout, rotation of positions and keys that several heads
 * share may lie between. What does not look like that is left as it is.
 */
export function recogniseAttention(graph: ModelGraph): readonly RecognisedAttention[] {
  const finder = new Finder(graph);
  return graph.nodes.filter((node) => node.op === 'Softmax' && node.domain === '').flatMap((node) => finder.from(node) ?? []);
}

class Finder {
  private readonly index: GraphIndex;
  private readonly context: ShapeContext;

  constructor(private readonly graph: ModelGraph) {
    this.index = indexOf(graph);
    this.context = contextOf(graph);
  }

  from(softmax: GraphNode): RecognisedAttention | undefined {
    const weighted = this.weighted(softmax.outputs[0]!);
    const scores = this.scores(softmax.inputs[0]!);
    const shape = weighted && this.context.facts(weighted.outputs[0]!).shape;
    // [batch, heads, steps, width]
    const [count, width] = [shape?.[1], shape?.[3]];
    if (!weighted || !scores || shape?.length !== 4 || typeof count !== 'number' || typeof width !== 'number') return undefined;
    const act = this.joined(weighted.outputs[0]!);
    const [query, key, value] = [scores.inputs[0]!, scores.inputs[1]!, weighted.inputs[1]!].map((name) => this.projection(name));
    if (!act || !query || !key || !value) return undefined;
    const projections = [...new Set([query, key, value])];
    const slices = [
      ...this.columns(query, 'query', count, width), ...this.columns(key, 'key', count, width), ...this.columns(value, 'value', count, width),
    ];
    const rows = this.outputRows(act, width);
    return {
      node: weighted, count, producer: { value: weighted.outputs[0]!, axis: 1 }, acts: [act], projections,
      layer: commonModule(projections.map(({ layer }) => layer)) ?? weighted.layer, slices: [...distinct(slices), ...rows],
    };
  }

  /** The product of the attention weights with the values. */
  private weighted(value: string): GraphNode | undefined {
    for (const node of this.index.consumers.get(value) ?? []) {
      if (node.op === 'MatMul' && node.inputs[0] === value) return node;
      // Dropout; and what keeps rows that are masked throughout from being no numbers.
      if (passing.has(node.op) || node.op === 'Where') {
        const found = this.weighted(node.outputs[0]!);
        if (found) return found;
      }
    }
    return undefined;
  }

  /** The product of queries and keys: back through scale and mask. */
  private scores(value: string, depth = 0): GraphNode | undefined {
    const node = this.index.producer.get(value);
    if (!node || depth > 8) return undefined;
    if (node.op === 'MatMul') return node;
    if (!scaling.has(node.op) && !passing.has(node.op)) return undefined;
    for (const input of node.inputs) {
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

  /** Where the heads lie one behind the other again, in front of the output projection. */
  private joined(value: string): AxisRef | undefined {
    let order = [0, 1, 2, 3];
    for (let name = value, steps = 0; steps < 6; steps++) {
      const readers = (this.index.consumers.get(name) ?? []).filter(({ op }) => op !== 'Shape');
      const [node] = readers;
      if (!node || readers.length !== 1) return undefined;
      if (node.op === 'Transpose' && this.context.facts(name).shape?.length === 4) {
        order = (intsOf(node, 'perm') ?? [3, 2, 1, 0]).map((axis) => order[axis]!);
      } else if (node.op === 'Reshape') {
        const shape = this.context.facts(node.outputs[0]!).shape;
        const from = this.context.facts(name).shape;
        const whole = (from?.[2] ?? NaN) * (from?.[3] ?? NaN);
        if (order[2] !== 1 || order[3] !== 3 || !shape || (shape.at(-1) ?? whole) !== whole) return undefined;
        return { value: node.outputs[0]!, axis: shape.length - 1 };
      } else if (!passing.has(node.op)) {
        return undefined;
      }
      name = node.outputs[0]!;
    }
    return undefined;
  }

  /** A projection's columns: a head's lie together; one product for queries, keys and values repeats the pattern. */
  private columns(node: GraphNode, role: WeightSlice['role'], count: number, width: number): WeightSlice[] {
    const rule = this.rule(node)!;
    const parts = rule.count / (count * width);
    // Fewer keys than queries: each group of heads shares one, and no column is a single head's.
    if (!Number.isInteger(parts)) return [];
    return rule.slices.map(({ tensor, axis, role: own }) => ({
      tensor, axis, role: own === 'bias' ? 'bias' : role, block: width, ...(parts > 1 && { every: count * width }),
    }));
  }

  private outputRows(act: AxisRef, width: number): WeightSlice[] {
    for (const node of this.index.consumers.get(act.value) ?? []) {
      const rule = familyOf(node)?.linear?.(node, this.context);
      if (rule?.weight && rule.input === act.value && this.graph.tensors.has(rule.weight.value)) {
        return [{ tensor: rule.weight.value, axis: rule.weight.axis, role: 'output', block: width }];
      }
    }
    return [];
  }

  private rule(node: GraphNode): ParticleRule | undefined {
    const rule = familyOf(node)?.particles?.(node, this.context);
    return rule?.kind === 'neuron' || rule?.kind === 'kernel' ? rule : undefined;
  }
}

const passing = new Set(['Dropout', 'Identity', 'Cast']);
const scaling = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where', 'Clip', 'Tanh', 'Min', 'Max']);
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

function distinct(slices: readonly WeightSlice[]): WeightSlice[] {
  return slices.filter((slice, index) => slices.findIndex((other) => other.tensor === slice.tensor && other.axis === slice.axis) === index);
}
