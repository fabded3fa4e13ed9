import assert from 'node:assert/strict';
import path from 'node:path';
import { suggest } from '../../../../src/core/optimise/suggest';
import { digits, openSample } from '../../support/openSample';

describe('suggestions by a criterion', function () {
  this.timeout(60_000);

  it('are ranked by it, and hold as measured; nothing is swept for them', async () => {
    const context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    const by = (criterion: string) => suggest(context, { maxDrop: 0.01, front: false, criterion: { criterion } });
    const [magnitude, random] = [await by('magnitudeL1'), await by('random')];
    const layer = ({ suggestions }: typeof magnitude) => suggestions.find(({ id }) => id === 'remove:conv1')!;
    assert.match(layer(magnitude).evidence, /smallest weights \(L1\)/);
    assert.match(layer(random).evidence, /drawn by lot/);
    assert.notDeepEqual(layer(magnitude).particles, layer(random).particles);
    for (const { predicted } of [...magnitude.suggestions, ...random.suggestions]) assert.ok(predicted.metric!.change >= -0.01 - 1e-9);
    assert.equal(context.table.column('ablationLossChange'), undefined);
  });

  it('layers of which it says nothing are named', async () => {
    const context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 60 });
    const { suggestions, refusals } = await suggest(context, { maxDrop: 0.01, front: false, criterion: { criterion: 'batchNormScale' } });
    assert.deepEqual(suggestions, []);
    assert.match(refusals.find(({ layer }) => layer === 'conv1')!.reason, /batchNormScale says nothing/);
  });
});
