import assert from 'node:assert/strict';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from '../../../src/core/graph/engine';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { openModel } from '../../../src/core/formats/registry';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { relativeError, seededRandom } from '../support/graphs';
import { sampleFolder } from '../support/memoryFiles';
import { modelFiles } from '../support/tfjsModels';

describe('the TensorFlow.js engine', function () {
  this.timeout(30_000);
  let engine: Engine;
  let graph: ModelGraph;

  before(async () => {
    const made = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in made));
    engine = made;
    graph = await openModel(modelFiles(path.join(sampleFolder, 'tfjs', 'model.json')));
  });

  function images(count: number): NdArray {
    const next = seededRandom(count);
    return { dtype: 'float32', shape: [count, 8, 8, 1], data: Float32Array.from({ length: count * 64 }, () => next()) };
  }

  it('runs on WebAssembly, not on plain JavaScript', () => {
    assert.equal(engine.id, 'tfjs-wasm');
    assert.match(engine.title, /TensorFlow\.js 4\.\d+ \(WASM\)/);
    assert.equal(tf.getBackend(), 'wasm');
  });

  it('leaves errors that nobody caught to the process', () => {
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      const foreign = process.listeners(event as 'uncaughtException').filter((listener) => /throw (ex|reason)/.test(listener.toString()));
      assert.deepEqual(foreign, [], event);
    }
  });

  it('holds no tensors from run to run, and none after it is disposed of', async () => {
    const before = tf.memory().numTensors;
    const program = await engine.compile(graph, ['conv1_input'], ['dense1', 'dense2']);
    await program.run(new Map([['conv1_input', images(3)]]));
    const between = tf.memory().numTensors;
    for (let round = 0; round < 3; round++) await program.run(new Map([['conv1_input', images(5)]]));
    assert.equal(tf.memory().numTensors, between);
    await assert.rejects(program.run(new Map([['conv1_input', { ...images(1), shape: [1, 8, 4, 2] }]])), ParticlizeError);
    assert.equal(tf.memory().numTensors, between, 'a failed run leaves nothing behind');
    await program.dispose();
    assert.equal(tf.memory().numTensors, before);
  });

  it('runs only what lies between feeds and fetches, whichever they are', async () => {
    const whole = await engine.compile(graph, ['conv1_input'], ['pool', 'dense2']);
    const results = await whole.run(new Map([['conv1_input', images(4)]]));
    const suffix = await engine.compile(graph, ['pool'], ['dense2']);
    const again = await suffix.run(new Map([['pool', results.get('pool')!]]));
    assert.ok(relativeError(again.get('dense2')!.data as Float32Array, results.get('dense2')!.data as Float32Array) < 1e-6);
    await Promise.all([whole.dispose(), suffix.dispose()]);
  });

  it('takes a weight as a feed and gives one as a fetch', async () => {
    const bias = await graph.tensors.get('dense2/bias')!.read();
    const program = await engine.compile(graph, ['dense1', 'dense2/bias'], ['dense2', 'dense2/kernel']);
    const shifted = { ...bias, data: Float32Array.from(bias.data as Float32Array, (_, index) => (index === 4 ? 1000 : 0)) };
    const results = await program.run(new Map<string, NdArray>([
      ['dense1', { dtype: 'float32', shape: [1, 64], data: new Float32Array(64) }], ['dense2/bias', shifted],
    ]));
    assert.deepEqual([...results.get('dense2')!.data as Float32Array], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    assert.deepEqual(results.get('dense2/kernel'), await graph.tensors.get('dense2/kernel')!.read());
    await program.dispose();
  });

  it('names what it cannot run, before it runs anything', async () => {
    const odd: ModelGraph = {
      ...graph,
      nodes: graph.nodes.map((node) => node.op === 'Softmax' ? { ...node, op: 'LSTM', domain: 'keras' } : node),
    };
    assert.deepEqual(engine.unsupported(graph), []);
    assert.deepEqual(engine.unsupported(odd), ['keras:LSTM']);
    await assert.rejects(engine.compile(odd, ['conv1_input'], ['dense2']), /layer dense2 \(keras:LSTM\).*it does not know this operator/);
    await (await engine.compile(odd, ['conv1_input'], ['dense1'])).dispose();
  });

  it('says which value is missing', async () => {
    const program = await engine.compile(graph, ['conv1_input'], ['dense2']);
    await assert.rejects(program.run(new Map()), /conv1_input: this value must be fed/);
    await program.dispose();
    await assert.rejects(engine.compile(graph, [], ['dense2']), /conv1_input/);
  });

  it('says in words that tfjs-node is not installed, or runs on it', async () => {
    const made = await createTfjsEngine({ id: 'tfjs-node' });
    if ('reason' in made) assert.match(made.reason, /tfjs-node (is not installed|is installed without|does not)/);
    else assert.equal(made.id, 'tfjs-node');
  });
});
