import fs from 'node:fs';
import path from 'node:path';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { Attribute, GraphNode, ModelGraph, ValueInfo } from '../../../src/core/graph/modelGraph';
import { allocate } from '../../../src/core/graph/numeric';
import { elementCount, tensorOf, type DType, type NdArray, type Tensor } from '../../../src/core/graph/tensor';

/** One operator with what ONNX Runtime made of it; written by test/fixtures/make/opsFixtures.py. */
export interface OpCase {
  readonly op: string;
  readonly opset: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputs: readonly ({ readonly shape: number[]; readonly dtype: DType; readonly data?: number[] } | null)[];
  readonly outputs: readonly { readonly shape: number[]; readonly dtype: DType }[];
  /** Contents of small integer outputs. */
  readonly contents?: readonly number[][];
  /** [input, its axis, output, its axis, for each input index the output indices that change, as bits] */
  readonly flow?: readonly (readonly [number, number, number, number, readonly number[]])[];
}

export const opCases = JSON.parse(fs.readFileSync(path.join(__dirname, '../../fixtures/ops.json'), 'utf8')) as OpCase[];

export function titleOf({ op, opset, attributes, inputs }: OpCase): string {
  const settings = Object.entries(attributes).map(([name, value]) => `${name}=${JSON.stringify((value as { value?: unknown }).value)}`);
  return `${op}-${opset} ${inputs.map((input) => (input ? `[${input.shape.join(',')}]` : '-')).join(' ')} ${settings.join(' ')}`;
}

/** The case as a model: inputs i0, i1, ..., outputs o0, o1, ...; integers are constants, floats are inputs. */
export function graphOfCase(testCase: OpCase, { openBatch = false, constantWeights = false } = {}): Promise<ModelGraph> {
  const tensors = new Map<string, Tensor>();
  const inputs: ValueInfo[] = [];
  testCase.inputs.forEach((input, index) => {
    if (!input) return;
    const name = `i${index}`;
    const weight = constantWeights && index > 0;
    if (input.data || weight) tensors.set(name, tensorOf(name, arrayOf(input.dtype, input.shape, input.data)));
    else inputs.push({ name, dtype: input.dtype, shape: openBatch && index === 0 ? [null, ...input.shape.slice(1)] : input.shape });
  });
  const attributes = Object.fromEntries(Object.entries(testCase.attributes).map(([name, value]) => {
    const raw = value as { type: string; dtype: DType; shape: number[]; data: number[] };
    return [name, raw.type === 'tensor' ? { type: 'tensor', value: arrayOf(raw.dtype, raw.shape, raw.data) } : value];
  })) as Record<string, Attribute>;
  const node: GraphNode = {
    name: 'node', op: testCase.op, domain: '', layer: 'layer', attributes,
    inputs: testCase.inputs.map((input, index) => (input ? `i${index}` : '')),
    outputs: testCase.outputs.map((_, index) => `o${index}`),
  };
  return finishGraph({
    format: 'test', producer: '', opset: testCase.opset, inputs, nodes: [node], tensors, findings: [], origin: undefined,
    outputs: node.outputs.map((name) => ({ name })),
    layers: [{ name: 'layer', type: testCase.op, nodes: ['node'], tensors: [...tensors.keys()] }],
  });
}

export function arrayOf(dtype: DType, shape: readonly number[], values?: readonly number[]): NdArray {
  const data = allocate(dtype, elementCount(shape));
  values?.forEach((value, index) => {
    data[index] = dtype.endsWith('int64') ? BigInt(value) : value;
  });
  return { dtype, shape, data };
}

/** Operands that the fixture gives numbers for are inputs here, so that they too are differentiated. */
export function withOperands(one: OpCase): OpCase {
  if (['Resize', 'Upsample', 'Clip', 'Dropout', 'Pad'].includes(one.op)) return one;
  return { ...one, inputs: one.inputs.map((input) => (input?.dtype === 'float32' ? { ...input, data: undefined } : input)) };
}
