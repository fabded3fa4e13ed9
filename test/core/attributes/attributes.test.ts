import assert from 'node:assert';
import { addAttributes, attributeColumns } from '../../../src/core/attributes/registry';
import { ints } from '../../../src/core/graph/attributes';
import type { NdArray } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, node, randomArray, seededRandom } from '../support/graphs';

/** Two convolutions and a dense layer; kernel 3 of the first is twice kernel 1, kernel 4 is zero. */
async function planted() {
  const random = seededRandom(7);
  const w = randomArray([6, 2, 3, 3], random);
  const kernel = (index: number): Float32Array => (w.data as Float32Array).subarray(index * 18, (index + 1) * 18);
  kernel(3).set(kernel(1).map((value) => 2 * value));
  kernel(4).fill(0);
  const dense: NdArray = randomArray([6 * 16, 5], random);
  const graph = await graphOf({
    inputs: { x: [null, 2, 4, 4] }, outputs: ['y'], weights: { w, b: [6], dense },
    nodes: [
      node('Conv', ['x', 'w', 'b'], 'c', { pads: ints([1, 1, 1, 1]) }, 'conv'), node('Relu', ['c'], 'r'),
      node('Flatten', ['r'], 'f'), node('MatMul', ['f', 'dense'], 'y', {}, 'dense'),
    ],
  });
  const table = decompose(graph);
  await addAttributes(graph, table, new Set(attributeColumns.map(({ name }) => name)));
  return { table, w: w.data as Float32Array, dense: dense.data as Float32Array, value: (name: string, id: string) => table.column(name)!.values[table.row(id)!]! };
}

describe('attributes: columns from weights alone', () => {
  it('every column has a title, a meaning in one sentence and exact provenance', async () => {
    const { table } = await planted();
    for (const { name } of attributeColumns) {
      const column = table.column(name)!;
      assert.ok(column.title.length > 1 && column.meaning.endsWith('.'), name);
      assert.deepStrictEqual(column.provenance, { source: 'weights', exact: true });
    }
  });

  it('norms, moments and sparsity are those of the particle\'s own weights', async () => {
    const { value, w, dense } = await planted();
    const kernel = [...w.subarray(36, 54)];
    const neuron = Array.from({ length: 96 }, (_, row) => dense[row * 5 + 3]!);
    for (const [id, weights] of [['conv/kernel:2', kernel], ['dense/neuron:3', neuron]] as const) {
      const mean = weights.reduce((sum, x) => sum + x, 0) / weights.length;
      const expected = {
        l1: weights.reduce((sum, x) => sum + Math.abs(x), 0),
        l2: Math.hypot(...weights),
        weightMean: mean,
        weightDeviation: Math.sqrt(weights.reduce((sum, x) => sum + (x - mean) ** 2, 0) / weights.length),
        weightMax: Math.max(...weights.map(Math.abs)),
      };
      for (const [name, want] of Object.entries(expected)) {
        assert.ok(Math.abs(value(name, id) - want) <= 1e-5 * Math.max(1, Math.abs(want)), `${name} of ${id}`);
      }
    }
    assert.strictEqual(value('nearZero', 'conv/kernel:4'), 1);
    assert.strictEqual(value('l1', 'conv/kernel:4'), 0);
    assert.ok(value('nearZero', 'conv/kernel:2') < 0.2);
  });

  it('a planted duplicate finds its original, whatever its scale; a zero kernel has no twin', async () => {
    const { table, value } = await planted();
    assert.strictEqual(value('twin', 'conv/kernel:3'), table.row('conv/kernel:1'));
    assert.strictEqual(value('twin', 'conv/kernel:1'), table.row('conv/kernel:3'));
    assert.ok(Math.abs(value('twinCosine', 'conv/kernel:3') - 1) < 1e-6);
    assert.ok(value('twinCosine', 'conv/kernel:2') < 0.95);
    assert.ok(Number.isNaN(value('twin', 'conv/kernel:4')));
  });

  it('parameters and MACs add up to the layer\'s', async () => {
    const { value } = await planted();
    assert.strictEqual(value('parameters', 'conv/kernel:0'), 2 * 9 + 1);
    assert.strictEqual(value('macs', 'conv/kernel:0'), 2 * 9 * 16);
    assert.strictEqual(value('parameters', 'dense/neuron:0'), 96);
    assert.strictEqual(value('macs', 'dense/neuron:0'), 96);
  });
});
