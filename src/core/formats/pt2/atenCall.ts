import type { Attribute, Attributes, Dim, Shape } from '../../graph/modelGraph';
import type { DType, NdArray } from '../../graph/tensor';

/** One call of an aten operator, and what a rule needs to say it in ONNX's vocabulary. */
export interface AtenCall {
  readonly outputs: readonly string[];
  /** A tensor argument; throws a RangeError when it is missing. */
  tensor(name: string): string;
  /** '' when it is missing or None. */
  optional(name: string): string;
  tensors(name: string): readonly string[];
  int(name: string, otherwise: number): number;
  /** One number may stand for a list of `length` equal ones. */
  ints(name: string, otherwise: readonly number[], length?: number): readonly number[];
  float(name: string, otherwise: number): number;
  bool(name: string, otherwise: boolean): boolean;
  text(name: string, otherwise: string): string;
  has(name: string): boolean;
  /** A list of sizes as an int64 vector, computed in the graph where some are symbols. */
  sizes(name: string): string;
  /** Those sizes, null where they are symbols. */
  knownSizes(name: string): readonly Dim[];
  /** A tensor, or a number as a scalar of the type of `like`. */
  operand(name: string, like: string): string;
  shape(value: string): Shape;
  rank(value: string): number;
  dtype(value: string): DType | undefined;
  /** Adds a node and returns its first output; without `outputs` it makes a value of its own. */
  emit(op: string, inputs: readonly string[], attributes?: Attributes, outputs?: readonly string[]): string;
  int64(values: readonly number[]): string;
  constant(array: NdArray): string;
  scalar(value: number, dtype: DType | undefined): string;
}

/** Throws a RangeError with the reason when the operator cannot be said in ONNX; it stays opaque then. */
export type AtenRule = (call: AtenCall) => void;

/** By operator and overload: 'conv2d.default'; 'conv2d' means every overload. */
export type AtenRules = Readonly<Record<string, AtenRule>>;

/** A rule for operators that ONNX has with the same meaning: input 'self' (or the one given), no attributes. */
export function same(op: string, input = 'self', attributes: Readonly<Record<string, Attribute>> = {}): AtenRule {
  return (call) => call.emit(op, [call.tensor(input)], attributes, call.outputs.slice(0, 1));
}

/** An axis counted from the front. */
export function axisOf(axis: number, rank: number): number {
  const own = axis < 0 ? axis + rank : axis;
  if (own < 0 || own >= rank) throw new RangeError(`axis ${axis} of ${rank}`);
  return own;
}
