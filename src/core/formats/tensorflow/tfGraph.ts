import type { Shape } from '../../graph/modelGraph';
import type { DType, Tensor } from '../../graph/tensor';

/** A TensorFlow graph, from whatever file: GraphDef in JSON or Protocol Buffers, functions still apart or put in. */
export interface TfGraph {
  readonly nodes: readonly TfNode[];
  readonly functions: ReadonlyMap<string, TfFunction>;
}

export interface TfNode {
  readonly name: string;
  readonly op: string;
  /** 'node' or 'node:1'; inside a function also 'node:output:0' or an argument. Control inputs are left out. */
  readonly inputs: readonly string[];
  readonly attributes: ReadonlyMap<string, TfAttribute>;
}

/** An AttrValue; exactly one field is there. */
export interface TfAttribute {
  readonly text?: string;
  readonly int?: number;
  readonly float?: number;
  readonly flag?: boolean;
  readonly dtype?: TfType;
  /** null: unknown rank. */
  readonly shape?: Shape | null;
  readonly tensor?: Tensor;
  readonly ints?: readonly number[];
  readonly texts?: readonly string[];
  readonly function?: string;
}

export interface TfFunction {
  readonly name: string;
  readonly arguments: readonly string[];
  readonly nodes: readonly TfNode[];
  /** What it gives, in order. */
  readonly results: readonly string[];
}

export type TfType = DType | 'resource' | 'other';

/** DataType of TensorFlow by number. */
export const tfTypes: Readonly<Record<number, TfType>> = {
  1: 'float32', 2: 'float64', 3: 'int32', 4: 'uint8', 5: 'int16', 6: 'int8', 7: 'string', 8: 'complex64', 9: 'int64', 10: 'bool',
  14: 'bfloat16', 17: 'uint16', 18: 'complex128', 19: 'float16', 20: 'resource', 22: 'uint32', 23: 'uint64',
};

/** By its name in JSON. */
export const tfTypeNames: Readonly<Record<string, number>> = {
  DT_FLOAT: 1, DT_DOUBLE: 2, DT_INT32: 3, DT_UINT8: 4, DT_INT16: 5, DT_INT8: 6, DT_STRING: 7, DT_COMPLEX64: 8, DT_INT64: 9, DT_BOOL: 10,
  DT_BFLOAT16: 14, DT_UINT16: 17, DT_COMPLEX128: 18, DT_HALF: 19, DT_RESOURCE: 20, DT_UINT32: 22, DT_UINT64: 23,
};

/** 'node:1' -> ['node', 1] */
export function splitRef(ref: string): readonly [node: string, output: number] {
  const at = ref.lastIndexOf(':');
  const output = at < 0 ? NaN : Number(ref.slice(at + 1));
  return Number.isInteger(output) && output >= 0 ? [ref.slice(0, at), output] : [ref, 0];
}
