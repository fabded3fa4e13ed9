import assert from 'node:assert/strict';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { openModel } from '../../../src/core/formats/registry';

describe('ONNX files of torch.onnx\'s own exporter', () => {
  it('keep the names of modules whose weights were folded and have none any more', async () => {
    const graph = await openModel(await fileSetOf(path.join(__dirname, '../../fixtures/onnx/scopes.onnx')));
    assert.deepEqual(graph.layers.map(({ name, type }) => [name, type]), [
      ['0.up', 'MatMul'], ['0/relu', 'Relu'], ['0.down', 'MatMul'], ['0/add', 'Add'],
      ['1.up', 'MatMul'], ['1/relu_1', 'Relu'], ['1.down', 'MatMul'], ['1/add_1', 'Add'], ['2', 'MatMul'],
    ]);
  });
});
