import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createSessions } from '../../../src/compute/session';
import type { ColumnData, MethodTable } from '../../../src/compute/protocol';
import { digits } from '../support/openSample';

const recipe = path.join(digits, 'digits.particlize.json');
const expected = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as {
  firstTestLabels: number[]; firstTestLogits: number[][]; particles: Record<string, { l2: number[] }>;
};

describe('sessions', function () {
  this.timeout(60_000);
  let sessions: MethodTable;
  before(() => (sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256 })));

  it('a file with weights and no graph shows its particles, and says why it cannot be run', async () => {
    const { model, layers } = await open('model.pt');
    assert.deepEqual(layers.map(({ name, particles }) => [name, particles?.count]), [['conv1', 16], ['conv2', 32], ['dense1', 64], ['dense2', 10]]);
    const [l2] = await sessions.columns({ model, names: ['l2'] }, {});
    expected.particles['conv2']!.l2.forEach((norm, kernel) => assert.ok(Math.abs(l2!.values[16 + kernel]! - norm) < 1e-5));
    await assert.rejects(sessions.evaluate({ model, recipe }, {}), /^ParticlizeError: model\.pt: the file has weights but no graph/);
    await assert.rejects(sessions.suggest({ model, recipe, maxDrop: 0.01 }, {}), /no graph/);
  });

  for (const file of ['model.onnx', 'tfjs/model.json']) {
    describe(file, () => {
      it('opens once, and says what is in it', async () => {
        const summary = await open(file);
        assert.equal((await open(file)).model, summary.model);
        assert.match(summary.sha256, /^[0-9a-f]{64}$/);
        assert.equal(summary.particleCount, 122);
        const conv1 = summary.layers.find(({ name }) => name === 'conv1')!;
        assert.equal(conv1.particles!.count, 16);
        assert.equal(conv1.next.length, 1);
        assert.match(summary.layers.find(({ name }) => name === 'dense2')!.note!, /output|Softmax/);
      });

      it('gives each particle\'s weights', async () => {
        const { model } = await open(file);
        for (const layer of ['conv2', 'dense1']) {
          const { shape, values } = await sessions.weights({ model, layer, from: 3, to: 5 }, {});
          const each = values.length / 2;
          assert.equal(shape[0], 2);
          [3, 4].forEach((particle, index) => {
            const norm = Math.sqrt(values.subarray(index * each, (index + 1) * each).reduce((sum, value) => sum + value * value, 0));
            assert.ok(Math.abs(norm - expected.particles[layer]!.l2[particle]!) < 1e-4, `${layer} ${particle}: ${norm}`);
          });
        }
        await assert.rejects(sessions.weights({ model, layer: 'conv2', from: 30, to: 40 }, {}), /there are no particles 30 to 40; it has 32/);
      });

      it('shows what a layer does on one sample, with picture, label and prediction', async () => {
        const { model } = await open(file);
        const shown = await sessions.activations({ model, recipe, layer: 'conv1', sample: 1 }, {});
        assert.deepEqual([shown.shape, shown.picture!.shape, shown.label], [[16, 8, 8], [8, 8], String(expected.firstTestLabels[1])]);
        assert.ok(shown.values.every((value) => value >= 0) && shown.values.some((value) => value > 0.1), 'behind ReLU');
        const powers = expected.firstTestLogits[1]!.map(Math.exp);
        const total = powers.reduce((sum, value) => sum + value, 0);
        powers.forEach((power, index) => assert.ok(Math.abs(shown.prediction.scores[index]! - power / total) < 1e-5));
        assert.equal(shown.prediction.classes[5], '5');
        const dense = await sessions.activations({ model, recipe, layer: 'dense1', sample: 0 }, {});
        assert.deepEqual(dense.shape, [64]);
        await assert.rejects(sessions.activations({ model, recipe, layer: 'conv1', sample: 360 }, {}), /there is no sample 360; the recipe gives 360/);
      });

      it('finds the recipe', async () => {
        const { model } = await open(file);
        assert.deepEqual(await sessions.recipes({ model }, {}), [{ path: recipe, fits: true }]);
      });
    });
  }

  it('columns stream while behaviour runs, and stay', async () => {
    const { model } = await open('model.onnx');
    const seen: ColumnData[] = [];
    await sessions.behaviour({ model, recipe, samples: 20, columns: ['ablationLossChange'] }, { columns: (id, columns) => void (assert.equal(id, model), seen.push(...columns)) });
    assert.ok(seen.length > 3 && seen.every(({ values }) => values.length === 122));
    const known = await sessions.columns({ model, names: ['ablationLossChange', 'activationMean'] }, {});
    assert.deepEqual(known.map(({ name }) => name), ['ablationLossChange']);
  });

  it('a recipe that does not fit says why; a changed file is opened anew; a closed model is gone', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-session-'));
    try {
      const copy = path.join(folder, 'm.onnx');
      fs.copyFileSync(path.join(digits, 'model.onnx'), copy);
      fs.writeFileSync(path.join(folder, 'wrong.particlize.json'), '{"task":"classification","data":{"d":"none.npz"},"inputs":{"*":{"from":"d.x"}}}');
      const { model } = await sessions.open({ path: copy }, {});
      const [match] = await sessions.recipes({ model }, {});
      assert.equal(match!.fits, false);
      assert.match(match!.reason!, /wrong\.particlize\.json: data: the data file none\.npz does not exist/);
      fs.utimesSync(copy, 1, 1);
      assert.notEqual((await sessions.open({ path: copy }, {})).model, model);
      await sessions.close({ model }, {});
      await assert.rejects(async () => sessions.recipes({ model }, {}), /this model is not open any more\. Open it again\./);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });

  it('says which engine runs', async () => {
    const { current, available } = await sessions.engines({}, {});
    assert.ok(current.length > 3 && available.length >= 1);
  });

  function open(file: string): ReturnType<MethodTable['open']> {
    return sessions.open({ path: path.join(digits, file) }, {});
  }
});
