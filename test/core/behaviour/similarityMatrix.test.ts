import assert from 'node:assert/strict';
import path from 'node:path';
import { createSessions } from '../../../src/compute/session';
import { digits } from '../support/openSample';

describe('similarity matrix of a layer', function () {
  this.timeout(30_000);

  it('holds the cosines of the weights, and its clusters are whole and side by side', async () => {
    const sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256, workers: 1 });
    const { model } = await sessions.open({ path: path.join(digits, 'model.onnx') }, {});
    const { data } = await sessions.detail({ model, name: 'similarityMatrix', layer: 'conv2' }, {});
    assert.ok(data.kind === 'matrix' && data.clusters);
    const { values } = await sessions.weights({ model, layer: 'conv2', from: 0, to: 32 }, {});
    const kernel = (id: string) => values.subarray(Number(id.split(':')[1]) * 144, (Number(id.split(':')[1]) + 1) * 144);
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    assert.equal(new Set(data.rows).size, 32);
    data.rows.forEach((one, row) => data.columns.forEach((two, column) => {
      const [a, b] = [kernel(one), kernel(two)];
      const size = Math.sqrt(dot(a, a) * dot(b, b));
      assert.ok(Math.abs(data.values[row * 32 + column]! - (size > 0 ? dot(a, b) / size : 0)) < 1e-5, `${one} and ${two}`);
    }));
    // Once a cluster ends it does not come back.
    assert.deepEqual([...data.clusters], [...data.clusters].sort((a, b) => a - b));
  });
});
