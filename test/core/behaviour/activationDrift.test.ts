import assert from 'node:assert/strict';
import path from 'node:path';
import { activationDrift } from '../../../src/core/behaviour/activationDrift';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import type { Dataset } from '../../../src/core/data/dataset';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { decompose } from '../../../src/core/particles/decompose';
import { digits, openSample } from '../support/openSample';

describe('drift in a model\'s activations', () => {
  it('is seen in every layer when pictures grow darker, and in none between halves of one set', async () => {
    const { graph, engine, data } = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    const context: BehaviourContext = { graph, engine, data, table: decompose(graph), memoryBytes: 2 ** 28, report: () => undefined };
    // Every other sample: the rows are in the order in which people wrote them.
    const half = (start: number, darker: number): Dataset => ({
      ...data, count: 150,
      async inputs(from, to) {
        const parts = await Promise.all(Array.from({ length: to - from }, (_, index) => data.inputs(2 * (from + index) + start, 2 * (from + index) + start + 1)));
        return new Map([...parts[0]!.keys()].map((name) => {
          const rows = parts.map((part) => asFloat32(part.get(name)!));
          const values = new Float32Array(rows.length * rows[0]!.length);
          rows.forEach((row, index) => values.set(row.map((value) => value * darker), index * row.length));
          return [name, { dtype: 'float32' as const, shape: [rows.length, ...parts[0]!.get(name)!.shape.slice(1)], data: values }];
        }));
      },
    });
    const same = await activationDrift(context, half(0, 1), half(1, 1));
    assert.deepEqual(same.map(({ layer, shifted }) => [layer, shifted]), ['conv1', 'conv2', 'dense1', 'dense2'].map((layer) => [layer, false]));
    const darker = await activationDrift(context, half(0, 1), half(1, 0.7));
    assert.ok(darker.every(({ shifted, pValue, statistic, baseline }) => shifted && pValue === 1 / 200 && statistic > 2 * baseline), JSON.stringify(darker));
  }).timeout(30_000);
});
