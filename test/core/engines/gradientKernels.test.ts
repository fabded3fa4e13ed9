import assert from 'node:assert/strict';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { loadTfjsWasm } from '../../../src/engines/tfjs/loadTfjs';

/** Gradients by TensorFlow.js's own differentiation, on its WebAssembly backend with our kernels and on its plain one with its own. */
describe('TensorFlow.js differentiates on WebAssembly', () => {
  before(async () => {
    assert.ok(!('reason' in await loadTfjsWasm()));
  });

  for (const stride of [1, 2] as const) {
    for (const pad of ['same', 'valid'] as const) {
      for (const size of [1, 3, 5]) {
        it(`a convolution of ${size}x${size}, stride ${stride}, ${pad}`, () => agrees({
          x: [2, 9, 8, 3], filter: [size, size, 3, 4],
        }, ({ x, filter }) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, stride, pad)));
        it(`a depthwise convolution of ${size}x${size}, stride ${stride}, ${pad}, two outputs a channel`, () => agrees({
          x: [2, 9, 8, 3], filter: [size, size, 3, 2],
        }, ({ x, filter }) => tf.depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, stride, pad)));
      }
    }
  }

  it('an embedding whose rows are looked up more than once', () => agrees({ table: [5, 3] },
    ({ table }) => tf.gather(table!, tf.tensor1d([4, 0, 4, 2, 4], 'int32'))));

  it('segments, of which some get nothing', () => agrees({ x: [4, 2] },
    ({ x }) => tf.square(tf.unsortedSegmentSum(x!, tf.tensor1d([3, 0, 3, 1], 'int32'), 5))));

  it('and has einsum, whose gradient TensorFlow.js does not know', async () => {
    const on = async (backend: string): Promise<Float32Array> => {
      await tf.setBackend(backend);
      const product = tf.einsum('bij,bjk->kbi', tf.tensor(wave(24, 1), [2, 3, 4]), tf.tensor(wave(40, 2), [2, 4, 5]));
      assert.deepEqual(product.shape, [5, 2, 3]);
      return product.data() as Promise<Float32Array>;
    };
    const [ours, theirs] = [await on('wasm'), await on('cpu')];
    theirs.forEach((value, index) => assert.ok(Math.abs(ours[index]! - value) <= 1e-5, `${index}: ${ours[index]} and ${value}`));
  });

  it('and trains a small convolutional network, which gets better', async () => {
    await tf.setBackend('wasm');
    const kernel = tf.variable(tf.randomNormal([3, 3, 1, 4], 0, 0.3, 'float32', 1) as tf.Tensor4D);
    const dense = tf.variable(tf.randomNormal([4 * 36, 2], 0, 0.1, 'float32', 2));
    const x = tf.randomNormal([32, 8, 8, 1], 0, 1, 'float32', 3) as tf.Tensor4D;
    const labels = tf.oneHot(tf.cast(tf.greater(tf.sum(tf.slice(x, [0, 0, 0, 0], [32, 4, 8, 1]), [1, 2, 3]), 0), 'int32'), 2);
    const loss = (): tf.Scalar => {
      const hidden = tf.relu(tf.conv2d(x, kernel, 1, 'valid'));
      return tf.losses.softmaxCrossEntropy(labels, tf.matMul(tf.reshape(hidden, [32, 4 * 36]), dense as unknown as tf.Tensor2D)) as tf.Scalar;
    };
    const optimiser = tf.train.sgd(0.2);
    const first = (await loss().data())[0]!;
    const tensors = tf.memory().numTensors;
    for (let step = 0; step < 20; step++) optimiser.minimize(loss);
    assert.equal(tf.memory().numTensors, tensors, 'a step keeps nothing in memory');
    const last = (await loss().data())[0]!;
    assert.ok(last < first / 2, `from ${first} to ${last}`);
  });
});

type Tensors = Record<string, tf.Tensor>;

/** The gradient of a weighted sum of the result with respect to every input, on both backends. */
async function agrees(shapes: Readonly<Record<string, number[]>>, result: (inputs: Tensors) => tf.Tensor): Promise<void> {
  const names = Object.keys(shapes);
  const numbers = names.map((name, place) => wave(shapes[name]!.reduce((product, size) => product * size, 1), place));
  const on = async (backend: string): Promise<Float32Array[]> => {
    await tf.setBackend(backend);
    const inputs = names.map((name, place) => tf.tensor(numbers[place]!, shapes[name]!));
    const gradients = tf.grads((...given: tf.Tensor[]) => {
      const out = result(Object.fromEntries(names.map((name, place) => [name, given[place]!])));
      return tf.sum(tf.mul(out, tf.tensor(wave(out.size, 7), out.shape)));
    })(inputs);
    return Promise.all(gradients.map((gradient) => gradient.data() as Promise<Float32Array>));
  };
  const [ours, theirs] = [await on('wasm'), await on('cpu')];
  for (const [place, name] of names.entries()) {
    const scale = theirs[place]!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.ok(scale > 0, `the gradient of ${name} is not zero`);
    assert.equal(ours[place]!.length, theirs[place]!.length);
    theirs[place]!.forEach((value, index) => assert.ok(Math.abs(ours[place]![index]! - value) <= 2e-6 * scale, `${name}[${index}]: ${ours[place]![index]} and ${value}`));
  }
}

/** Numbers without a pattern that a wrong order would keep. */
function wave(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(1.7 * index + 3.1 * seed) + 0.3 * Math.cos(0.37 * index * index));
}
