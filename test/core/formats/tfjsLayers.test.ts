import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as tf from '@tensorflow/tfjs';
import type { Engine } from '../../../src/core/graph/engine';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { tensorOf, type NdArray } from '../../../src/core/graph/tensor';
import { formatOf, openModel } from '../../../src/core/formats/registry';
import { tfjsLayers } from '../../../src/core/formats/tfjsLayers';
import { createEngine } from '../../../src/engines/registry';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { relativeError, seededRandom } from '../support/graphs';
import { contentsOf, memoryFiles, sampleFolder, sharedModels } from '../support/memoryFiles';
import { loadedLayersModel, modelFiles, runOn } from '../support/tfjsModels';

const models = path.join(sharedModels, 'tfjs-layers');
const absent = !fs.existsSync(models);

describe('TensorFlow.js layers models made by others', function () {
  this.timeout(120_000);
  const engines: Engine[] = [];

  before(async function () {
    // skipped: ../shared/models is not here
    if (absent) this.skip();
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in tfjs));
    engines.push(await createEngine('ort-native'), tfjs);
  });

  for (const file of absent ? [] : modelsIn(models)) {
    it(`${file} opens, runs like tf.loadLayersModel, and is saved unchanged`, async () => {
      const files = modelFiles(path.join(models, file));
      assert.equal(await formatOf(files), tfjsLayers);
      const graph = await openModel(files);
      await assertSavedUnchanged(graph, path.join(models, file));
      assert.deepEqual(graph.nodes.filter((node) => node.domain === 'keras'), [], 'every layer is known');
      const truth = await loadedLayersModel(path.join(models, file));
      const shape = [3, ...(graph.inputs[0]!.shape!.slice(1) as number[])];
      const next = seededRandom(7);
      // Characters: an LSTM that reads all of them at once at every step saturates, and enlarges every rounding.
      const characters = graph.nodes.some(({ op }) => op === 'LSTM');
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (characters ? Number(next() < 1 / 57) : next()));
      const expected = truth.predict(tf.tensor(data, shape));
      const wanted = (Array.isArray(expected) ? expected : [expected]).map((tensor) => tensor.dataSync());
      for (const engine of engines) {
        const results = await runOn(engine, graph, { dtype: 'float32', shape, data });
        assert.deepEqual(results.map((result) => result.shape.slice(1)), graph.outputs.map((output) => output.shape!.slice(1)));
        results.forEach((result, index) => {
          const error = relativeError(result.data as Float32Array, wanted[index]!);
          assert.ok(error <= 1e-5, `${engine.title}, output ${graph.outputs[index]!.name}: ${error}`);
        });
      }
    });
  }

  for (const [folder, accuracy] of [['tensorspace-lenet-from-keras', 0.986], ['tensorspace-lenet-from-tfkeras', 0.982]] as const) {
    it(`${folder} has accuracy ${accuracy} on the first 500 MNIST test images`, async () => {
      const graph = await openModel(modelFiles(path.join(models, folder, 'model.json')));
      const { images, digits } = mnist(500);
      for (const engine of engines) {
        const results = await runOn(engine, graph, images);
        const logits = results[results.length - 1]!.data as Float32Array;
        assert.equal(digits.filter((digit, index) => largest(logits.subarray(index * 10, index * 10 + 10)) === digit).length / 500, accuracy, engine.title);
      }
    });
  }

  it('Tiny VGG: every layer has the activations and the shape that TensorFlow.js gives it', async () => {
    // nn_10.json beside this model holds the weights of an older network with six convolutions, no input and no
    // activations, so the truth is TensorFlow.js itself.
    const file = path.join(models, 'cnn-explainer-tinyvgg', 'model.json');
    const graph = await openModel(modelFiles(file));
    const truth = await loadedLayersModel(file);
    const probe = tf.model({ inputs: truth.inputs, outputs: truth.layers.flatMap((layer) => layer.output) });
    const next = seededRandom(11);
    const shape = [2, 64, 64, 3];
    const data = Float32Array.from({ length: 2 * 64 * 64 * 3 }, () => next());
    const layers = truth.layers.map((layer) => layer.name).filter((name) => graph.layers.some((own) => own.name === name));
    assert.equal(layers.length, 12);
    const outputs = probe.predict(tf.tensor(data, shape)) as tf.Tensor[];
    const wanted = new Map(truth.layers.map((layer, index) => [layer.name, outputs[index]!]));
    for (const engine of engines) {
      const program = await engine.compile(graph, ['conv_1_1_input'], layers);
      const results = await program.run(new Map([['conv_1_1_input', { dtype: 'float32', shape, data }]]));
      for (const name of layers) {
        assert.deepEqual(results.get(name)!.shape, wanted.get(name)!.shape);
        assert.deepEqual(graph.layers.find((layer) => layer.name === name)!.outputShape!.slice(1), wanted.get(name)!.shape.slice(1));
        const error = relativeError(results.get(name)!.data as Float32Array, wanted.get(name)!.dataSync());
        assert.ok(error <= 1e-5, `${engine.title}, ${name}: ${error}`);
      }
      await program.dispose();
    }
    const particles = graph.nodes.filter((node) => node.op === 'Conv').map((node) => graph.tensors.get(node.inputs[1]!)!.shape[0]);
    assert.deepEqual(particles, [10, 10, 10, 10]);
  });
});

describe('the TensorFlow.js layers format', function () {
  this.timeout(60_000);
  const sample = path.join(sampleFolder, 'tfjs', 'model.json');

  it('reads the header and no weights when it opens', async () => {
    const files = modelFiles(sample);
    const graph = await openModel(files);
    assert.equal(files.shardBytesRead(), 0);
    assert.deepEqual(graph.layers.map(({ name, type, outputShape }) => [name, type, outputShape]), [
      ['conv1', 'Conv2D', [null, 8, 8, 16]], ['conv2', 'Conv2D', [null, 8, 8, 32]], ['pool', 'MaxPooling2D', [null, 4, 4, 32]],
      ['flatten', 'Flatten', [null, 512]], ['dense1', 'Dense', [null, 64]], ['dense2', 'Dense', [null, 10]],
    ]);
    const { shape, stored } = graph.tensors.get('conv2/kernel')!;
    assert.deepEqual(shape, [32, 16, 3, 3]);
    assert.deepEqual(stored!.axes, [3, 2, 0, 1]);
    assert.deepEqual(stored!.shape, [3, 3, 16, 32]);
  });

  it('writes smaller layers: sizes in the config and the manifest, weights in the file\'s layout', async () => {
    const graph = await openModel(modelFiles(sample));
    const smaller = await narrowed(graph, 'conv1/kernel', 0, [1, 5, 7]);
    const both = await narrowed(await narrowed(smaller, 'conv1/bias', 0, [1, 5, 7]), 'conv2/kernel', 1, [1, 5, 7]);
    const [main, shard] = await tfjsLayers.save!(graph, both, 'small.json');
    assert.equal(shard!.name, 'small.group1-shard1of1.bin');
    const bytes = await contentsOf(shard!);
    assert.equal(bytes.length, shard!.sizeBytes);
    const text = new TextDecoder().decode(await contentsOf(main!));
    const before = JSON.parse(fs.readFileSync(sample, 'utf8')) as SavedModel;
    const after = JSON.parse(text) as SavedModel;
    before.modelTopology.config.layers[0]!.config.filters = 3;
    before.weightsManifest[0]!.paths = [shard!.name];
    before.weightsManifest[0]!.weights.slice(0, 3).forEach((weight, index) => {
      weight.shape = [[3, 3, 1, 3], [3], [3, 3, 3, 32]][index]!;
    });
    assert.equal(JSON.stringify(after), JSON.stringify(before), 'nothing else changes, not even the order of keys');
    const again = await openModel(memoryFiles('small.json', new TextEncoder().encode(text), { [shard!.name]: bytes }));
    for (const [name, tensor] of both.tensors) {
      if (!again.tensors.has(name)) continue;
      assert.deepEqual((await again.tensors.get(name)!.read()).data, (await tensor.read()).data, name);
    }
    const truth = await tf.loadLayersModel(tf.io.fromMemory({
      modelTopology: after.modelTopology as never, weightSpecs: after.weightsManifest[0]!.weights as never, weightData: bytes.slice().buffer,
    }));
    assert.deepEqual(truth.getLayer('conv1').outputShape, [null, 8, 8, 3]);
  });

  it('decodes quantised weights when they are read, and copies untouched ones byte for byte', async () => {
    const values = Uint8Array.of(0, 1, 128, 255, 7, 9, 200, 3);
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001);
    const files = quantisedModel(values, halves);
    const graph = await openModel(files);
    const kernel = (await graph.tensors.get('dense/kernel')!.read()).data as Float32Array;
    const truth = tf.io.decodeWeights(new Uint8Array([...values, ...new Uint8Array(halves.buffer)]).buffer, quantisedEntries as never);
    assert.deepEqual([...kernel], [...truth['dense/kernel']!.dataSync()]);
    assert.deepEqual([...(await graph.tensors.get('dense/bias')!.read()).data as Float32Array], [...truth['dense/bias']!.dataSync()]);

    const bias = tensorOf('dense/bias', { dtype: 'float32', shape: [4], data: Float32Array.of(1, 2, 3, 4) });
    const changed = { ...graph, tensors: new Map([...graph.tensors, ['dense/bias', bias]]) };
    const [main, ...shards] = await tfjsLayers.save!(graph, changed, 'model.json');
    const bytes = Buffer.concat(await Promise.all(shards.map((shard) => contentsOf(shard))));
    assert.deepEqual([...bytes.subarray(0, 8)], [...values]);
    assert.deepEqual([...new Float32Array(bytes.buffer.slice(bytes.byteOffset + 8, bytes.byteOffset + 24))], [1, 2, 3, 4]);
    const manifest = (JSON.parse(new TextDecoder().decode(await contentsOf(main!))) as SavedModel).weightsManifest[0]!;
    assert.ok(manifest.weights[0]!.quantization);
    assert.equal(manifest.weights[1]!.quantization, undefined);
  });

  it('reads weights that span shards, by range', async () => {
    const bytes = new Uint8Array(Float32Array.from({ length: 12 }, (_, index) => index).buffer);
    const files = denseModel([4, 2], { 'a.bin': bytes.slice(0, 5), 'b.bin': bytes.slice(5, 30), 'c.bin': bytes.slice(30, 40) });
    const graph = await openModel(files);
    assert.deepEqual([...(await graph.tensors.get('dense/kernel')!.read()).data as Float32Array], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual([...(await graph.tensors.get('dense/bias')!.read()).data as Float32Array], [8, 9]);
    const saved = await tfjsLayers.save!(graph, graph, 'model.json');
    assert.deepEqual(saved.map((file) => file.sizeBytes).slice(1), [5, 25, 10]);
    assert.deepEqual([...await contentsOf(saved[2]!)], [...bytes.slice(5, 30)]);
  });

  const refusals: readonly [string, () => Promise<unknown>, RegExp][] = [
    ['a missing shard', () => openModel(denseModel([4, 2], {}, ['a.bin'])), /weight dense\/kernel: the weight file 'a\.bin' cannot be opened/],
    ['a cut shard', () => openModel(denseModel([4, 2], { 'a.bin': new Uint8Array(36) })), /weight dense\/bias: the weight file 'a\.bin' has 36 bytes where the manifest wants 40/],
    ['weights that do not fit their layer', () => openModel(denseModel([5, 2], { 'a.bin': new Uint8Array(48) })), /layer dense: its kernel is for 5 inputs but it gets 4/],
    ['an impossible shape', () => openModel(denseModel([2 ** 40, 2 ** 40], { 'a.bin': new Uint8Array(4) })), /its shape .* is not a list of sizes/],
    ['truncated JSON', () => openModel(memoryFiles('model.json', new TextEncoder().encode('{"modelTopology":{"class_name":"Sequential","config":'))), /not valid JSON/],
    ['a custom class', () => openModel(memoryFiles('model.json', new TextEncoder().encode('{"modelTopology":{"class_name":"MyNet","config":{}},"weightsManifest":[]}'))), /"MyNet".*save a Functional model/],
    ['no weights', () => openModel(memoryFiles('model.json', new TextEncoder().encode('{"modelTopology":{"class_name":"Sequential","config":{"layers":[]}}}'))), /no weights/],
  ];
  for (const [what, open, message] of refusals) {
    it(`refuses ${what} in one sentence`, async () => {
      await assert.rejects(open(), (error) => error instanceof ParticlizeError && message.test(error.message) && /model\.json/.test(error.message));
    });
  }

  it('leaves other JSON files and graph models alone', async () => {
    for (const text of ['{"a":1}', '[1]', '{"format":"graph-model","modelTopology":{"node":[]}}', '{"modelTopology":{"node":[]}}', 'not json', '{']) {
      const bytes = new TextEncoder().encode(text);
      assert.equal(await tfjsLayers.match(memoryFiles('x.json', bytes), bytes), false, text);
    }
  });
});

interface SavedModel {
  modelTopology: { config: { layers: { config: Record<string, unknown> }[] } };
  weightsManifest: { paths: string[]; weights: { shape: number[]; quantization?: unknown }[] }[];
}

function modelsIn(folder: string): string[] {
  return fs.readdirSync(folder, { recursive: true }).map(String)
    .filter((file) => file.endsWith('.json') && !file.endsWith('nn_10.json')).sort();
}

async function assertSavedUnchanged(graph: ModelGraph, file: string): Promise<void> {
  const saved = await tfjsLayers.save!(graph, graph, path.basename(file));
  for (const part of saved) {
    const bytes = await contentsOf(part);
    assert.equal(bytes.length, part.sizeBytes);
    assert.ok(Buffer.from(bytes).equals(fs.readFileSync(path.join(path.dirname(file), part.name))), part.name);
  }
}

async function narrowed(graph: ModelGraph, name: string, axis: number, keep: readonly number[]): Promise<ModelGraph> {
  const { shape, data, dtype } = await graph.tensors.get(name)!.read();
  const after = shape.map((size, index) => (index === axis ? keep.length : size));
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const rows: number[] = [];
  for (let block = 0; block < outer; block++) {
    for (const index of keep) {
      const from = (block * shape[axis]! + index) * inner;
      rows.push(...(data as Float32Array).subarray(from, from + inner));
    }
  }
  const tensor = tensorOf(name, { dtype, shape: after, data: Float32Array.from(rows) });
  return { ...graph, tensors: new Map([...graph.tensors, [name, tensor]]) };
}

const quantisedEntries = [
  { name: 'dense/kernel', shape: [2, 4], dtype: 'float32', quantization: { dtype: 'uint8', scale: 0.013, min: -1.7, original_dtype: 'float32' } },
  { name: 'dense/bias', shape: [4], dtype: 'float32', quantization: { dtype: 'float16', original_dtype: 'float32' } },
];

function quantisedModel(values: Uint8Array, halves: Uint16Array) {
  const text = JSON.stringify({
    modelTopology: { class_name: 'Sequential', config: { name: 's', layers: [
      { class_name: 'Dense', config: { name: 'dense', units: 4, activation: 'linear', use_bias: true, batch_input_shape: [null, 2] } },
    ] } },
    weightsManifest: [{ paths: ['q.bin'], weights: quantisedEntries }],
  });
  return memoryFiles('model.json', new TextEncoder().encode(text), { 'q.bin': new Uint8Array([...values, ...new Uint8Array(halves.buffer)]) });
}

function denseModel(kernel: readonly number[], shards: Record<string, Uint8Array>, paths = Object.keys(shards)) {
  const text = JSON.stringify({
    modelTopology: { class_name: 'Sequential', config: { name: 's', layers: [
      { class_name: 'Dense', config: { name: 'dense', units: 2, activation: 'relu', use_bias: true, batch_input_shape: [null, 4] } },
    ] } },
    weightsManifest: [{ paths, weights: [
      { name: 'dense/kernel', shape: kernel, dtype: 'float32' }, { name: 'dense/bias', shape: [2], dtype: 'float32' },
    ] }],
  });
  return memoryFiles('model.json', new TextEncoder().encode(text), shards);
}

function mnist(count: number): { images: NdArray; digits: number[] } {
  const folder = path.join(sharedModels, 'data', 'mnist-t10k');
  const pixels = gunzipSync(fs.readFileSync(path.join(folder, 't10k-images-idx3-ubyte.gz'))).subarray(16, 16 + count * 784);
  const labels = gunzipSync(fs.readFileSync(path.join(folder, 't10k-labels-idx1-ubyte.gz'))).subarray(8, 8 + count);
  return { images: { dtype: 'float32', shape: [count, 28, 28], data: Float32Array.from(pixels, (value) => value / 255) }, digits: [...labels] };
}

function largest(values: Float32Array): number {
  return values.indexOf(Math.max(...values));
}
