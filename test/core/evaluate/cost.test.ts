import assert from 'node:assert/strict';
import { int, ints } from '../../../src/core/graph/attributes';
import { layerCost, modelCost } from '../../../src/core/evaluate/cost';
import { graphOf, int64, node } from '../support/graphs';

describe('cost', () => {
  it('counts multiply-accumulates of one sample by hand, whatever the batch', async () => {
    for (const batch of [null, 1, 8]) {
      const graph = await graphOf({
        inputs: { x: [batch, 3, 8, 8] }, outputs: ['y'],
        weights: { w: [6, 3, 3, 3], b: [6], d: [6, 1, 3, 3], t: [6, 2, 2, 2], target: int64([0, -1]), f: [128, 10], fb: [10] },
        nodes: [
          node('Conv', ['x', 'w', 'b'], 'c', { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
          node('Conv', ['c', 'd'], 'e', { group: int(6), pads: ints([1, 1, 1, 1]) }),
          node('ConvTranspose', ['e', 't'], 'u', { strides: ints([2, 2]) }),
          node('Relu', ['u'], 'r'),
          node('Reshape', ['r', 'target'], 'v'),
          node('Gemm', ['v', 'f', 'fb'], 'y'),
        ],
      });
      const macs = (name: string): number => layerCost(graph, graph.layers.find((layer) => layer.name === name)!).macs;
      // [6, 4, 4] outputs of 3 * 9 taps; 9 taps each; [6, 4, 4] inputs meet 2 * 4 taps; 128 * 10.
      assert.deepEqual(['c', 'e', 'u', 'r', 'v', 'y'].map(macs), [6 * 16 * 27, 6 * 16 * 9, 6 * 16 * 8, 0, 0, 1280]);
      const whole = modelCost(graph);
      assert.equal(whole.macs, 6 * 16 * (27 + 9 + 8) + 1280);
      // The two sizes in the reshape's target are no parameters.
      assert.equal(whole.parameters, 162 + 6 + 54 + 48 + 1280 + 10);
      assert.equal(whole.bytes, 4 * whole.parameters);
      assert.deepEqual(whole.uncounted, []);
    }
  });

  it('counts a product over a sequence for every step, a shared weight once, and says what it cannot count', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 7, 4], z: [null, null, 4] }, outputs: ['o'], weights: { w: [4, 5] },
      nodes: [node('MatMul', ['x', 'w'], 'a'), node('MatMul', ['z', 'w'], 'b'), node('Wobble', ['a', 'b'], 'o')],
    });
    const cost = modelCost(graph);
    assert.equal(cost.macs, 7 * 4 * 5);
    assert.equal(cost.parameters, 20);
    assert.deepEqual(cost.uncounted, ['MatMul_1', 'Wobble_2']);
  });
});
