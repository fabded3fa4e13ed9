import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createSessions } from '../../../src/compute/session';

const sample = path.resolve(__dirname, '../../../media/samples/digits');

describe('predictions with particles muted', function () {
  this.timeout(60_000);
  const sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 512, workers: 1 });
  const recipe = path.join(sample, 'digits.particlize.json');
  let model: string;

  before(async () => {
    ({ model } = await sessions.open({ path: path.join(sample, 'model.onnx') }, {}));
  });

  it('over all samples the change of the loss is the one that PyTorch measured', async () => {
    const expected = JSON.parse(readFileSync(path.join(sample, 'expected.json'), 'utf8')) as { particles: Record<string, { ablationLossChange: number[] }> };
    const { samples } = await sessions.mutedPrediction({ model, recipe, sample: 0, rows: [] }, {});
    // conv2 begins in row 16.
    const changes = expected.particles.conv2!.ablationLossChange;
    const kernel = changes.indexOf(Math.max(...changes));
    let change = 0;
    for (let at = 0; at < samples; at++) {
      const { scores, muted, label, classes } = await sessions.mutedPrediction({ model, recipe, sample: at, rows: [16 + kernel] }, {});
      const right = classes.indexOf(label!);
      change += (Math.log(scores[right]!) - Math.log(muted[right]!)) / samples;
    }
    assert.ok(Math.abs(change - changes[kernel]!) < 1e-4 * Math.abs(changes[kernel]!) + 1e-6, `${change} instead of ${changes[kernel]}`);
  });

  it('several go at once, and none changes nothing', async () => {
    const none = await sessions.mutedPrediction({ model, recipe, sample: 3, rows: [] }, {});
    assert.deepStrictEqual(none.muted, none.scores);
    const all = await sessions.mutedPrediction({ model, recipe, sample: 3, rows: Array.from({ length: 64 }, (_, i) => 48 + i) }, {});
    // Without any neuron of dense1 only the bias of dense2 is left: the same for each sample.
    const other = await sessions.mutedPrediction({ model, recipe, sample: 7, rows: Array.from({ length: 64 }, (_, i) => 48 + i) }, {});
    assert.deepStrictEqual(all.muted, other.muted);
    assert.notDeepStrictEqual(all.scores, other.scores);
  });

  it('says which sample or particle there is none of', async () => {
    await assert.rejects(sessions.mutedPrediction({ model, recipe, sample: 9999, rows: [] }, {}), /there is no sample 9999; the recipe gives 360/);
    await assert.rejects(sessions.mutedPrediction({ model, recipe, sample: 0, rows: [122] }, {}), /no particle in row 122/);
  });
});
