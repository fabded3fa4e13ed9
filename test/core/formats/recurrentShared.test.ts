import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import type { Engine } from '../../../src/core/graph/engine';
import { openModel } from '../../../src/core/formats/registry';
import { tfjsLayers } from '../../../src/core/formats/tfjsLayers';
import { removalOf } from '../../../src/core/optimise/removal';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { relativeError, seededRandom } from '../support/graphs';
import { contentsOf, memoryFiles, sharedModels } from '../support/memoryFiles';
import { silence } from '../support/silence';
import { loadedLayersModel, modelFiles, runOn } from '../support/tfjsModels';

const file = path.join(sharedModels, 'tfjs-layers/reiinakano-lstm-textgen/model.json');
const absent = !fs.existsSync(file);

describe(`an LSTM that writes text, from TensorFlow.js${absent ? ' (skipped: ../shared/models is not here)' : ''}`, function () {
  this.timeout(60_000);
  let engines: readonly Engine[] = [];
  /** One character a step, as the model is fed. */
  const text = (): Float32Array => {
    const next = seededRandom(3);
    const data = new Float32Array(2 * 40 * 57);
    for (let step = 0; step < 80; step++) data[step * 57 + Math.floor(next() * 57)] = 1;
    return data;
  };

  before(async function () {
    if (absent) return this.skip();
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in tfjs));
    engines = [await createEngine('ort-native'), tfjs];
  });

  it('computes over 40 steps what TensorFlow.js does, on both engines', async () => {
    const graph = await openModel(modelFiles(file));
    const model = await loadedLayersModel(file);
    await tf.setBackend('cpu');
    const expected = (model.predict(tf.tensor(text(), [2, 40, 57])) as tf.Tensor).dataSync();
    for (const engine of engines) {
      const [result] = await runOn(engine, graph, { dtype: 'float32', shape: [2, 40, 57], data: text() });
      const error = relativeError(result!.data as Float32Array, expected);
      assert.ok(error <= 1e-5, `${engine.title}: ${error}`);
    }
  });

  it('loses units, is saved, and is loaded by TensorFlow.js with what is left', async () => {
    const graph = await openModel(modelFiles(file));
    const table = decompose(graph);
    const units = table.group('lstm_2')!;
    assert.deepEqual([units.kind, units.count], ['unit', 128]);
    const { removed, refusals } = removalOf(graph, table, new Set([3, 40, 127].map((unit) => units.firstRow + unit)));
    assert.deepEqual(refusals, []);
    const small = await removeAxes(graph, removed);
    const [silent] = await runOn(engines[0]!, await silence(graph, removed), { dtype: 'float32', shape: [2, 40, 57], data: text() });
    const saved = await tfjsLayers.save!(graph, small, 'small.json');
    const contents = Object.fromEntries(await Promise.all(saved.map(async (one) => [one.name, await contentsOf(one)] as const)));
    const json = JSON.parse(new TextDecoder().decode(contents['small.json'])) as tf.io.ModelJSON;
    const specs = json.weightsManifest.flatMap((group) => group.weights);
    assert.deepEqual(specs.find(({ name }) => name === 'lstm_2/recurrent_kernel')!.shape, [125, 500]);
    const bytes = Buffer.concat(json.weightsManifest.flatMap((group) => group.paths.map((name) => contents[name]!)));
    const model = await tf.loadLayersModel(tf.io.fromMemory({
      modelTopology: json.modelTopology, weightSpecs: specs,
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer,
    }));
    await tf.setBackend('cpu');
    const result = (model.predict(tf.tensor(text(), [2, 40, 57])) as tf.Tensor).dataSync();
    assert.ok(relativeError(result, silent!.data as Float32Array) <= 1e-5);
    const again = await openModel(memoryFiles('small.json', contents['small.json']!, contents));
    assert.equal(decompose(again).group('lstm_2')!.count, 125);
  });
});
