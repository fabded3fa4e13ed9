import type { Dim, GraphNode, ModelGraph, Shape, ValueInfo } from './modelGraph';
import { familyOf } from './ops/registry';
import type { ShapeContext, ValueFacts } from './ops/operator';
import type { Tensor } from './tensor';

/** Largest tensor whose contents take part in shape arithmetic. */
export const smallElements = 1024;

/** Facts that are known before any node is looked at. */
export interface KnownFacts {
  readonly opset: number;
  readonly inputs: readonly ValueInfo[];
  readonly tensors: ModelGraph['tensors'];
  /** Contents of small tensors by name. */
  readonly constants: ReadonlyMap<string, readonly Dim[]>;
  readonly declared?: ReadonlyMap<string, ValueInfo>;
}

export interface Contradiction {
  readonly node: GraphNode;
  readonly value: string;
  readonly inferred: Shape;
  readonly declared: Shape;
}

/**
 * Shapes, element types and small integer contents of every value, node by node. One object serves a whole graph:
 * call {@link add} with the nodes in topological order. Never throws on an odd node: what does not follow stays unknown.
 */
export class ShapeInference implements ShapeContext {
  readonly opset: number;
  readonly values = new Map<string, ValueInfo>();
  readonly constants = new Map<string, readonly Dim[]>();
  readonly contradictions: Contradiction[] = [];
  /** Nodes whose rule failed on what it was given, with the reason. */
  readonly failures: { readonly node: GraphNode; readonly reason: string }[] = [];
  /** Values that depend on nothing but tensors. */
  private readonly fixed = new Set<string>();

  constructor(private readonly known: KnownFacts) {
    this.opset = known.opset;
    for (const [name, contents] of known.constants) this.constants.set(name, contents);
    for (const input of known.inputs) this.values.set(input.name, input);
  }

  facts(value: string): ValueFacts {
    if (!value) return {};
    const info = this.values.get(value) ?? this.known.tensors.get(value);
    if (!info) return {};
    return factsOf(info, this.constants.get(value));
  }

  isConstant(value: string): boolean {
    return this.fixed.has(value) || (this.known.tensors.has(value) && !this.values.has(value));
  }

  /** Adds facts of a tensor that came later (an upgrade's or a builder's constant). */
  addTensor(name: string, contents: readonly Dim[] | undefined): void {
    if (contents) this.constants.set(name, contents);
  }

  add(node: GraphNode): void {
    const facts = this.apply(node);
    const inputs = node.inputs.filter(Boolean);
    const nested = Object.values(node.attributes).some((attribute) => attribute.type === 'graph');
    const fixed = !nested && !randomOps.has(node.op) && inputs.every((input) => this.isConstant(input));
    node.outputs.forEach((output, index) => {
      if (!output) return;
      this.record(node, output, facts[index] ?? {});
      if (fixed) this.fixed.add(output);
    });
  }

  private apply(node: GraphNode): readonly ValueFacts[] {
    try {
      return familyOf(node)?.shape(node, this) ?? [];
    } catch (error) {
      // A rule that meets an impossible node (ranks that do not fit) must not keep the rest from being shown.
      this.failures.push({ node, reason: error instanceof Error ? error.message : String(error) });
      return [];
    }
  }

  private record(node: GraphNode, name: string, facts: ValueFacts): void {
    const declared = this.known.declared?.get(name);
    let shape = facts.shape;
    if (declared?.shape && shape && !agree(shape, declared.shape)) {
      this.contradictions.push({ node, value: name, inferred: shape, declared: declared.shape });
    } else if (declared?.shape) {
      const claimed = declared.shape;
      shape = shape ? shape.map((dim, axis) => dim ?? claimed[axis] ?? null) : claimed;
    }
    this.values.set(name, { name, dtype: facts.dtype ?? declared?.dtype, shape, ...(facts.fill !== undefined && { fill: facts.fill }) });
    if (facts.constant && facts.constant.length <= smallElements) this.constants.set(name, facts.constant);
  }
}

/** Infers a whole graph again, for instance after its inputs or tensors changed. */
export function inferShapes(known: KnownFacts, nodes: readonly GraphNode[]): ShapeInference {
  const inference = new ShapeInference(known);
  for (const node of nodes) inference.add(node);
  return inference;
}

/** The facts of a finished graph, as the rules of operator families want them. */
export function contextOf(graph: ModelGraph): ShapeContext {
  let context = contexts.get(graph);
  if (!context) contexts.set(graph, (context = makeContext(graph)));
  return context;
}

const contexts = new WeakMap<ModelGraph, ShapeContext>();

const randomOps = new Set(['RandomNormal', 'RandomUniform', 'RandomNormalLike', 'RandomUniformLike', 'Multinomial', 'Bernoulli']);

function makeContext(graph: ModelGraph): ShapeContext {
  const fixed = new Set<string>(graph.tensors.keys());
  for (const input of graph.inputs) fixed.delete(input.name);
  for (const node of graph.nodes) {
    const nested = Object.values(node.attributes).some((attribute) => attribute.type === 'graph');
    if (nested || randomOps.has(node.op) || !node.inputs.every((input) => !input || fixed.has(input))) continue;
    for (const output of node.outputs) fixed.add(output);
  }
  return {
    opset: graph.opset,
    isConstant: (value) => fixed.has(value),
    facts(value) {
      const info = graph.values.get(value) ?? graph.tensors.get(value);
      return info ? factsOf(info, graph.constants.get(value)) : {};
    },
  };
}

function factsOf(info: ValueInfo | Tensor, constant: readonly Dim[] | undefined): ValueFacts {
  return { dtype: info.dtype, shape: info.shape, constant, ...('fill' in info && { fill: info.fill }) };
}

function agree(left: Shape, right: Shape): boolean {
  return left.length === right.length
    && left.every((dim, axis) => dim === null || right[axis] === null || dim === right[axis]);
}
