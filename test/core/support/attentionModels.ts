import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { fileSetOf } from './backendNode';

const folder = path.join(__dirname, '../../fixtures/attention');

interface Numbers {
  readonly dtype: 'float32' | 'int64';
  readonly shape: number[];
  readonly data: number[];
}

interface Case {
  /** How it was exported: TorchScript or dynamo, with open or fixed sizes. */
  readonly ways: readonly string[];
  readonly inputs: readonly (Numbers & { readonly name: string })[];
  readonly output: Numbers;
  readonly silent: readonly { readonly heads: readonly number[]; readonly output: Numbers }[];
}

const read = (file: string): Readonly<Record<string, Case>> => {
  const whole = path.join(folder, file);
  return fs.existsSync(whole) ? JSON.parse(fs.readFileSync(whole, 'utf8')) as Readonly<Record<string, Case>> : {};
};

const expected: Readonly<Record<string, Case>> = { ...read('expected.json'), ...read('operators.json') };

/** Attention as test/fixtures/make/attentionModels.py exported it: file names without their ending. */
export const attentionModels: readonly string[] = Object.entries(expected).flatMap(([name, { ways }]) => ways.map((way) => `${name}.${way}`));

export interface AttentionModel {
  readonly graph: ModelGraph;
  readonly inputs: ReadonlyMap<string, NdArray>;
  /** What the model's own framework makes of it, with all heads and without some. */
  readonly output: readonly number[];
  readonly silent: readonly { readonly heads: readonly number[]; readonly output: readonly number[] }[];
}

export async function openAttentionModel(name: string): Promise<AttentionModel> {
  const { inputs, output, silent } = expected[name.split('.')[0]!]!;
  return {
    graph: await openModel(fileSetOf(`${name}.onnx`, new Uint8Array(fs.readFileSync(path.join(folder, `${name}.onnx`))))),
    inputs: new Map(inputs.map(({ name: input, dtype, shape, data }) => [input, dtype === 'int64'
      ? { dtype, shape, data: BigInt64Array.from(data, BigInt) } : { dtype, shape, data: Float32Array.from(data) }])),
    output: output.data,
    silent: silent.map(({ heads, output: { data } }) => ({ heads, output: data })),
  };
}
