import { readsOf } from './attributes';
import { ParticlizeError, type ErrorParts } from './errors';
import { GraphOnGraph } from './graphBuilder';
import { contextOf, inferShapes, type ShapeInference } from './inferShapes';
import type { Attribute, Dim, GraphNode, ModelGraph, Shape, ValueInfo } from './modelGraph';
import { isFloat } from './numeric';
import { Maths } from './ops/gradients/maths';
import type { GradientContext, GraphBuilder, ValueFacts } from './ops/operator';
import { familyOf } from './ops/registry';

export interface Differentiation {
  /**
   * What is differentiated: a scalar; a value of any shape, then the sum of its elements (or, with `seed`, the sum
   * weighted by what is fed there); or one index of a value's last axis ([N, classes]: that logit of every sample).
   * Samples that the model keeps apart have gradients of their own, so that one run gives them for the whole batch.
   */
  readonly of: string | { readonly value: string; readonly index: number };
  /** Values (inputs, activations) and tensors; tensors stay constants unless a program feeds them. */
  readonly withRespectTo: readonly string[];
  /** Adds an input of this name, of the shape of `of`, that holds the gradient flowing into it. Not with an index. */
  readonly seed?: string;
  /** Whether the graph's own outputs follow the gradients. */
  readonly keepOutputs?: boolean;
}

export interface Differentiated {
  /** The graph with the gradients' operators behind its own; its outputs are the gradients, in the order asked for. */
  readonly graph: ModelGraph;
  /** The value that holds each gradient, of the same shape as what it belongs to; zeros where nothing depends on it. */
  readonly gradients: ReadonlyMap<string, string>;
  /** The input that holds the incoming gradient, if one was asked for. */
  readonly seed?: string;
}

/**
 * Reverse-mode differentiation as a graph transformation (Griewank and Walther, Evaluating Derivatives, 2008): from the
 * last operator to the first, each family's gradient rule adds operators, and gradients that meet are added up. The same
 * question gives the same names. Rejects with a ParticlizeError when a value does not exist, or naming the layer and the
 * operator when one on the way has no gradient rule or no gradient in this form.
 */
export async function differentiate(graph: ModelGraph, question: Differentiation): Promise<Differentiated> {
  const { of, withRespectTo, keepOutputs } = question;
  const value = typeof of === 'string' ? of : of.value;
  for (const name of [value, ...withRespectTo]) requireFloat(graph, name);
  const builder = new GraphOnGraph(graph);
  const tape = new Tape(graph, builder);
  const maths = new Maths({ builder: tape, sizes: (name) => tape.sizes(name) });
  const { dtype, shape } = builder.facts(value);
  const seed = question.seed === undefined ? undefined : builder.input(question.seed, { dtype, shape });
  if (seed) tape.know(seed, value);
  const incoming = seed ?? (typeof of === 'string' ? maths.constantLike(1, value) : maths.oneHotLike(of.index, value));
  const found = tape.reverse(graph.nodes, new Map([[value, incoming]]), withRespectTo);
  const gradients = new Map(withRespectTo.map((name) => [name, found.get(name) ?? maths.constantLike(0, name)]));
  const outputs = [...gradients.values(), ...(keepOutputs ? graph.outputs.map((output) => output.name) : [])];
  return { graph: await builder.finish([...new Set(outputs)]), gradients, ...(seed && { seed }) };
}

function requireFloat(graph: ModelGraph, name: string): void {
  const known = graph.values.get(name) ?? graph.inputs.find((input) => input.name === name) ?? graph.tensors.get(name);
  if (!known) throw new ParticlizeError({ cause: `there is no gradient: the model has no value '${name}'` });
  if (known.dtype && !isFloat(known.dtype)) {
    throw new ParticlizeError({ place: name, cause: `there is no gradient: its elements are ${known.dtype}, not real numbers` });
  }
}

/** An operator on the way has no gradient, so that nothing in front of it has one. */
export class NoGradientError extends ParticlizeError {
  constructor(readonly node: GraphNode, parts: ErrorParts, options?: { cause?: unknown }) {
    super(parts, options);
  }
}

/** What is added while differentiating, with stand-ins for sizes that are open, and a record for composed operators. */
class Tape implements GraphBuilder {
  private readonly standIns: ShapeInference;
  private readonly base;
  /** What a composition has added so far. */
  private record: GraphNode[] | undefined;

  constructor(private readonly graph: ModelGraph, private readonly builder: GraphOnGraph) {
    this.base = contextOf(graph);
    const contents = [...graph.constants].filter(([name]) => graph.tensors.has(name));
    this.standIns = inferShapes({
      opset: graph.opset, tensors: graph.tensors, constants: new Map(contents), inputs: withStandIns(graph.inputs),
    }, graph.nodes);
  }

  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string {
    return this.nodes(op, inputs, 1, attributes)[0]!;
  }

  nodes(op: string, inputs: readonly string[], outputs: number, attributes: Readonly<Record<string, Attribute>> = {}): readonly string[] {
    const made = this.builder.nodes(op, inputs, outputs, attributes);
    const node: GraphNode = { name: made[0]!, op, domain: '', inputs, outputs: made, attributes, layer: '' };
    this.standIns.add(node);
    this.record?.push(node);
    return made;
  }

  int64(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.added(this.builder.int64(values, shape), values);
  }

  float32(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.added(this.builder.float32(values, shape), values.length === 1 ? values : undefined);
  }

  facts(value: string): ValueFacts {
    return this.builder.facts(value);
  }

  sizes(value: string): Shape | undefined {
    const { shape } = this.builder.facts(value);
    const standIn = this.standIns.facts(value).shape;
    if (!shape || standIn?.length !== shape.length) return shape ?? standIn;
    return shape.map((dim, axis) => dim ?? standIn[axis]!);
  }

  /** Says that a new input has the shape of another value. */
  know(input: string, like: string): void {
    const { dtype } = this.builder.facts(like);
    this.standIns.values.set(input, { name: input, dtype, shape: this.sizes(like) });
  }

  /** Gradients of what the seeds flow into, by target; targets that nothing depends on are missing. */
  reverse(nodes: readonly GraphNode[], seeds: ReadonlyMap<string, string>, targets: readonly string[]): ReadonlyMap<string, string> {
    const active = this.dependents(nodes, targets);
    const flowing = new Map<string, string[]>([...seeds].map(([value, seed]) => [value, [seed]]));
    const collect = (value: string): string | undefined => {
      const parts = flowing.get(value);
      if (!parts || parts.length < 2) return parts?.[0];
      const sum = this.node(parts.length === 2 ? 'Add' : 'Sum', parts);
      flowing.set(value, [sum]);
      return sum;
    };
    for (const node of [...nodes].reverse()) {
      if (!node.outputs.some((output) => active.has(output) && flowing.has(output))) continue;
      if (!readsOf(node).some((input) => active.has(input))) continue;
      const outputs = node.outputs.map((output) => (active.has(output) ? collect(output) : undefined));
      this.ofInputs(node, outputs, active).forEach((gradient, index) => {
        const input = node.inputs[index];
        if (gradient && input && active.has(input)) flowing.set(input, [...flowing.get(input) ?? [], gradient]);
      });
    }
    const found = targets.map((target) => [target, collect(target)] as const);
    return new Map(found.filter((entry): entry is readonly [string, string] => entry[1] !== undefined));
  }

  /** Values that follow from the targets by real numbers; sizes, indices and comparisons have no gradient. */
  private dependents(nodes: readonly GraphNode[], targets: readonly string[]): ReadonlySet<string> {
    const active = new Set(targets);
    for (const node of nodes) {
      if (!readsOf(node).some((input) => active.has(input))) continue;
      for (const output of node.outputs) {
        const { dtype } = this.builder.facts(output);
        if (output && (!dtype || isFloat(dtype))) active.add(output);
      }
    }
    return active;
  }

  private ofInputs(node: GraphNode, outputs: readonly (string | undefined)[], active: ReadonlySet<string>): readonly (string | undefined)[] {
    const rule = familyOf(node);
    const title = node.domain ? `${node.domain}:${node.op}` : node.op;
    const place = `layer ${node.layer} (${title})`;
    if (!rule?.gradient) throw new NoGradientError(node, { place, cause: `there is no gradient rule for ${title}`, action: advice });
    try {
      return rule.gradient(node, this.contextFor(node, outputs, active));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new NoGradientError(node, { place, cause: `there is no gradient of this: ${error.message}`, action: advice }, { cause: error });
    }
  }

  private contextFor(node: GraphNode, outputs: readonly (string | undefined)[], active: ReadonlySet<string>): GradientContext {
    const needs = (input: number): boolean => active.has(node.inputs[input] ?? '');
    return {
      builder: this, opset: this.graph.opset, outputs, needs,
      facts: (value) => this.builder.facts(value),
      isConstant: (value) => this.base.isConstant(value),
      sizes: (value) => this.sizes(value),
      output: (index) => this.builder.outputOf(node, index),
      through: (compose) => this.through(node, outputs, needs, compose),
    };
  }

  private through(
    node: GraphNode, outputs: readonly (string | undefined)[], needs: (input: number) => boolean,
    compose: (builder: GraphBuilder) => readonly (string | undefined)[],
  ): readonly (string | undefined)[] {
    const before = this.record;
    const record: GraphNode[] = (this.record = []);
    const made = compose(this);
    this.record = before;
    const seeds = new Map<string, string>();
    made.forEach((value, index) => {
      const gradient = outputs[index];
      if (!gradient) return;
      if (!value) throw new RangeError(`its output ${index} has none`);
      seeds.set(value, gradient);
    });
    const wanted = [...new Set(node.inputs.filter((input, index) => input && needs(index)))];
    const found = this.reverse(record.map((added) => ({ ...added, layer: node.layer })), seeds, wanted);
    // An input that is read twice gets all of its gradient at the first place.
    return node.inputs.map((input, index) => (node.inputs.indexOf(input) === index ? found.get(input) : undefined));
  }

  private added(name: string, contents: readonly number[] | undefined): string {
    const { dtype, shape } = this.builder.facts(name);
    this.standIns.values.set(name, { name, dtype, shape });
    this.standIns.addTensor(name, contents);
    return name;
  }
}

const advice = 'Ask for gradients of layers behind it, or choose a measurement that needs none';

/** Open sizes replaced by numbers that divide evenly, as batches are split into heads or groups, and meet no real size. */
function withStandIns(inputs: readonly ValueInfo[]): readonly ValueInfo[] {
  let next = 1009;
  const standIn = (): Dim => 5040 * (next += 2);
  return inputs.map((input) => ({ ...input, shape: input.shape?.map((dim) => dim ?? standIn()) }));
}

