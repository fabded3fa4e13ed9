import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { gunzipSync } from 'node:zlib';
import { fileSetOf } from '../../../src/compute/files';
import { formatById, openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { contentsOf, fixtureFolder, sampleFolder, sharedModels } from '../support/memoryFiles';

const folder = path.join(fixtureFolder, 'formats');
const python = process.env['PARTICLIZE_PYTHON'];
const lenets = {
  'tfjs-layers, Keras': 'tfjs-layers/tensorspace-lenet-from-keras/model.json', 'Keras .h5': 'keras-h5/tensorspace-mnist-keras/mnist.h5',
  'tfjs-layers, tf.keras': 'tfjs-layers/tensorspace-lenet-from-tfkeras/model.json', 'tf.keras .h5': 'keras-h5/tensorspace-mnist-tfkeras/tf_keras_model.h5',
};
const others = {
  'TensorFlow.js graph': 'tfjs-graph/tensorspace-lenet-graph/model.json', SavedModel: 'keras-h5/tensorspace-mnist-tfkeras/saved_model.pb',
  'frozen graph': 'keras-h5/tensorspace-mnist-tfkeras/frozen_model.pb',
};

let engine: Engine;
const opened = async (file: string): Promise<ModelGraph> => openModel(await fileSetOf(file));

async function run(graph: ModelGraph, data: Float32Array, batch: number): Promise<Float32Array> {
  const input = graph.inputs[0]!;
  const shape = [batch, ...(input.shape!.slice(1) as number[])];
  // Some give every layer's result; the last is the model's.
  const output = graph.outputs.at(-1)!.name;
  const program = await engine.compile(graph, [input.name], [output]);
  const result = (await program.run(new Map([[input.name, { dtype: 'float32', shape, data } as NdArray]]))).get(output)!;
  await program.dispose();
  return result.data as Float32Array;
}

function fixedInput(graph: ModelGraph): Float32Array {
  const count = 2 * (graph.inputs[0]!.shape!.slice(1) as number[]).reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index * 12.9898));
}

/** Every particle of every layer, and the sum of the absolute values of its weights. */
async function norms(graph: ModelGraph): Promise<number[][]> {
  const table = decompose(graph);
  return Promise.all(table.groups.map(async ({ count, slices }) => {
    const sums = new Array<number>(count).fill(0);
    for (const { tensor, axis } of slices) {
      const { shape } = graph.tensors.get(tensor)!;
      const values = asNumbers(await graph.tensors.get(tensor)!.read());
      const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
      values.forEach((value, index) => (sums[Math.floor(index / inner) % shape[axis]!]! += Math.abs(value)));
    }
    return sums;
  }));
}

before(async () => (engine = await createEngine('auto', { threads: 1 })));

describe('the same network in several formats', function () {
  this.timeout(60_000);
  const absent = !fs.existsSync(sharedModels);

  for (const [[left, leftFile], [right, rightFile]] of [[0, 1], [2, 3]].map((pair) => pair.map((index) => Object.entries(lenets)[index]!) as [[string, string], [string, string]])) {
    it(`LeNet: ${left} and ${right} have the same particles, weights and outputs`, async function () {
      if (absent) return this.skip(); // ../shared/models is not here
      const [one, two] = await Promise.all([leftFile, rightFile].map((file) => opened(path.join(sharedModels, file))));
      assert.deepEqual(await norms(two!), await norms(one!));
      const data = fixedInput(one!);
      assert.ok(relativeError(await run(one!, data, 2), await run(two!, data, 2)) <= 1e-5);
    });
  }

  for (const [title, file] of Object.entries({ ...lenets, 'TensorFlow.js graph': others['TensorFlow.js graph'] })) {
    it(`LeNet as ${title} recognises MNIST as well as it should`, async function () {
      if (absent) return this.skip(); // ../shared/models is not here
      const graph = await opened(path.join(sharedModels, file));
      const read = (name: string): Uint8Array => gunzipSync(fs.readFileSync(path.join(sharedModels, 'data/mnist-t10k', name)));
      const images = Float32Array.from(read('t10k-images-idx3-ubyte.gz').subarray(16, 16 + 500 * 784), (value) => value / 255);
      const digits = read('t10k-labels-idx1-ubyte.gz').subarray(8, 508);
      const logits = await run(graph, images, 500);
      const right = [...digits].filter((digit, index) => {
        const own = logits.subarray(index * 10, index * 10 + 10);
        return own.indexOf(Math.max(...own)) === digit;
      }).length;
      // The graph model was trained apart: TensorFlow.js itself gets 0.976 of these right with it.
      assert.equal(right / 500, title === 'TensorFlow.js graph' ? 0.976 : /tf\.keras/.test(title) ? 0.982 : 0.986);
      if (!file.startsWith('tfjs-graph')) return;
      const own = await ownLibrary(path.join(sharedModels, file), graph, images);
      assert.ok(relativeError(logits, own!) <= 1e-5);
    });
  }

  it('LeNet as SavedModel and as frozen graph have the same particles, weights and outputs', async function () {
    if (absent) return this.skip(); // ../shared/models is not here
    const [one, two] = await Promise.all([others.SavedModel, others['frozen graph']].map((file) => opened(path.join(sharedModels, file))));
    assert.deepEqual((await norms(one!)).map((sums) => sums.length), [6, 16, 120, 84, 10]);
    assert.deepEqual(await norms(two!), await norms(one!));
    assert.ok(relativeError(await run(one!, fixedInput(one!), 2), await run(two!, fixedInput(two!), 2)) <= 1e-5);
  });

  it('the sample: model.keras has the particles, weights and outputs of its TensorFlow.js copy', async () => {
    const [keras, tfjs] = await Promise.all(['model.keras', 'tfjs/model.json'].map((file) => opened(path.join(sampleFolder, file))));
    assert.deepEqual(decompose(keras!).groups.map(({ layer, kind, count }) => [layer, kind, count]), [
      ['conv1', 'kernel', 16], ['conv2', 'kernel', 32], ['dense1', 'neuron', 64], ['dense2', 'neuron', 10],
    ]);
    assert.deepEqual(await norms(keras!), await norms(tfjs!));
    assert.ok(relativeError(await run(keras!, fixedInput(keras!), 2), await run(tfjs!, fixedInput(keras!), 2)) <= 1e-5);
  });
});

describe('Keras and TensorFlow files without some particles', function () {
  this.timeout(120_000);
  const cases: [file: string, main: string, particles: string[]][] = [
    [path.join(folder, 'keras-branched.keras'), 'small.keras', ['conv2/kernel:0', 'conv2/kernel:3', 'conv3/kernel:2']],
    [path.join(folder, 'keras-branched.h5'), 'small.h5', ['conv2/kernel:0', 'conv2/kernel:3', 'conv3/kernel:2']],
    [path.join(folder, 'keras-nested.keras'), 'nested.keras', ['inner/first/neuron:2', 'inner/second/neuron:1']],
    [path.join(folder, 'keras-nested.h5'), 'nested.h5', ['inner/first/neuron:2', 'inner/second/neuron:1']],
    [path.join(folder, 'tensorflow-graph.json'), 'small.json', ['conv1/kernel:3', 'deep/kernel:3', 'up/kernel:0', 'dense1/neuron:6']],
    [path.join(folder, 'tensorflow-graph-uint16.json'), 'small16.json', ['conv1/kernel:3', 'deep/kernel:3', 'dense1/neuron:6']],
  ];

  for (const [file, main, particles] of cases) {
    it(`${path.basename(file)} is saved, opens again and computes the same${python ? ', in its own library too' : ''}`, async () => {
      const original = await opened(file);
      const format = formatById(original.format)!;
      const table = decompose(original);
      const { graph, refusals } = await applyPlan(original, table, { version: 1, model: { file: main, sha256: '' }, steps: [{ action: 'remove', particles }] });
      assert.deepEqual(refusals, []);
      const target = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
      try {
        for (const saved of await format.save!(original, graph, main)) {
          const bytes = await contentsOf(saved);
          assert.equal(bytes.length, saved.sizeBytes);
          fs.writeFileSync(path.join(target, saved.name), bytes);
        }
        const again = await opened(path.join(target, main));
        const [before, after] = [table, decompose(again)].map((one) => one.groups.reduce((sum, group) => sum + group.count, 0));
        assert.ok(before! - after! >= particles.length, `${before} particles became ${after}`);
        const shapes = (one: ModelGraph): unknown[] => one.layers.filter(({ nodes }) => nodes.length > 0).map(({ name, outputShape }) => [name, outputShape]);
        assert.deepEqual(shapes(again), shapes(graph));
        const data = fixedInput(graph);
        const wanted = await run(graph, data, 2);
        assert.ok(relativeError(await run(again, data, 2), wanted) <= 1e-5);
        const own = await ownLibrary(path.join(target, main), graph, data);
        if (own) assert.ok(relativeError(own, wanted) <= 1e-5, `${relativeError(own, wanted)}`);
      } finally {
        fs.rmSync(target, { recursive: true });
      }
    });
  }

  for (const file of ['keras-branched.keras', 'keras-branched.h5', 'tensorflow-graph.json', 'tensorflow-operators.json']) {
    it(`${file} that did not change is written byte for byte`, async () => {
      const original = await opened(path.join(folder, file));
      for (const saved of await formatById(original.format)!.save!(original, original, file)) {
        assert.deepEqual(Buffer.from(await contentsOf(saved)), fs.readFileSync(path.join(folder, saved.name)), saved.name);
      }
    });
  }
});

/** What TensorFlow.js or (when there is a Python with it) Keras computes; undefined when neither can be asked. */
async function ownLibrary(file: string, graph: ModelGraph, data: Float32Array): Promise<Float32Array | undefined> {
  const sizes = graph.inputs[0]!.shape!.slice(1) as number[];
  const shape = [data.length / sizes.reduce((a, b) => a * b, 1), ...sizes];
  if (file.endsWith('.json')) {
    const root = JSON.parse(fs.readFileSync(file, 'utf8')) as { modelTopology: object; weightsManifest: { paths: string[]; weights: tf.io.WeightsManifestEntry[] }[] };
    // Other tests leave other backends behind, and want them again.
    const { backendName } = tf.engine();
    await tf.setBackend('cpu');
    const model = await tf.loadGraphModel({
      load: () => Promise.resolve({
        modelTopology: root.modelTopology, format: 'graph-model',
        weightSpecs: root.weightsManifest.flatMap((group) => group.weights),
        weightData: new Uint8Array(Buffer.concat(root.weightsManifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(path.dirname(file), name)))))).buffer,
      }),
    });
    const result = (model.predict(tf.tensor(data, shape)) as tf.Tensor).dataSync() as Float32Array;
    if (backendName) await tf.setBackend(backendName);
    return result;
  }
  if (!python) return undefined;
  const script = `import sys, json, numpy as np, keras
model = keras.saving.load_model(sys.argv[1], compile=False)
x = np.array(json.load(sys.stdin), dtype='float32').reshape(${JSON.stringify(shape)})
print('RESULT' + json.dumps(np.asarray(model(x)).ravel().tolist()))`;
  const output = execFileSync(python, ['-c', script, file], {
    input: JSON.stringify([...data]), encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, CUDA_VISIBLE_DEVICES: '', TF_CPP_MIN_LOG_LEVEL: '3' },
  });
  return Float32Array.from(JSON.parse(/RESULT(.*)/.exec(output)![1]!) as number[]);
}
