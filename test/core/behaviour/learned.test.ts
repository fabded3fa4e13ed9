import assert from 'node:assert/strict';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { probe } from '../../../src/core/behaviour/linearProbe';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { behaviourKinds } from '../support/behaviourKinds';
import { graphOf, node, randomArray, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';

describe('linear probes', function () {
  this.timeout(30_000);

  it('are right as often as scikit-learn\'s ridge classifier', () => {
    const { values, classes, accuracy } = behaviourKinds.probe;
    const order = Array.from({ length: 90 }, (_, sample) => sample);
    const found = probe(Float32Array.from(values), 5, { classes, train: order.slice(0, 60), test: order.slice(60) });
    assert.ok(Math.abs(found - accuracy) < 1e-9, `${found} instead of ${accuracy}`);
  });

  it('read the answer off a layer that separates the classes, and guess at one that has nothing to do with them', async () => {
    const context = await planted();
    await addBehaviour(context, new Set(['probeAccuracy']));
    const { values } = context.table.column('probeAccuracy')!;
    const [separable, random] = ['separable', 'random'].map((layer) => context.table.group(layer)!);
    assert.equal(values[separable!.firstRow], 1);
    assert.ok(values[random!.firstRow]! > 0.15 && values[random!.firstRow]! < 0.52, `three classes by chance: ${values[random!.firstRow]}`);
    assert.equal(values[separable!.firstRow + separable!.count - 1], values[separable!.firstRow], 'the layer\'s, for each of its particles');
    const again = await planted();
    await addBehaviour(again, new Set(['probeAccuracy']));
    assert.deepEqual(again.table.column('probeAccuracy')!.values, values);
  });
});

/** One layer reads inputs that know the class, one reads noise. */
async function planted(): Promise<BehaviourContext> {
  const random = seededRandom(13);
  const samples = 150;
  const classes = Array.from({ length: samples }, () => Math.floor(random() * 3));
  const x = Float32Array.from({ length: samples * 6 }, (_, at) => (at % 6 < 3 ? Number(classes[Math.floor(at / 6)] === at % 6) + 0.1 * random() : random()));
  const [informed, blind] = [new Float32Array(6 * 5), new Float32Array(6 * 5)];
  const weights = randomArray([3, 5], random).data as Float32Array;
  informed.set(weights, 0);
  blind.set(weights, 15);
  const graph = await graphOf({
    inputs: { x: [null, 6] }, outputs: ['y'],
    nodes: [
      node('MatMul', ['x', 'informed'], 'a', {}, 'separable'), node('MatMul', ['x', 'blind'], 'b', {}, 'random'),
      node('Concat', ['a', 'b'], 'j', { axis: { type: 'int', value: 1 } }), node('MatMul', ['j', 'w'], 'y', {}, 'head'),
    ],
    weights: { informed: float32(informed, [6, 5]), blind: float32(blind, [6, 5]), w: [10, 3] },
  });
  return memoryContext(graph, { x: float32(x, [samples, 6]) }, { classLabels: classes });
}
