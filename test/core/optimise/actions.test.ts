import assert from 'node:assert/strict';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { decodeFloat32, encodeFloat32 } from '../../../src/core/optimise/actions/reconstruct';
import { lowRank } from '../../../src/core/optimise/actions/factorise';
import { actions } from '../../../src/core/optimise/actions/registry';
import { checkedPlan } from '../../../src/core/optimise/checkPlan';
import type { PlanStep } from '../../../src/core/optimise/plan';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { fileSetOf } from '../../../src/compute/files';
import { actionTrial, trialActions } from '../support/actionTrial';
import { relativeError, seededRandom } from '../support/graphs';
import { digits } from '../support/openSample';
import { inputsFor } from '../support/randomFamilies';
import { runGraph } from '../support/runGraph';

/** Families in which each action finds something to do. */
const tried = {
  merge: ['plain', 'residual', 'denseNet'], fold: ['plain'], reweight: ['plain', 'residual', 'denseNet'], maskConnections: ['plain'],
  factorise: ['plain', 'residual'], grow: ['plain', 'residual', 'denseNet'], removeBlock: ['residual'],
} as const;

describe('actions of a plan', function () {
  this.timeout(60_000);
  let engine: Engine;
  let graph: ModelGraph;

  before(async () => {
    engine = await createEngine('auto', { threads: 1 });
    graph = await openModel(await fileSetOf(path.join(digits, 'model.onnx')));
  });

  const apply = (...steps: PlanStep[]): ReturnType<typeof applyPlan> => applyPlan(graph, decompose(graph), { version: 1, model: { file: 'model.onnx', sha256: '' }, steps });

  for (const action of trialActions) {
    it(`${action}: random networks equal what they have to`, async () => {
      let done = 0;
      for (const family of tried[action]) {
        for (let seed = 1; seed <= 8; seed++) {
          const trial = await actionTrial(engine, family, action, seed);
          assert.notEqual(trial.outcome, 'failed', `${family}, seed ${seed}: ${trial.reason}`);
          if (trial.outcome === 'done') done++;
        }
      }
      assert.ok(done >= 4, `only ${done} were carried out`);
    });
  }

  it('maskConnections sets exactly the smallest weights of the layer to zero', async () => {
    const operated = await apply({ action: 'maskConnections', layer: 'conv2', share: 0.5 });
    const changed = [...operated.graph.tensors].filter(([name, tensor]) => tensor !== graph.tensors.get(name));
    assert.equal(changed.length, 1);
    const [name, tensor] = changed[0]!;
    const [before, after] = [asFloat32(await graph.tensors.get(name)!.read()), asFloat32(await tensor.read())];
    const sizes = Float32Array.from(before, Math.abs).sort();
    const limit = sizes[Math.floor(before.length / 2) - 1]!;
    after.forEach((value, index) => assert.equal(value, Math.abs(before[index]!) <= limit ? 0 : before[index]));
    assert.match(operated.notes[0]!, new RegExp(`^${Math.floor(before.length / 2)} of ${before.length} weights of conv2 are zero$`));
  });

  it('factorise at a lower rank is the best approximation: its error is what the left-out directions weigh', () => {
    const random = seededRandom(5);
    const [rows, columns, rank] = [7, 11, 3];
    const values = Float32Array.from({ length: rows * columns }, () => random() * 2 - 1);
    const errorOf = (k: number): number => {
      const { left, right } = lowRank(values, rows, columns, k);
      let error = 0;
      for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let at = 0; at < k; at++) sum += left[row * k + at]! * right[at * columns + column]!;
        error += (sum - values[row * columns + column]!) ** 2;
      }
      return error;
    };
    assert.ok(errorOf(rows) < 1e-10);
    // No other matrix of that rank that we can make comes nearer: those of the rows' own first directions, moved a little.
    const best = errorOf(rank);
    const { left, right } = lowRank(values, rows, columns, rank);
    for (let turn = 0; turn < 20; turn++) {
      const moved = right.map((value) => value + 0.02 * (random() - 0.5));
      let error = 0;
      for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let at = 0; at < rank; at++) sum += left[row * rank + at]! * moved[at * columns + column]!;
        error += (sum - values[row * columns + column]!) ** 2;
      }
      assert.ok(error >= best);
    }
  });

  it('steps name particles as the plan\'s model does, whatever went before', async () => {
    const together = await apply({ action: 'remove', particles: ['conv1/kernel:2', 'conv1/kernel:5'] });
    const apart = await apply(
      { action: 'remove', particles: ['conv1/kernel:2'] }, { action: 'reweight', particles: ['conv1/kernel:9'], factors: [1] }, { action: 'remove', particles: ['conv1/kernel:5'] },
    );
    const feeds = inputsFor(graph, 3);
    assert.deepEqual(await runGraph(engine, apart.graph, feeds), await runGraph(engine, together.graph, feeds));
    await assert.rejects(apply({ action: 'removeBlock', block: 'conv1' }), /model\.onnx: conv1: it is no sum/);
    await assert.rejects(
      apply({ action: 'remove', particles: ['conv1/kernel:2'] }, { action: 'reweight', particles: ['conv1/kernel:2'], factors: [1] }), /conv1\/kernel:2: an earlier step has taken it away/,
    );
  });

  it('a layer that grew and lost what it grew from is what it was', async () => {
    const grown = await apply({ action: 'grow', particles: ['conv1/kernel:3', 'conv2/kernel:4'], noise: 0 });
    const [before, after] = [decompose(graph), decompose(grown.graph)];
    assert.equal(after.rowCount, before.rowCount + 2);
    const feeds = inputsFor(graph, 3);
    const whole = await runGraph(engine, graph, feeds);
    assert.ok(relativeError(await runGraph(engine, grown.graph, feeds), whole) <= 1e-5);
    const noisy = await apply({ action: 'grow', particles: ['conv1/kernel:3'], noise: 0.3, seed: 1 });
    assert.ok(relativeError(await runGraph(engine, noisy.graph, feeds), whole) > 1e-4);
    assert.deepEqual(await runGraph(engine, (await apply({ action: 'grow', particles: ['conv1/kernel:3'], noise: 0.3, seed: 1 })).graph, feeds), await runGraph(engine, noisy.graph, feeds));
  });

  it('what cannot be meant is one sentence', async () => {
    await assert.rejects(apply({ action: 'factorise', layer: 'dense1', rank: 100_000 }), /model\.onnx: dense1: a rank of 100000 is impossible, its weights have rank \d+ at most\.$/);
    await assert.rejects(apply({ action: 'factorise', layer: 'nothere', rank: 1 }), /nothere: the model has no such layer/);
    await assert.rejects(apply({ action: 'reconstruct', layer: 'conv2', tensors: [{ name: 'conv2.weight', shape: [1], float32: 'AAAAAA==' }] }), /conv2: (the model has no weights|its new weights)/);
    await assert.rejects(apply({ action: 'removeHead', particles: ['conv1/kernel:1'] }), /it is no attention head/);
    const bad: readonly (readonly [unknown, RegExp])[] = [
      [{ action: 'explode' }, /p\.json: steps\[0\]\.action: it should be one of 'remove', 'removeHead'/],
      [{ action: 'merge', into: 'a', particles: ['b'], scales: [1, 2] }, /steps\[0\]\.scales: it should be a list of one number for each particle/],
      [{ action: 'factorise', layer: 'a', rank: 1.5 }, /steps\[0\]\.rank: it should be a whole number from 1 up/],
      [{ action: 'factorise', layer: 'a', rank: 2, way: 'up' }, /steps\[0\]\.way: it should be 'channels' or 'spatial'/],
      [{ action: 'maskConnections', layer: 'a', share: 2 }, /steps\[0\]\.share/],
      [{ action: 'reconstruct', layer: 'a', tensors: [{}] }, /steps\[0\]\.tensors\[0\]/],
      [null, /steps\[0\]\.action/],
    ];
    for (const [step, message] of bad) assert.throws(() => checkedPlan({ version: 1, model: { file: '', sha256: '' }, steps: [step] }, 'p.json'), message);
    assert.deepEqual(actions.map(({ name }) => name).sort(), ['factorise', 'fold', 'grow', 'maskConnections', 'merge', 'reconstruct', 'remove', 'removeBlock', 'removeHead', 'reweight']);
  });

  it('numbers of a plan survive being text', () => {
    const values = Float32Array.from({ length: 37 }, (_, index) => (index % 2 ? -1 : 1) * 1.1 ** (index * 7 - 100));
    assert.deepEqual(decodeFloat32(encodeFloat32(values)), values);
    assert.equal(encodeFloat32(values), Buffer.from(values.buffer).toString('base64'));
    assert.equal(decodeFloat32('AAAA?AA='), undefined);
  });
});
