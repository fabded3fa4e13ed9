import type { Attribute, Dim, GraphNode, ModelGraph, Shape, ValueInfo } from '../modelGraph';
import type { DType } from '../tensor';

/**
 * One operator family: everything that Particlize knows about its operators, one file each, one register line in
 * registry.ts. A rule that is missing means "does not apply"; an operator without a family is opaque: shown, run by
 * ONNX Runtime, and a barrier to coupling.
 */
export interface OperatorFamily {
  readonly name: string;
  /** Operator names of domain '' (or 'domain:Name'). */
  readonly ops: readonly string[];
  /** Brings a node of an older operator set to the form of opset 18+; may add constants. Called by the ONNX reader. */
  upgrade?(node: GraphNode, context: UpgradeContext): readonly GraphNode[];
  /** Shape rule: facts about each output, as far as they follow from the inputs. */
  shape(node: GraphNode, context: ShapeContext): readonly ValueFacts[];
  /** Channel-flow rule: how the indices of one axis relate to those of others, so that removal can travel. */
  flow?(node: GraphNode, context: ShapeContext): readonly Relation[];
  /** Rewrites what depends on sizes (group counts, target shapes, split sizes) after axes shrank. */
  resize?(node: GraphNode, context: ResizeContext): GraphNode;
  /** Particle rule: what this operator's particles are. */
  particles?(node: GraphNode, context: ShapeContext): ParticleRule | undefined;
  /** For operators that are linear in one input: how a consumer's pre-activation splits into contributions. */
  linear?(node: GraphNode, context: ShapeContext): LinearRule | undefined;
  /** Multiply-accumulates for batch 1; undefined where sizes are unknown, 0 where there are none. */
  macs?(node: GraphNode, context: ShapeContext): number | undefined;
  /** Gradient rule: adds nodes that compute the gradient of each input from those of the outputs. */
  gradient?(node: GraphNode, context: GradientContext): readonly (string | undefined)[];
}

export interface ValueFacts {
  readonly dtype?: DType;
  readonly shape?: Shape;
  /** Contents, for small integer tensors whose elements follow without running (null: unknown element). */
  readonly constant?: readonly Dim[];
  /** The number that every element is, where that is known without running (states that begin with zeros). */
  readonly fill?: number;
}

export interface ShapeContext {
  readonly opset: number;
  facts(value: string): ValueFacts;
  /** Whether it is a tensor, or made of nothing but tensors. */
  isConstant(value: string): boolean;
  /** Where sizes that the model leaves open have stand-ins: small integer contents made of those (see standIns.ts). */
  contents?(value: string): readonly Dim[] | undefined;
}

export interface UpgradeContext {
  readonly fromOpset: number;
  /** Shape and small contents of what is known at this point. */
  facts(value: string): ValueFacts;
  /** Adds an int64 constant and returns its name. */
  int64(hint: string, values: readonly number[]): string;
  /** Adds a float32 constant and returns its name; scalar when shape is []. */
  float32(hint: string, values: readonly number[], shape: readonly number[]): string;
  /** A new value name, for nodes in front of the upgraded one (which comes last and keeps its name). */
  value(hint: string): string;
}

/**
 * Indices of axis `a` correspond to indices of axis `b`:
 *   index of b = offset + ((outer * size(a)) + indexOf(a)) * inner + r,   outer in [0, outer), r in [0, inner)
 * plain equality is {outer: 1, inner: 1, offset: 0}; flatten of [C, H*W] is inner = H*W; channels-last flatten of
 * [H*W, C] is outer = H*W; concat gives each part an offset. What is removed on one side goes on the other too
 * (a block goes when its particle goes; part of a block drags the whole block). Reshaping ties one axis b to each of the
 * axes that it merges, by one relation each: backwards an index of a goes when all that it became is gone, so that a
 * removed channel does not drag every row of pixels along.
 */
export interface Relation {
  readonly a: AxisRef;
  readonly b: AxisRef;
  readonly outer?: number;
  readonly inner?: number;
  readonly offset?: number;
  /** Size of `a` where it is no value's axis but one inside the operator (the groups of a grouped convolution). */
  readonly size?: number;
  /** Where `b` can be cut along several axes inside the operator: the least is taken first. 0 unless said. */
  readonly rank?: number;
}

export interface AxisRef {
  /** A value or a tensor. */
  readonly value: string;
  readonly axis: number;
}

/** An axis that must keep its size; the reason is shown to the user. Rules give it as a relation to `barrier(reason)`. */
export interface Barrier extends Relation {
  readonly reason: string;
}

export function isBarrier(relation: Relation): relation is Barrier {
  return 'reason' in relation;
}

export interface ResizeContext extends ShapeContext {
  /** Facts after the removal, for values and tensors. */
  after(value: string): ValueFacts;
  /** Sizes after the removal, with a stand-in for each that the model leaves open. */
  sizes(value: string): Shape | undefined;
  /** Small integer contents as the nodes in front make them now, with the same stand-ins. */
  contents(value: string): readonly Dim[] | undefined;
  /** Replaces a constant input by new contents; returns its new name. */
  int64(hint: string, values: readonly number[]): string;
  /** Adds a node in front of this one and returns the name of its output. */
  node(op: string, inputs: readonly string[]): string;
  /** Indices that stay on an axis, or undefined when nothing was removed there. */
  kept(ref: AxisRef): readonly number[] | undefined;
}

export interface ParticleRule {
  readonly kind: ParticleKind;
  readonly count: number;
  /** The value whose axis enumerates the particles, right behind this operator. */
  readonly output: string;
  readonly axis: number;
  /** Further outputs of the operator with the same particles (the final state of a recurrent layer). */
  readonly others?: readonly AxisRef[];
  /** Slices of weights that are the particle: index p of `axis` (p*block .. p*block+block-1, repeated by `repeats` at `every`). */
  readonly slices: readonly WeightSlice[];
}

export type ParticleKind = 'kernel' | 'neuron' | 'unit' | 'head' | 'factor';

export interface WeightSlice {
  readonly tensor: string;
  readonly axis: number;
  readonly role: 'weight' | 'bias' | 'norm' | 'recurrent' | 'query' | 'key' | 'value' | 'output';
  /** Elements along the axis that belong to one particle (a head's width; 1 for kernels). */
  readonly block?: number;
  /** The pattern repeats at this stride (gates of an LSTM: every = units). */
  readonly every?: number;
  /** So many particles, one behind the other, share each slice (keys and values of grouped queries); 1 unless said. */
  readonly shared?: number;
}

/** y = Σ_j contribution_j(x) + bias, over the indices j of `axis` of input `input`. */
export interface LinearRule {
  readonly input: string;
  readonly axis: number;
  readonly output: string;
  /** The axis of the output that enumerates the consumer's own particles. */
  readonly outputAxis: number;
  /** Names of the inputs of the node that are additive constants (dropped to get Σ alone). */
  readonly bias?: string;
  /**
   * The sums are inside the operator (gates of a recurrent layer, which are not values of the graph): `output` only says
   * where they end up, and cutting a particle is not subtracting its terms from it.
   */
  readonly inside?: boolean;
  /**
   * Adds nodes that compute the contributions of J particles at once. `x` is the input restricted to those particles'
   * indices on `axis` (J * block of them, particle-major, same rank as the input); `weights` is the weight restricted
   * likewise. Returns a value of shape [J, ...output shape], without bias. Missing: masked copies of the input are run.
   */
  readonly contributions?: (builder: GraphBuilder, x: string, weights: string, particles: number, block: number) => string;
  /** The weight that `contributions` wants sliced, and the axis to slice. */
  readonly weight?: AxisRef;
}

/** Adds nodes and constants to a graph that is being built. */
export interface GraphBuilder {
  /** Adds a node with one output and returns that output's name. */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  /** Adds a node with several outputs. */
  nodes(op: string, inputs: readonly string[], outputs: number, attributes?: Readonly<Record<string, Attribute>>): readonly string[];
  int64(values: readonly number[], shape?: readonly number[]): string;
  float32(values: readonly number[], shape?: readonly number[]): string;
  facts(value: string): ValueFacts;
}

export interface GradientContext extends ShapeContext {
  readonly builder: GraphBuilder;
  /** Gradient flowing into each output, or undefined when none does. */
  readonly outputs: readonly (string | undefined)[];
  /** Which inputs need a gradient. */
  needs(input: number): boolean;
  /**
   * Sizes with a stand-in for each one that the model leaves open: equal numbers are equal sizes whatever is fed (two
   * values with the same batch), and no known size is one of them. null where not even that follows.
   */
  sizes(value: string): Shape | undefined;
  /** The value of an output that the operator has but the model may not use (a pooling's indices). */
  output(index: number): string;
  /**
   * The gradients by way of plainer operators: `compose` makes the node's outputs once more from its inputs (those that
   * get no gradient may be left out), and what it adds is differentiated.
   */
  through(compose: (builder: GraphBuilder) => readonly (string | undefined)[]): readonly (string | undefined)[];
}

export type { ModelGraph, ValueInfo };
