import type { Attribute, Shape } from '../../graph/modelGraph';
import type { ValueFacts } from '../../graph/ops/operator';
import type { DType, Tensor } from '../../graph/tensor';
import type { WeightLayout } from '../keras/weightView';
import type { TfNode } from './tfGraph';

/** What a translation rule sees of its TensorFlow node, and the graph that it adds to. Whole numbers are int64 throughout. */
export interface OpContext {
  readonly node: TfNode;
  readonly inputCount: number;
  /** The value (or tensor) that an input became. Throws when it is missing. */
  input(index: number): string;
  facts(value: string): ValueFacts;
  /** The shape of an input, a constant's as the file has it. */
  shapeOf(index: number): Shape | undefined;
  /** Contents of an input that is a small constant, undefined otherwise. */
  constant(index: number): readonly number[] | undefined;
  /** A constant input as a tensor in another layout (graph axis k is its axis `axes[k]`), undefined when it is computed. */
  weight(index: number, layout: WeightLayout): WeightRef | undefined;
  text(name: string, otherwise: string): string;
  int(name: string, otherwise: number): number;
  float(name: string, otherwise: number): number;
  flag(name: string, otherwise: boolean): boolean;
  ints(name: string): readonly number[];
  texts(name: string): readonly string[];
  dtype(name: string): DType | undefined;
  shape(name: string): Shape | null | undefined;
  /** Adds a node with one output and returns its value. */
  add(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>, domain?: string): string;
  addMany(op: string, inputs: readonly string[], outputs: number, attributes?: Readonly<Record<string, Attribute>>, domain?: string): readonly string[];
  int64(hint: string, values: readonly number[], shape?: readonly number[]): string;
  float32(hint: string, values: readonly number[], shape?: readonly number[]): string;
  /**
   * When the only reader of this node adds a constant with one element for each of `channels` on the last axis (or axis
   * 1 in NCHW), takes that node into this one and gives the constant.
   */
  followingBias(channels: number, channelsFirst: boolean): string | undefined;
  /** Says that the constant `value` that was made of input `index` goes back to the file by `toFile`. */
  madeFrom(value: string, index: number, toFile: (values: readonly number[]) => { readonly values: readonly number[]; readonly shape: readonly number[] }): void;
  /** Says that input `index`, the size of a result that the graph infers, holds the size of a tensor's axis as its channels. */
  followsSize(tensor: string, axis: number, index: number): void;
  /** Adds the node as one that nothing is known about, and a finding. */
  opaque(reason?: string): readonly string[];
  fail(cause: string): never;
}

export interface WeightRef {
  readonly name: string;
  /** In the graph's layout. */
  readonly shape: readonly number[];
}

/** Adds what a node computes; gives the values of its outputs (those that are used). */
export type OpRule = (context: OpContext) => string | readonly string[];

/** Rules by operator; one group a file, one line in ops/registry.ts. */
export type OpGroup = Readonly<Record<string, OpRule>>;

export type { Tensor };
