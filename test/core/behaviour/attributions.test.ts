import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { conductances } from '../../../src/core/behaviour/conductance';
import { layerIntegratedGradients } from '../../../src/core/behaviour/integratedGradients';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { openSample, root } from '../support/openSample';

const folder = path.join(root, 'test/fixtures/behaviour');
const { cnn } = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as {
  cnn: { readonly attributionSamples: number; readonly attributions: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> };
};

describe('attributions are Captum\'s on a trained network', function () {
  this.timeout(60_000);
  let context: Awaited<ReturnType<typeof openSample>>;

  before(async () => {
    context = await openSample(path.join(folder, 'cnn.onnx'), path.join(folder, 'cnn.particlize.json'), { samples: cnn.attributionSamples });
    await addBehaviour(context, new Set(['gradientActivation']));
  });

  it('gradient × activation', () => same('gradientActivation', context.table.column('gradientActivation')!.values, 1e-4));
  it('integrated gradients of a layer', async () => same('integratedGradients', await layerIntegratedGradients(context, { steps: 32 }), 1e-3));
  it('conductance', async () => same('conductance', await conductances(context, { steps: 32 }), 0.02));

  function same(name: string, values: Float32Array, tolerance: number): void {
    for (const [layer, known] of Object.entries(cnn.attributions[name]!)) {
      const { firstRow, count } = context.table.group(layer)!;
      assert.equal(known.length, count);
      const largest = Math.max(...known.map(Math.abs));
      known.forEach((value, particle) => {
        const own = values[firstRow + particle]!;
        assert.ok(Math.abs(own - value) <= tolerance * largest, `${layer}:${particle}: ${own} instead of ${value}`);
      });
    }
  }
});
