import assert from 'node:assert/strict';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { connectionMatrix, strongestConnections } from '../../../src/core/behaviour/connections';
import type { MatrixData, PairsData } from '../../../src/core/behaviour/details/detailData';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { synergyPairs } from '../../../src/core/behaviour/synergy';
import { ints } from '../../../src/core/graph/attributes';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { graphOf, node, randomArray, relativeError, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';

describe('interaction', function () {
  this.timeout(30_000);

  describe('connections', () => {
    let context: BehaviourContext;
    before(async () => {
      const graph = await graphOf({
        inputs: { x: [null, 4] }, outputs: ['y'],
        nodes: [node('MatMul', ['x', 'w'], 'h', {}, 'one'), node('Relu', ['h'], 'r', {}, 'one'), node('Gemm', ['r', 'v', 'b'], 'y', {}, 'two')],
        weights: { w: [4, 5], v: [5, 3], b: [3] },
      });
      context = await memoryContext(graph, { x: randomArray([30, 4], seededRandom(2)) });
      await addBehaviour(context, new Set(['connectionStrength']));
    });

    it('are the weight times the root mean square of what is passed on', async () => {
      const strengths = await expectedStrengths(context);
      const matrix = await connectionMatrix.compute(context, { group: context.table.group('one')!, particle: 0, sample: 0 }) as MatrixData;
      assert.deepEqual([matrix.rows[4], matrix.columns[2]], ['one/neuron:4', 'two/neuron:2']);
      assert.ok(relativeError(matrix.values, strengths) < 1e-5);
      const [target, strength] = ['strongestTarget', 'connectionStrength'].map((name) => context.table.column(name)!.values);
      for (let neuron = 0; neuron < 5; neuron++) {
        const own = strengths.slice(neuron * 3, neuron * 3 + 3);
        const best = own.indexOf(Math.max(...own));
        assert.equal(target![neuron], 5 + best);
        assert.ok(Math.abs(strength![neuron]! - own[best]!) < 1e-5);
      }
      assert.ok(Number.isNaN(target![5]!), 'nothing reads the output');
    });

    it('the strongest pairs come first', async () => {
      const strengths = await expectedStrengths(context);
      const pairs = await strongestConnections.compute(context, { group: context.table.group('one')!, particle: 0, sample: 0 }) as PairsData;
      const sorted = [...strengths].sort((one, two) => two - one);
      assert.ok(relativeError(pairs.values, sorted) < 1e-5);
      assert.equal(strengths[pairs.one[0]! * 3 + pairs.two[0]! - 5], sorted[0]);
    });

    it('go through pooling and flattening, from kernels to neurons', async () => {
      const graph = await graphOf({
        inputs: { x: [null, 1, 4, 4] }, outputs: ['y'],
        nodes: [node('Conv', ['x', 'k'], 'c', { kernel_shape: ints([1, 1]) }, 'conv'), node('Flatten', ['c'], 'f'), node('MatMul', ['f', 'v'], 'y', {}, 'dense')],
        weights: { k: float32([1, 2], [2, 1, 1, 1]), v: float32([...new Array<number>(32).fill(1), ...new Array<number>(32).fill(3)], [32, 2]) },
      });
      const own = await memoryContext(graph, { x: float32(new Array(32).fill(1), [2, 1, 4, 4]) });
      const matrix = await connectionMatrix.compute(own, { group: own.table.group('conv')!, particle: 0, sample: 0 }) as MatrixData;
      // 16 weights of 1 from what is 1 everywhere, 16 of 3 from what is 2.
      assert.deepEqual([...matrix.values], [4, 4, 24, 24]);
    });
  });

  describe('synergy', () => {
    it('two neurons that do the same back each other up; two that cancel need each other', async () => {
      const context = await planted();
      await addBehaviour(context, new Set(['synergy']));
      const [partner, value] = ['synergyPartner', 'synergy'].map((name) => context.table.column(name)!.values);
      assert.deepEqual([partner![0], partner![1]], [1, 0], 'the duplicates find each other');
      assert.ok(value![0]! > 1, `each alone is harmless, together they are missed: ${value![0]}`);
      const pairs = await synergyPairs.compute(context, { group: context.table.group('h')!, particle: 0, sample: 0 }) as PairsData;
      assert.equal(pairs.values.length, 6, 'every pair of four');
      const at = (one: number, two: number): number => [...pairs.one.keys()].find((index) => pairs.one[index] === one && pairs.two[index] === two)!;
      assert.ok(Math.abs(pairs.values[0]!) >= Math.abs(pairs.values[1]!), 'strongest first');
      const alone = async (rows: number[]): Promise<number> => lossWithout(context, rows);
      const both = await alone([0, 1]) - await alone([]) - (await alone([0]) - await alone([])) - (await alone([1]) - await alone([]));
      const found = pairs.values[at(0, 1)]!;
      assert.ok(Math.abs(found - both) < 1e-4, `${found} instead of ${both}`);
      assert.ok(pairs.values[at(2, 3)]! < -1, `one without the other does harm: ${pairs.values[at(2, 3)]}`);
      assert.ok(Math.abs(pairs.values[at(0, 2)]!) < Math.abs(found), 'pairs that have nothing to do with each other');
      assert.ok(Number.isNaN(context.table.column('synergy')!.values[4]!) || partner![4]! >= 4, 'partners are of the same layer');
    });

    it('in larger layers each particle is tried with its twin', async () => {
      const context = await planted(12);
      await addBehaviour(context, new Set(['synergy']));
      const { values } = context.table.column('synergyPartner')!;
      assert.deepEqual([values[0], values[1]], [1, 0]);
    });
  });
});

/**
 * Logit 1 - logit 0 = 8 * min(1, d0 + d1) - 4 + ..., where d0 and d1 are the same: either alone suffices. Neurons 2 and 3 add a
 * and -a that cancel: without one of them the answer is wrong, without both it is right.
 */
async function planted(idle = 0): Promise<BehaviourContext> {
  const samples = 24;
  const random = seededRandom(11);
  const classes = Array.from({ length: samples }, (_, sample) => sample % 2);
  const width = 4 + idle;
  // Inputs: the class, a constant, noise.
  const x = Float32Array.from({ length: samples * 3 }, (_, at) => (at % 3 === 0 ? classes[Math.floor(at / 3)]! : at % 3 === 1 ? 1 : random()));
  const w = new Float32Array(3 * width);
  [w[0], w[1]] = [1, 1];
  [w[width + 2], w[width + 3]] = [1, 1];
  for (let neuron = 4; neuron < width; neuron++) w[2 * width + neuron] = random() + 0.1;
  // h -> saturating sum of the duplicates, and the cancelling pair.
  const v = new Float32Array(width * 2);
  [v[0], v[2]] = [1, 1];
  [v[2 * 2 + 1], v[3 * 2 + 1]] = [1, -1];
  const graph = await graphOf({
    inputs: { x: [null, 3] }, outputs: ['y'],
    nodes: [
      node('MatMul', ['x', 'w'], 'a', {}, 'h'), node('Relu', ['a'], 'r', {}, 'h'), node('MatMul', ['r', 'v'], 'm', {}, 'm'),
      node('Clip', ['m', 'low', 'high'], 'clipped', {}, 'm'), node('MatMul', ['clipped', 'u'], 'z', {}, 'out'), node('Add', ['z', 'offset'], 'y', {}, 'out'),
    ],
    weights: {
      w: float32(w, [3, width]), v: float32(v, [width, 2]), low: float32([-1], []), high: float32([1], []),
      u: float32([0, 8, 0, 20], [2, 2]), offset: float32([0, -4], [2]),
    },
  });
  return memoryContext(graph, { x: float32(x, [samples, 3]) }, { classLabels: classes });
}

/** Cross-entropy computed here, with neurons of layer h at zero. */
async function lossWithout({ graph, data }: BehaviourContext, rows: readonly number[]): Promise<number> {
  const tensor = async (name: string): Promise<Float32Array> => asFloat32(await graph.tensors.get(name)!.read());
  const [w, v] = [await tensor('w'), await tensor('v')];
  const width = w.length / 3;
  const x = asFloat32([...(await data.inputs(0, data.count)).values()][0]!);
  const labels = asFloat32((await data.labels(0, data.count))!);
  let loss = 0;
  for (let sample = 0; sample < data.count; sample++) {
    const h = Array.from({ length: width }, (_, neuron) => (rows.includes(neuron) ? 0
      : Math.max(0, [0, 1, 2].reduce((sum, k) => sum + x[sample * 3 + k]! * w[k * width + neuron]!, 0))));
    const [m0, m1] = [0, 1].map((k) => Math.max(-1, Math.min(1, h.reduce((sum, value, neuron) => sum + value * v[neuron * 2 + k]!, 0)))) as [number, number];
    const logit = 8 * m0 + 20 * m1 - 4;
    loss += Math.log1p(Math.exp(labels[sample] === 1 ? -logit : logit));
  }
  return loss / data.count;
}

async function expectedStrengths({ graph, data }: BehaviourContext): Promise<number[]> {
  const [w, v] = await Promise.all(['w', 'v'].map(async (name) => asFloat32(await graph.tensors.get(name)!.read())));
  const x = asFloat32([...(await data.inputs(0, 30)).values()][0]!);
  const scales = Array.from({ length: 5 }, (_, neuron) => {
    let squares = 0;
    for (let sample = 0; sample < 30; sample++) {
      squares += Math.max(0, [0, 1, 2, 3].reduce((sum, k) => sum + x[sample * 4 + k]! * w![k * 5 + neuron]!, 0)) ** 2;
    }
    return Math.sqrt(squares / 30);
  });
  return Array.from({ length: 15 }, (_, at) => Math.fround(scales[Math.floor(at / 3)]! * Math.abs(v![at]!)));
}
