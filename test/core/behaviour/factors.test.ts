import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import type { BarsData, LinesData } from '../../../src/core/behaviour/details/detailData';
import { effectAlongGroups } from '../../../src/core/behaviour/effectByGroup';
import { factorValues, separatedItems } from '../../../src/core/behaviour/factors';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { int } from '../../../src/core/graph/attributes';
import { asFloat32, int64Array } from '../../../src/core/graph/numeric';
import { bestCorrelations } from '../support/factorCorrelation';
import { graphOf, int64, node, randomArray, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';
import { openSample, root } from '../support/openSample';

const [users, items, width] = [30, 40, 3] as const;

describe('factors', function () {
  this.timeout(30_000);
  let context: BehaviourContext;
  let planted: Float32Array;

  before(async () => {
    const random = seededRandom(21);
    // What is planted comes back in another order, scaled and with a little noise.
    planted = randomArray([width, items], random).data as Float32Array;
    const [user, item] = [randomArray([users, width], random).data as Float32Array, new Float32Array(items * width)];
    for (let row = 0; row < items; row++) {
      [2, 0, 1].forEach((source, factor) => (item[row * width + factor] = (factor + 1) * planted[source * items + row]! + 0.02 * random()));
    }
    const graph = await graphOf({
      inputs: { user: [null], item: [null] }, outputs: ['score'],
      nodes: [
        node('Gather', ['users', 'user'], 'u', { axis: int(0) }), node('Gather', ['items', 'item'], 'i', { axis: int(0) }),
        node('Mul', ['u', 'i'], 'products'), node('ReduceSum', ['products', 'last'], 'score', { keepdims: int(1) }),
      ],
      weights: { users: float32(user, [users, width]), items: float32(item, [items, width]), last: int64([1]) },
    });
    const pairs = Array.from({ length: 200 }, () => [Math.floor(random() * users), Math.floor(random() * items)] as const);
    const inputs = graph.inputs.map((input) => ({ ...input, dtype: 'int64' as const }));
    const withTypes = { ...graph, inputs, values: new Map([...graph.values, ...inputs.map((input) => [input.name, input] as const)]) };
    context = await memoryContext(withTypes, { user: int64Array(pairs.map(([one]) => one)), item: int64Array(pairs.map(([, two]) => two)) }, { task: 'regression' });
  });

  it('planted ones are found again', async () => {
    const group = context.table.group('i')!;
    const found = await Promise.all([0, 1, 2].map(async (factor) => (await factorValues(context.graph, group, factor))!));
    const truth = [0, 1, 2].map((factor) => planted.subarray(factor * items, (factor + 1) * items));
    for (const { correlation } of bestCorrelations(truth, found)) assert.ok(correlation >= 0.95, `${correlation}`);
    assert.deepEqual(bestCorrelations(truth, found).map(({ factor }) => factor), [1, 2, 0]);
    const noise = [0, 1, 2].map((seed) => randomArray([items], seededRandom(seed + 50)).data as Float32Array);
    assert.ok(bestCorrelations(truth, noise).every(({ correlation }) => correlation < 0.6), 'noise is not taken for it');
  });

  it('shares of the score are those of the products', async () => {
    await addBehaviour(context, new Set(['scoreShare']));
    const [user, item] = await Promise.all(['users', 'items'].map(async (name) => asFloat32(await context.graph.tensors.get(name)!.read())));
    const inputs = await context.data.inputs(0, 200);
    const [one, two] = ['user', 'item'].map((name) => Array.from(inputs.get(name)!.data as BigInt64Array, Number));
    const sums = [0, 1, 2].map((factor) => one!.reduce((sum, row, sample) => sum + Math.abs(user![row * width + factor]! * item![two![sample]! * width + factor]!), 0));
    const total = sums.reduce((sum, value) => sum + value, 0);
    for (const layer of ['u', 'i']) {
      const { firstRow } = context.table.group(layer)!;
      sums.forEach((sum, factor) => {
        const share = context.table.column('scoreShare')!.values[firstRow + factor]!;
        assert.ok(Math.abs(share - sum / total) < 1e-5, `${layer} ${factor}: ${share} instead of ${sum / total}`);
      });
    }
  });

  it('what a factor separates are the items at its ends', async () => {
    const group = context.table.group('i')!;
    const bars = await separatedItems.compute(context, { group, particle: 1, sample: 0 }) as BarsData;
    const values = (await factorValues(context.graph, group, 1))!;
    assert.equal(bars.labels[0], String(values.indexOf(Math.max(...values))));
    assert.equal(bars.labels.at(-1), String(values.indexOf(Math.min(...values))));
    assert.ok(bars.values[0]! > 0 && bars.values.at(-1)! < 0);
  });
});

describe('factors of the recommender sample', function () {
  this.timeout(30_000);
  const folder = path.join(root, 'media/samples/recommender');

  it('are the planted ones, and those carry the score', async function () {
    if (!fs.existsSync(path.join(folder, 'truth.json'))) {
      this.test!.title += ' (skipped: the sample is not here)';
      return this.skip();
    }
    const context = await openSample(path.join(folder, 'factors.onnx'), path.join(folder, 'stars.particlize.json'), { samples: 200 });
    const truth = JSON.parse(fs.readFileSync(path.join(folder, 'truth.json'), 'utf8')) as { userFactors: number[][]; itemFactors: number[][] };
    await addBehaviour(context, new Set(['scoreShare']));
    const { values } = context.table.column('scoreShare')!;
    for (const [layer, planted] of [['user_factors', truth.userFactors], ['item_factors', truth.itemFactors]] as const) {
      const group = context.table.group(layer)!;
      const found = await Promise.all(Array.from({ length: group.count }, async (_, factor) => (await factorValues(context.graph, group, factor))!));
      const best = bestCorrelations(planted, found);
      assert.equal(new Set(best.map(({ factor }) => factor)).size, planted.length, 'each is another one');
      for (const { correlation } of best) assert.ok(correlation >= 0.95, `${layer}: ${correlation}`);
      const carried = best.reduce((sum, { factor }) => sum + values[group.firstRow + factor]!, 0);
      assert.ok(carried > 0.95, `${layer}: ${carried}`);
    }
  });
});

describe('effect by group', function () {
  this.timeout(30_000);

  it('says at which noise level a particle matters', async () => {
    // y = relu(x0) + relu(x1), where x0 speaks at level 3 only and x1 at all levels alike.
    const levels = Array.from({ length: 40 }, (_, sample) => sample % 4);
    const x = Float32Array.from(levels.flatMap((level) => [level === 3 ? 2 : 0, 0.5]));
    const graph = await graphOf({
      inputs: { x: [null, 2] }, outputs: ['y'],
      nodes: [node('MatMul', ['x', 'w'], 'a', {}, 'h'), node('Relu', ['a'], 'r', {}, 'h'), node('MatMul', ['r', 'v'], 'y', {}, 'out')],
      weights: { w: float32([1, 0, 0, 1], [2, 2]), v: float32([1, 1], [2, 1]) },
    });
    const context = await memoryContext(graph, { x: float32(x, [40, 2]) }, {
      task: 'reconstruction', groups: (from, to) => Promise.resolve(Int32Array.from(levels.slice(from, to))),
    });
    await addBehaviour(context, new Set(['strongestGroup']));
    const [group, contrast] = ['strongestGroup', 'groupContrast'].map((name) => context.table.column(name)!.values);
    assert.equal(group![0], 3);
    assert.ok(Math.abs(contrast![0]! - 0.75) < 1e-6 && Math.abs(contrast![1]!) < 1e-6);
    const lines = await effectAlongGroups.compute(context, { group: context.table.group('h')!, particle: 0, sample: 0 }) as LinesData;
    assert.deepEqual([[...lines.x], [...lines.series[0]!.values]], [[0, 1, 2, 3], [0, 0, 0, 2]]);
  });
});
