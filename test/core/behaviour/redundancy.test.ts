import assert from 'node:assert/strict';
import { rankOf, singularValues } from '../../../src/core/attributes/effectiveRank';
import { addAttributes } from '../../../src/core/attributes/registry';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import type { PointsData } from '../../../src/core/behaviour/details/detailData';
import { componentMap, neighbourMap } from '../../../src/core/behaviour/particleMap';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { clustersOf, correlations } from '../../../src/core/behaviour/redundancy';
import { ints } from '../../../src/core/graph/attributes';
import { behaviourKinds } from '../support/behaviourKinds';
import { graphOf, node, randomArray, relativeError, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';

describe('redundancy', function () {
  this.timeout(30_000);

  describe('of a layer with a duplicated and a dead kernel', () => {
    let context: BehaviourContext;
    before(async () => {
      const random = seededRandom(4);
      const kernels = randomArray([6, 2, 3, 3], random);
      const own = kernels.data as Float32Array;
      // 4 is twice 1, 5 is never above zero.
      for (let k = 0; k < 18; k++) [own[4 * 18 + k], own[5 * 18 + k]] = [2 * own[18 + k]!, 0];
      const graph = await graphOf({
        inputs: { x: [null, 2, 8, 8] }, outputs: ['y'],
        nodes: [
          node('Conv', ['x', 'k', 'b'], 'c', { kernel_shape: ints([3, 3]) }, 'conv'), node('Relu', ['c'], 'r', {}, 'conv'),
          node('GlobalAveragePool', ['r'], 'p'), node('Flatten', ['p'], 'f'), node('Gemm', ['f', 'w'], 'y', {}, 'head'),
        ],
        weights: { k: kernels, b: float32([0, 0, 0, 0, 0, -1], [6]), w: [6, 3] },
      });
      context = await memoryContext(graph, { x: randomArray([40, 2, 8, 8], random) });
      await addBehaviour(context, new Set(['activationTwin']));
    });

    it('the duplicate is the twin, in a cluster of two', () => {
      const [twin, r, cluster, size] = ['activationTwin', 'activationCorrelation', 'cluster', 'clusterSize'].map((name) => context.table.column(name)!.values);
      assert.deepEqual([twin![1], twin![4]], [4, 1]);
      assert.ok(r![1]! > 0.9999 && Math.abs(r![0]!) < 0.95);
      assert.deepEqual([cluster![1], cluster![4], size![1], size![4]], [0, 0, 2, 2]);
      for (const other of [0, 2, 3]) assert.ok(size![other] === 1 && cluster![other]! > 0);
    });

    it('a dead kernel has no twin and stands alone', () => {
      assert.ok(Number.isNaN(context.table.column('activationTwin')!.values[5]!));
      assert.equal(context.table.column('clusterSize')!.values[5], 1);
    });
  });

  it('correlations are NumPy\'s', async () => {
    const { values, correlations: known } = behaviourKinds.map;
    const { best, value } = await correlations({ count: 10, features: 40, values: Float32Array.from(values) });
    for (let particle = 0; particle < 10; particle++) {
      const row = known.slice(particle * 10, (particle + 1) * 10).map((r, other) => (other === particle ? 0 : r));
      const strongest = row.reduce((most, r, other) => (Math.abs(r) > Math.abs(row[most]!) ? other : most), 0);
      assert.equal(best[particle], strongest);
      assert.ok(Math.abs(value[particle]! - row[strongest]!) < 1e-5);
    }
  });

  it('a cluster holds only particles of which any two are alike, with either sign', async () => {
    const random = seededRandom(8);
    const [one, two] = [0, 1].map(() => Array.from({ length: 50 }, () => random() - 0.5)) as [number[], number[]];
    // From `one` to `two` in steps: neighbours are alike, the ends are not.
    const profiles = [one, one.map((value) => -2 * value + 1), ...[0.12, 0.24, 0.36, 0.48, 1].map((share) => one.map((value, k) => value * (1 - share) + two[k]! * share))];
    const all = await correlations({ count: profiles.length, features: 50, values: Float32Array.from(profiles.flat()) });
    const clusters = clustersOf(all)!;
    assert.ok(clusters.some((members) => members.includes(0) && members.includes(1)));
    assert.deepEqual(clusters.flat().sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6]);
    for (const members of clusters) for (const a of members) for (const b of members) if (a !== b) assert.ok(Math.abs(all.alike.get(a)?.get(b) ?? 0) >= 0.95);
    assert.ok(clusters.length >= 3 && clusters[0]!.length > 1);
  });

  it('effective rank and singular values are NumPy\'s', async () => {
    for (const { shape: [rows, columns], values, rank, singularValues: known } of behaviourKinds.effectiveRank) {
      const found = await singularValues(Float64Array.from(values), rows, columns);
      assert.ok(relativeError(found, known) < 1e-6);
      assert.ok(Math.abs(rankOf(found) - rank) < 1e-5);
    }
  });

  it('a layer whose weights and outputs mix three patterns has rank three at most', async () => {
    const random = seededRandom(6);
    const [left, right] = [randomArray([20, 3], random).data as Float32Array, randomArray([3, 30], random).data as Float32Array];
    const mixed = Float32Array.from({ length: 600 }, (_, at) => [0, 1, 2].reduce((sum, k) => sum + left[Math.floor(at / 30) * 3 + k]! * right[k * 30 + (at % 30)]!, 0));
    const graph = await graphOf({
      inputs: { x: [null, 20] }, outputs: ['y'],
      nodes: [node('MatMul', ['x', 'mixed'], 'a'), node('Relu', ['a'], 'ar'), node('MatMul', ['x', 'full'], 'c'), node('Concat', ['ar', 'c'], 'j', { axis: { type: 'int', value: 1 } }), node('MatMul', ['j', 'w'], 'y')],
      weights: { mixed: float32(mixed, [20, 30]), full: [20, 30], w: [60, 2] },
    });
    const context = await memoryContext(graph, { x: randomArray([100, 20], random) });
    await addAttributes(graph, context.table, new Set(['effectiveRank']));
    await addBehaviour(context, new Set(['activationRank']));
    const [three, full] = [context.table.group('a')!, context.table.group('c')!].map(({ firstRow }) => context.table.column('effectiveRank')!.values[firstRow]!);
    assert.ok(three! > 2 && three! <= 3.001, `${three}`);
    assert.ok(full! > 14 && full! < 20.001, `${full}`);
    const outputs = context.table.column('activationRank')!.values[context.table.group('c')!.firstRow]!;
    assert.ok(outputs > 14 && outputs < 20.001, `30 linear outputs of 20 inputs: ${outputs}`);
    const fresh = await memoryContext(graph, { x: randomArray([4, 20], random) });
    await addAttributes(graph, fresh.table);
    assert.equal(fresh.table.column('effectiveRank'), undefined, 'only on request');
  });

  describe('map', () => {
    /** Neurons 0-7 follow one input, 8-15 another, each with some noise of its own. */
    const planted = async (): Promise<BehaviourContext> => {
      const random = seededRandom(9);
      const weights = new Float32Array(18 * 16);
      for (let neuron = 0; neuron < 16; neuron++) {
        weights[(neuron < 8 ? 0 : 1) * 16 + neuron] = 1;
        weights[(2 + neuron) * 16 + neuron] = 0.3;
      }
      const graph = await graphOf({
        inputs: { x: [null, 18] }, outputs: ['y'], nodes: [node('MatMul', ['x', 'w'], 'h'), node('Relu', ['h'], 'r', {}, 'h'), node('MatMul', ['r', 'v'], 'y')],
        weights: { w: float32(weights, [18, 16]), v: [16, 2] },
      });
      return memoryContext(graph, { x: randomArray([120, 18], random) });
    };

    it('two planted groups lie apart, by components and by UMAP, the same each time', async () => {
      const context = await planted();
      const group = context.table.group('h')!;
      for (const detail of [componentMap, neighbourMap]) {
        const points = await detail.compute(context, { group, particle: 0, sample: 0 }) as PointsData;
        assert.deepEqual([...points.rows], Array.from({ length: 16 }, (_, row) => row));
        const distance = (one: number, two: number): number => Math.hypot(points.x[one]! - points.x[two]!, points.y[one]! - points.y[two]!);
        const nearest = Array.from({ length: 16 }, (_, one) => Array.from({ length: 16 }, (__, two) => two).filter((two) => two !== one).sort((a, b) => distance(one, a) - distance(one, b))[0]!);
        nearest.forEach((other, one) => assert.equal(other < 8, one < 8, `${detail.name}: ${one} lies by ${other}`));
        const again = await detail.compute(context, { group, particle: 0, sample: 0 }) as PointsData;
        assert.deepEqual(points.x, again.x);
      }
      await addBehaviour(context, new Set(['mapX']));
      const x = context.table.column('mapX')!.values.subarray(0, 16);
      assert.ok(x.subarray(0, 8).every((value) => value > 0 === x[0]! > 0) && x.subarray(8).every((value) => value > 0 !== x[0]! > 0));
    });

    it('components are scikit-learn\'s', async () => {
      const { values, components } = behaviourKinds.map;
      // Ten neurons that pass on ten inputs, whose samples are the profiles.
      const turned = Float32Array.from({ length: 400 }, (_, at) => values[(at % 10) * 40 + Math.floor(at / 10)]!);
      const identity = Float32Array.from({ length: 100 }, (_, at) => Number(at % 11 === 0));
      const graph = await graphOf({
        inputs: { x: [null, 10] }, outputs: ['y'], nodes: [node('MatMul', ['x', 'w'], 'h'), node('MatMul', ['h', 'v'], 'y')],
        weights: { w: float32(identity, [10, 10]), v: [10, 2] },
      });
      const context = await memoryContext(graph, { x: float32(turned, [40, 10]) });
      await addBehaviour(context, new Set(['mapX']));
      ['mapX', 'mapY'].forEach((name, axis) => {
        const own = [...context.table.column(name)!.values.subarray(0, 10)];
        const known = own.map((_, particle) => components[particle * 2 + axis]!);
        const sign = Math.sign(own[0]! * known[0]!);
        assert.ok(relativeError(own, known.map((value) => sign * value)) < 1e-3, name);
      });
    });
  });
});
