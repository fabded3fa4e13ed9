import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { Engine } from '../../../../src/core/graph/engine';
import { finishGraph } from '../../../../src/core/graph/finishGraph';
import { float32Array } from '../../../../src/core/graph/numeric';
import { tensorOf } from '../../../../src/core/graph/tensor';
import type { JsonObject } from '../../../../src/core/formats/containers/json';
import { parseKerasModel } from '../../../../src/core/formats/keras/kerasConfig';
import { importKeras } from '../../../../src/core/formats/keras/kerasImport';
import { weightsByName } from '../../../../src/core/formats/keras/namedWeights';
import { createEngine } from '../../../../src/engines/registry';
import { createTfjsEngine } from '../../../../src/engines/tfjs/tfjsEngine';
import { relativeError } from '../../support/graphs';
import { fixtureFolder } from '../../support/memoryFiles';
import { runOn } from '../../support/tfjsModels';

interface KerasCase {
  readonly title: string;
  readonly config: JsonObject;
  readonly weights: readonly { readonly name: string; readonly shape: number[]; readonly data: number[] }[];
  readonly input: { readonly shape: number[]; readonly data: number[] };
  readonly output: { readonly shape: number[]; readonly data: number[] };
}

const cases = JSON.parse(fs.readFileSync(path.join(fixtureFolder, 'kerasLayers.json'), 'utf8')) as KerasCase[];

/** Keras 3 configurations, weights and outputs, recorded by test/fixtures/make/kerasLayers.py. */
describe('Keras layers mean what Keras 3 makes of them', function () {
  this.timeout(30_000);
  let engines: readonly Engine[] = [];

  before(async () => {
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in tfjs));
    engines = [await createEngine('ort-native'), tfjs];
  });

  for (const { title, config, weights, input, output } of cases) {
    it(title, async () => {
      const tensors = weights.map(({ name, shape, data }) => tensorOf(name, float32Array(data, shape)));
      const { record, ...parts } = importKeras(parseKerasModel(config, 'model.keras', []), weightsByName(tensors), {
        file: 'model.keras', dialect: { hardSigmoidSlope: 1 / 6, bilinear: 'half_pixel' },
      });
      assert.equal(record.weights.size, weights.length, 'every weight belongs to a layer');
      const graph = await finishGraph({ ...parts, format: 'keras', producer: 'Keras', opset: 18, origin: record });
      assert.deepEqual(graph.findings, []);
      for (const engine of engines) {
        const [result] = await runOn(engine, graph, { dtype: 'float32', shape: input.shape, data: Float32Array.from(input.data) });
        assert.deepEqual(result!.shape, output.shape, engine.title);
        const error = relativeError(result!.data as Float32Array, output.data);
        assert.ok(error <= (title.includes('50 steps') ? 1e-4 : 1e-5), `${engine.title}: relative error ${error}`);
      }
    });
  }
});
