import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { fileSetOf } from './backendNode';

const folder = path.join(__dirname, '../../fixtures/sequence');

interface Expected {
  readonly inputs: readonly { readonly name: string; readonly dtype: 'float32' | 'int64'; readonly shape: number[]; readonly data: number[] }[];
  readonly output: { readonly shape: number[]; readonly data: number[] };
}

const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Record<string, Expected>;

/** A PyTorch export of test/fixtures/make/sequenceModels.py, an input, and what PyTorch made of it. */
export interface SequenceModel {
  readonly graph: ModelGraph;
  readonly inputs: readonly NdArray[];
  readonly output: { readonly shape: number[]; readonly data: number[] };
}

export const sequenceModels = Object.keys(expected);

export async function openSequenceModel(name: string): Promise<SequenceModel> {
  const { inputs, output } = expected[name]!;
  return {
    graph: await openModel(fileSetOf(`${name}.onnx`, new Uint8Array(fs.readFileSync(path.join(folder, `${name}.onnx`))))),
    inputs: inputs.map(({ dtype, shape, data }) => (dtype === 'int64'
      ? { dtype, shape, data: BigInt64Array.from(data, BigInt) } : { dtype, shape, data: Float32Array.from(data) })),
    output,
  };
}
