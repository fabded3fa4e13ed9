import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { objectiveFor, type Targets } from '../../../src/core/evaluate/metrics';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { GraphNode, ModelGraph } from '../../../src/core/graph/modelGraph';
import type { TaskKind } from '../../../src/core/data/dataset';
import { digits, openSample, root } from '../support/openSample';

const shared = path.join(root, '../shared/models');
const mnist = path.join(root, 'test/fixtures/recipes/mnist.particlize.json');

describe('evaluate', function () {
  this.timeout(60_000);

  for (const model of ['model.onnx', 'tfjs/model.json']) {
    it(`digits ${model}: PyTorch's loss and accuracy`, async () => {
      const known = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as { test: { loss: number; accuracy: number } };
      const { graph, engine, data } = await openSample(path.join(digits, model), path.join(digits, 'digits.particlize.json'));
      const found = await evaluate(graph, engine, data, { memoryBytes: 2 ** 20 });
      assert.ok(Math.abs(found.loss - known.test.loss) < 1e-6, String(found.loss));
      assert.ok(Math.abs(found.metrics['accuracy']! - known.test.accuracy) < 1e-8);
      assert.deepEqual([found.samples, found.parameters, found.decisive], [360, 38282, { name: 'accuracy', higherIsBetter: true }]);
    });
  }

  for (const [model, accuracy] of [
    ['onnx/ort-mnist/mnist.onnx', 0.986],
    ['tfjs-layers/tensorspace-lenet-from-keras/model.json', 0.986],
    ['tfjs-layers/tensorspace-lenet-from-tfkeras/model.json', 0.982],
  ] as const) {
    it(`${model}: ${accuracy} on the first 500 images`, async function () {
      if (!fs.existsSync(shared)) {
        console.log('      skipped: ../shared/models is not here');
        return this.skip();
      }
      const { graph, engine, data } = await openSample(path.join(shared, model), mnist);
      const found = await evaluate(graph, engine, data, { memoryBytes: 2 ** 28 });
      assert.equal(found.samples, 500);
      assert.equal(found.metrics['accuracy'], accuracy);
    });
  }
});

describe('losses and metrics', () => {
  it('cross-entropy, from logits of any size', async () => {
    const found = await scored('classification', [], 3, [1, 2, 3, 1000, 0, -1000, 0, 0, 0], { classes: Int32Array.of(2, 1, 0) });
    // -log softmax: log(1 + e^-1 + e^-2), 1000, log 3
    near(found.loss, (0.4076059644443804 + 1000 + 1.0986122886681098) / 3);
    near(found.metrics['accuracy']!, 2 / 3);
    assert.equal(found.metrics['top5'], undefined);
  });

  it('top 5 where there are enough classes; of equal outputs the first wins', async () => {
    const row = Array.from({ length: 11 }, (_, index) => -index);
    const found = await scored('classification', [], 11, [...row, ...row, ...new Array<number>(11).fill(0)], { classes: Int32Array.of(4, 5, 1) });
    near(found.metrics['accuracy']!, 0);
    near(found.metrics['top5']!, 2 / 3);
  });

  for (const op of ['Softmax', 'LogSoftmax', 'Sigmoid']) {
    it(`looks in front of a closing ${op}`, async () => {
      const graph = await chain([op, 'Identity'], 4);
      assert.equal(objectiveFor(graph, { task: 'classification', title: '' }).output, 'v0');
    });
  }

  it('two classes from one logit', async () => {
    const found = await scored('classification', ['Sigmoid'], 1, [2, -2, 0.5], { classes: Int32Array.of(1, 1, 0) });
    near(found.loss, (Math.log1p(Math.exp(-2)) + Math.log1p(Math.exp(2)) + Math.log1p(Math.exp(0.5))) / 3);
    near(found.metrics['accuracy']!, 1 / 3);
  });

  it('squared error', async () => {
    const found = await scored('regression', [], 2, [1, 2, 3, 4], { values: Float32Array.of(1, 0, 0, 4) });
    near(found.loss, (4 + 9) / 4);
    near(found.metrics['rmse']!, Math.sqrt(13 / 4));
    near(found.metrics['mae']!, 5 / 4);
  });

  it('an output that counts as broken is not right by accident', async () => {
    const found = await scored('classification', [], 3, [NaN, NaN, NaN], { classes: Int32Array.of(0) });
    assert.equal(found.metrics['accuracy'], 0);
  });

  it('a recipe may name output and metric; unknown ones are refused', async () => {
    const graph = await chain(['Relu', 'Identity'], 11);
    assert.equal(objectiveFor(graph, { task: 'classification', title: 'r', metric: 'top5' }).decisive.name, 'top5');
    assert.throws(() => objectiveFor(graph, { task: 'classification', title: 'r', metric: 'f1' }), /r: metric: there is no metric 'f1' for classification\. There are accuracy, top5/);
    assert.throws(() => objectiveFor(graph, { task: 'classification', title: 'r', output: 'y' }), /r: output: the model has no output 'y'/);
  });

  it('of many outputs the last one is judged', async () => {
    const graph = await chain(['Relu', 'Softmax'], 10);
    const all: ModelGraph = { ...graph, outputs: [{ name: 'v1', shape: [null, 10] }, { name: 'v2', shape: [null, 10] }] };
    assert.equal(objectiveFor(all, { task: 'classification', title: '' }).output, 'v1');
  });
});

async function scored(task: TaskKind, ops: readonly string[], width: number, outputs: readonly number[], targets: Targets): Promise<ReturnType<ReturnType<typeof objectiveFor>['finish']>> {
  const objective = objectiveFor(await chain([...ops, 'Identity'], width), { task, title: '' });
  const samples = outputs.length / width;
  const sums = new Float64Array(objective.sums);
  objective.add(sums, Float32Array.from(outputs), width, 0, samples, targets);
  return objective.finish(sums, samples);
}

/** v0 -> op -> v1 -> op -> ... */
function chain(ops: readonly string[], width: number): Promise<ModelGraph> {
  const nodes = ops.map((op, index): GraphNode => ({ name: `n${index}`, op, domain: '', inputs: [`v${index}`], outputs: [`v${index + 1}`], attributes: {}, layer: `n${index}` }));
  return finishGraph({
    format: 'test', producer: '', opset: 18, inputs: [{ name: 'v0', dtype: 'float32', shape: [null, width] }], outputs: [{ name: `v${ops.length}` }],
    nodes, tensors: new Map(), layers: nodes.map(({ name, op }) => ({ name, type: op, nodes: [name], tensors: [] })), findings: [], origin: undefined,
  });
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-6 * Math.max(1, Math.abs(expected)), `${actual} instead of ${expected}`);
}
