import assert from 'node:assert/strict';
import path from 'node:path';
import type { BehaviourContext } from '../../../../src/core/behaviour/behaviour';
import { evaluate } from '../../../../src/core/evaluate/evaluate';
import { modelCost } from '../../../../src/core/evaluate/cost';
import type { ModelGraph } from '../../../../src/core/graph/modelGraph';
import { asFloat32 } from '../../../../src/core/graph/numeric';
import { chooseCompensated } from '../../../../src/core/optimise/compensated/brainSurgeon';
import { inverseOf } from '../../../../src/core/optimise/compensated/leastSquares';
import { inputRows, linearSites, matrixOf, outputRows, type LinearSite } from '../../../../src/core/optimise/compensated/linearSites';
import { pruneTo } from '../../../../src/core/optimise/compensated/pruneTo';
import { reconstruct } from '../../../../src/core/optimise/compensated/reconstruct';
import { removalOf } from '../../../../src/core/optimise/removal';
import { removeAxes } from '../../../../src/core/optimise/removeAxes';
import { applyPlan } from '../../../../src/core/optimise/surgery';
import { decompose } from '../../../../src/core/particles/decompose';
import { digits, openSample, root } from '../../support/openSample';

const memoryBytes = 2 ** 28;
const settings = { samples: 128, ridge: 0.1, directions: 1, temperature: 2, costPower: 1 };

describe('pruning that makes up for what goes', function () {
  this.timeout(60_000);
  let context: BehaviourContext;
  let residual: BehaviourContext;
  before(async () => {
    const fixtures = path.join(root, 'test/fixtures/ablation');
    residual = await openSample(path.join(fixtures, 'residual.onnx'), path.join(fixtures, 'residual.particlize.json'));
    context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
  });

  it('a sum of squares is inverted, also when it is singular', () => {
    const inverse = inverseOf([4, 2, 2, 3], 2, 0);
    [3 / 8, -2 / 8, -2 / 8, 4 / 8].forEach((value, at) => assert.ok(Math.abs(inverse[at]! - value) < 1e-6));
    assert.ok(inverseOf([1, 1, 1, 1], 2, 0).every(Number.isFinite));
  });

  it('rows of what goes in, times the weights, are what the engine computes: convolutions with padding and strides, and matrix products', async () => {
    for (const [model, recipe] of [['media/samples/digits/model.onnx', 'media/samples/digits/digits.particlize.json'], ['test/fixtures/ablation/residual.onnx', 'test/fixtures/ablation/residual.particlize.json']]) {
      const { graph, engine, data } = await openSample(path.join(root, model!), path.join(root, recipe!));
      const sites = linearSites(graph);
      assert.ok(sites.length >= 3);
      const inputs = await data.inputs(0, 3);
      const fetches = [...new Set(sites.flatMap(({ input, output }) => [input, output]))].filter((name) => !inputs.has(name));
      const program = await engine.compile(graph, [...inputs.keys()], fetches);
      const values = new Map([...inputs, ...await program.run(inputs)]);
      await program.dispose();
      for (const site of sites) {
        const places = Int32Array.of(0, 1, 2);
        const size = site.channels * site.taps;
        const x = inputRows(graph, site, values.get(site.input)!, places);
        const outputs = Array.from({ length: site.outputs }, (_, output) => output);
        const y = outputRows(site, values.get(site.output)!, places, outputs);
        const weights = await matrixOf(graph, site);
        const bias = site.bias === undefined ? undefined : asFloat32(await graph.tensors.get(site.bias)!.read());
        places.forEach((_, row) => outputs.forEach((output) => {
          let sum = bias?.[output] ?? 0;
          for (let column = 0; column < size; column++) sum += weights[output * size + column]! * x[row * size + column]!;
          assert.ok(Math.abs(sum - y[row * outputs.length + output]!) < 1e-4, `${site.node.name} ${row} ${output}: ${sum}`);
        }));
      }
    }
  });

  it('reaches the target with hardly more than it needs, and keeps what plain removal of the same particles loses', async () => {
    const { graph, table, engine, data } = context;
    const before = await evaluate(graph, engine, data, { memoryBytes });
    const pruned = await pruneTo(context, { ...settings, macs: 0.2 });
    assert.ok(pruned.reached && pruned.macs === modelCost(pruned.graph).macs);
    assert.ok(pruned.macs <= 0.2 * before.macs && pruned.macs > 0.17 * before.macs, String(pruned.macs));
    const particles = pruned.rows.map((row) => table.id(row));
    const plain = (await applyPlan(graph, table, { version: 1, model: { file: '', sha256: '' }, steps: [{ action: 'remove', particles }] })).graph;
    for (const { layer, count } of decompose(plain).groups) assert.equal(decompose(pruned.graph).group(layer)!.count, count);
    const [with_, without] = [await evaluate(pruned.graph, engine, data, { memoryBytes }), await evaluate(plain, engine, data, { memoryBytes })];
    assert.ok(with_.loss < before.loss + 0.05, `${before.loss} -> ${with_.loss}`);
    assert.ok(with_.loss < without.loss - 0.02, `${with_.loss} against ${without.loss}`);
  });

  it('a twin costs nothing, and its partner takes over all that it did', async () => {
    const { twins, second } = await withTwin(context.graph);
    const table = decompose(twins);
    const { rows, predicted } = await chooseCompensated({ ...context, graph: twins, table }, { ...settings, ridge: 1e-6, macs: 0.96 });
    assert.ok(rows.length >= 1);
    assert.ok(predicted < 1e-3, String(predicted));
    const row = table.row(`conv1/kernel:${second}`)!;
    const { removed } = removalOf(twins, table, new Set([row]));
    const smaller = await removeAxes(twins, removed);
    const site = linearSites(twins).find(({ node }) => node.layer === 'conv1')!;
    const result = await reconstruct(twins, smaller, context, new Map([[site.node.name, Array.from({ length: site.outputs }, (_, output) => output).filter((output) => output !== second)]]), { samples: 256, ridge: 1e-6 });
    const loss = async (of: ModelGraph): Promise<number> => (await evaluate(of, context.engine, context.data, { memoryBytes })).loss;
    const [before, after, cut] = [await loss(twins), await loss(result), await loss(smaller)];
    assert.ok(Math.abs(after - before) < 0.002, `${before} -> ${after}`);
    assert.ok(Math.abs(cut - before) > 0.005, `${before} -> ${cut} without reconstruction`);
  });

  it('what a sum ties together goes together, and the output stays', async () => {
    const { graph, rows, reached } = await pruneTo(residual, { ...settings, macs: 0.5 });
    assert.ok(reached);
    const count = (layer: string): number => rows.filter((row) => residual.table.groupOf(row).layer === layer).length;
    assert.equal(count('stem'), count('body'));
    assert.equal(count('head'), 0);
    assert.ok((await evaluate(graph, residual.engine, residual.data, { memoryBytes })).loss < 10);
  });

  it('says so when the target cannot be reached', async () => {
    const { reached, macs } = await pruneTo(residual, { ...settings, macs: 0.0001 });
    assert.equal(reached, false);
    assert.ok(macs > 0.0001 * modelCost(residual.graph).macs);
  });

  it('is cancelled', async () => {
    await assert.rejects(pruneTo({ ...context, task: { signal: AbortSignal.abort() } }, { ...settings, macs: 0.5 }), { name: 'CancelledError' });
  });
});

/** The two kernels of conv1 from which conv2 takes most, with the weights of the first. */
async function withTwin(graph: ModelGraph): Promise<{ readonly twins: ModelGraph; readonly second: number }> {
  const tensors = new Map(graph.tensors);
  const [site, next] = ['conv1', 'conv2'].map((layer) => linearSites(graph).find(({ node }) => node.layer === layer)!) as [LinearSite, LinearSite];
  const weights = await matrixOf(graph, next);
  const taken = new Float32Array(next.channels);
  weights.forEach((weight, at) => (taken[Math.floor((at % (next.channels * next.taps)) / next.taps)]! += weight ** 2));
  const [first, second] = [...taken.keys()].sort((one, two) => taken[two]! - taken[one]!) as [number, number];
  for (const name of [site.weight, site.bias!]) {
    const tensor = graph.tensors.get(name)!;
    const array = await tensor.read();
    const data = Float32Array.from(asFloat32(array));
    const size = data.length / site.outputs;
    data.copyWithin(second * size, first * size, (first + 1) * size);
    tensors.set(name, { ...tensor, read: () => Promise.resolve({ ...array, data }) });
  }
  return { twins: { ...graph, tensors }, second };
}
