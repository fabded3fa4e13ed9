import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import type { Engine } from '../../../../src/core/graph/engine';
import type { ModelGraph } from '../../../../src/core/graph/modelGraph';
import { openModel } from '../../../../src/core/formats/registry';
import { createEngine } from '../../../../src/engines/registry';
import { createTfjsEngine } from '../../../../src/engines/tfjs/tfjsEngine';
import { relativeError, seededRandom } from '../../support/graphs';
import { memoryFiles } from '../../support/memoryFiles';
import { runOn } from '../../support/tfjsModels';

/** Every layer is built and run by TensorFlow.js itself, saved, and read back: that is the truth for both engines. */
describe('Keras layers mean what TensorFlow.js makes of them', function () {
  this.timeout(60_000);
  let engines: readonly Engine[] = [];

  before(async () => {
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in tfjs));
    engines = [await createEngine('ort-native'), tfjs];
  });

  const { layers } = tf;
  const image = [7, 8, 4];
  const cases: readonly [title: string, input: number[], layer: () => tf.layers.Layer][] = [
    ...(['valid', 'same'] as const).flatMap((padding): [string, number[], () => tf.layers.Layer][] => [
      [`Conv2D ${padding}`, image, () => layers.conv2d({ filters: 5, kernelSize: [3, 2], padding })],
      [`Conv2D ${padding}, strides`, image, () => layers.conv2d({ filters: 5, kernelSize: 3, strides: [2, 3], padding, activation: 'relu', useBias: false })],
      [`Conv2D ${padding}, dilated`, image, () => layers.conv2d({ filters: 3, kernelSize: 2, dilationRate: [2, 3], padding, activation: 'softmax' })],
      [`Conv1D ${padding}`, [9, 3], () => layers.conv1d({ filters: 4, kernelSize: 4, strides: 2, padding, activation: 'tanh' })],
      [`DepthwiseConv2D ${padding}`, image, () => layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, padding, activation: 'relu6' })],
      [`DepthwiseConv2D ${padding}, strides`, image, () => layers.depthwiseConv2d({ kernelSize: 3, strides: 2, padding })],
      [`SeparableConv2D ${padding}`, image, () => layers.separableConv2d({ filters: 6, kernelSize: 3, depthMultiplier: 2, padding, activation: 'elu' })],
      [`Conv2DTranspose ${padding}`, image, () => layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding })],
      [`Conv2DTranspose ${padding}, stride beyond the kernel`, image, () => layers.conv2dTranspose({ filters: 3, kernelSize: 2, strides: 3, padding })],
      [`MaxPooling2D ${padding}`, image, () => layers.maxPooling2d({ poolSize: [3, 2], strides: [2, 2], padding })],
      [`AveragePooling2D ${padding}`, image, () => layers.averagePooling2d({ poolSize: 3, strides: 2, padding })],
      [`MaxPooling1D ${padding}`, [9, 3], () => layers.maxPooling1d({ poolSize: 2, padding })],
      [`AveragePooling1D ${padding}`, [9, 3], () => layers.averagePooling1d({ poolSize: 3, strides: 2, padding })],
    ]),
    ['Conv3D', [5, 6, 4, 2], () => layers.conv3d({ filters: 3, kernelSize: 2, padding: 'same' })],
    ['Conv2D channels_first', [4, 7, 8], () => layers.conv2d({ filters: 5, kernelSize: 3, dataFormat: 'channelsFirst', activation: 'relu' })],
    ['MaxPooling2D channels_first', [4, 7, 8], () => layers.maxPooling2d({ poolSize: 2, dataFormat: 'channelsFirst' })],
    ['GlobalAveragePooling2D', image, () => layers.globalAveragePooling2d({ dataFormat: 'channelsLast' })],
    ['GlobalMaxPooling2D', image, () => layers.globalMaxPooling2d({ dataFormat: 'channelsLast' })],
    ['GlobalAveragePooling1D', [9, 3], () => layers.globalAveragePooling1d()],
    ['GlobalMaxPooling1D', [9, 3], () => layers.globalMaxPooling1d()],
    ['Dense', [6], () => layers.dense({ units: 4, activation: 'sigmoid' })],
    ['Dense without bias on a sequence', [5, 6], () => layers.dense({ units: 4, useBias: false })],
    ['Dense on images', image, () => layers.dense({ units: 3, activation: 'softmax' })],
    ['BatchNormalization on images', image, () => layers.batchNormalization({})],
    ['BatchNormalization on vectors', [6], () => layers.batchNormalization({ scale: false })],
    ['LayerNormalization', image, () => layers.layerNormalization({})],
    ['LayerNormalization without scale', [6], () => layers.layerNormalization({ scale: false, center: false })],
    ['ReLU', image, () => layers.reLU({})],
    ['ReLU with a limit', image, () => layers.reLU({ maxValue: 0.3 })],
    ['LeakyReLU', image, () => layers.leakyReLU({ alpha: 0.2 })],
    ['PReLU', image, () => layers.prelu({ alphaInitializer: 'glorotNormal' })],
    ['PReLU, shared axes', image, () => layers.prelu({ alphaInitializer: 'glorotNormal', sharedAxes: [1, 2] })],
    ['ELU', image, () => layers.elu({})],
    ['ThresholdedReLU', image, () => layers.thresholdedReLU({ theta: 0.2 })],
    ['Softmax', image, () => layers.softmax({ axis: 3 })],
    ...(['elu', 'hardSigmoid', 'linear', 'relu', 'relu6', 'selu', 'sigmoid', 'softmax', 'softplus', 'softsign', 'tanh', 'swish', 'mish', 'gelu', 'gelu_new'] as const)
      .map((activation): [string, number[], () => tf.layers.Layer] =>
        [`activation ${activation}`, [4, 6], () => layers.activation({ activation: activation as 'relu' })]),
    ['LSTM', [5, 3], () => layers.lstm({ units: 4 })],
    ['LSTM, sequences', [5, 3], () => layers.lstm({ units: 4, returnSequences: true, recurrentActivation: 'sigmoid', useBias: false })],
    ['LSTM, backwards', [5, 3], () => layers.lstm({ units: 4, returnSequences: true, goBackwards: true })],
    ['GRU', [5, 3], () => layers.gru({ units: 4 })],
    ['GRU, sequences', [5, 3], () => layers.gru({ units: 4, returnSequences: true, activation: 'softsign' })],
    ['SimpleRNN', [5, 3], () => layers.simpleRNN({ units: 4, returnSequences: true })],
    ['SimpleRNN over 50 steps', [50, 3], () => layers.simpleRNN({ units: 4, returnSequences: true })],
    ...(['concat', 'sum', 'mul', 'ave'] as const).map((mergeMode): [string, number[], () => tf.layers.Layer] =>
      [`Bidirectional ${mergeMode}`, [5, 3], () => layers.bidirectional({ layer: layers.lstm({ units: 4, returnSequences: true }) as never, mergeMode })]),
    ['Bidirectional GRU, last step', [5, 3], () => layers.bidirectional({ layer: layers.gru({ units: 4 }) as never, mergeMode: 'concat' })],
    ['TimeDistributed Dense', [5, 3], () => layers.timeDistributed({ layer: layers.dense({ units: 4, activation: 'tanh' }) })],
    ['TimeDistributed Conv1D', [5, 6, 3], () => layers.timeDistributed({ layer: layers.conv1d({ filters: 4, kernelSize: 2 }) })],
    ['Flatten', image, () => layers.flatten()],
    ['Flatten channels_first', image, () => layers.flatten({ dataFormat: 'channelsFirst' })],
    ['Reshape', image, () => layers.reshape({ targetShape: [8, 28] })],
    ['Reshape with an open size', image, () => layers.reshape({ targetShape: [2, -1, 4] })],
    ['Permute', image, () => layers.permute({ dims: [3, 1, 2] })],
    ['RepeatVector', [5], () => layers.repeatVector({ n: 3 })],
    ['ZeroPadding2D', image, () => layers.zeroPadding2d({ padding: [[1, 2], [0, 3]] })],
    ['Cropping2D', image, () => layers.cropping2D({ cropping: [[1, 2], [0, 3]] })],
    ['UpSampling2D', image, () => layers.upSampling2d({ size: [2, 3] })],
    ['UpSampling2D bilinear', image, () => layers.upSampling2d({ size: [2, 3], interpolation: 'bilinear' })],
    ['Dropout', image, () => layers.dropout({ rate: 0.4 })],
    ['GaussianNoise', image, () => layers.gaussianNoise({ stddev: 0.4 })],
    ['AlphaDropout', image, () => layers.alphaDropout({ rate: 0.4 })],
  ];
  for (const [title, input, make] of cases) {
    it(title, async () => {
      const x = tf.input({ shape: input });
      await assertSame(tf.model({ inputs: x, outputs: make().apply(x) as tf.SymbolicTensor }));
    });
  }

  it('Embedding', async () => {
    const model = tf.sequential({ layers: [layers.embedding({ inputDim: 9, outputDim: 4, inputLength: 6 })] });
    await assertSame(model, [5, 8.9, 0, 3, 3, 1].flatMap((value) => [value, value * 0.5]));
  });

  for (const merge of ['add', 'multiply', 'average', 'maximum', 'minimum', 'concatenate'] as const) {
    it(`${merge} of two and of three`, async () => {
      const x = tf.input({ shape: [6] });
      const parts = [4, 4, 4].map((units) => layers.dense({ units, activation: 'tanh' }).apply(x) as tf.SymbolicTensor);
      const two = layers[merge]().apply(parts.slice(0, 2)) as tf.SymbolicTensor;
      const three = layers[merge]().apply(parts) as tf.SymbolicTensor;
      await assertSame(tf.model({ inputs: x, outputs: [two, three] }));
    });
  }

  it('merging values of different rank', async () => {
    const x = tf.input({ shape: [5, 4] });
    const vector = layers.globalMaxPooling1d().apply(x) as tf.SymbolicTensor;
    await assertSame(tf.model({ inputs: x, outputs: layers.add().apply([x, vector]) as tf.SymbolicTensor }));
  });

  it('concatenation along an axis in the middle', async () => {
    const x = tf.input({ shape: [5, 4, 3] });
    const y = layers.conv2d({ filters: 3, kernelSize: 1 }).apply(x) as tf.SymbolicTensor;
    await assertSame(tf.model({ inputs: x, outputs: layers.concatenate({ axis: 2 }).apply([x, y]) as tf.SymbolicTensor }));
  });

  it('a shared layer has one set of weights and one entry', async () => {
    const x = tf.input({ shape: [4] });
    const shared = layers.dense({ units: 4, activation: 'tanh', name: 'twice' });
    const graph = await assertSame(tf.model({ inputs: x, outputs: shared.apply(shared.apply(x)) as tf.SymbolicTensor }));
    assert.equal(graph.layers.filter((layer) => layer.name === 'twice').length, 1);
    assert.deepEqual([...graph.tensors.keys()].filter((name) => name.endsWith('kernel')), ['twice/kernel']);
  });

  it('nested models, one of them called twice', async () => {
    const inner = tf.sequential({ name: 'inner', layers: [
      layers.dense({ units: 5, activation: 'tanh', inputShape: [4], name: 'first' }), layers.dense({ units: 4, name: 'second' }),
    ] });
    const x = tf.input({ shape: [4] });
    const once = inner.apply(x) as tf.SymbolicTensor;
    const twice = inner.apply(once) as tf.SymbolicTensor;
    const graph = await assertSame(tf.model({ inputs: x, outputs: layers.add().apply([once, twice]) as tf.SymbolicTensor }));
    assert.deepEqual(graph.layers.map((layer) => layer.name).filter((name) => name.includes('/')), ['inner/first', 'inner/second']);
  });

  /** Saves the model as TensorFlow.js does, reads it, and compares outputs and layer shapes. */
  async function assertSame(model: tf.LayersModel, given?: readonly number[]): Promise<ModelGraph> {
    // The reference kernels in plain JavaScript: those on WebAssembly are what is tested.
    await tf.setBackend('cpu');
    const next = seededRandom(5);
    // Fresh weights are often zeros and ones, which hide mistakes; variances must stay positive.
    model.setWeights(model.getWeights().map((weight, index) => {
      const low = /variance/.test(model.weights[index]!.name) ? 0.5 : -0.7;
      return tf.tensor(Float32Array.from({ length: weight.size }, () => low + 1.4 * next()), weight.shape);
    }));
    const shape = [2, ...(model.inputs[0]!.shape.slice(1) as number[])];
    const count = shape.reduce((product, size) => product * size, 1);
    const data = Float32Array.from({ length: count }, (_, index) => given?.[index] ?? 2 * next() - 1);
    const predicted = model.predict(tf.tensor(data, shape));
    const expected = (Array.isArray(predicted) ? predicted : [predicted]).map((tensor) => ({ shape: tensor.shape, data: tensor.dataSync() }));

    const graph = await openModel(await savedFiles(model));
    assert.deepEqual(graph.findings, []);
    assert.deepEqual(graph.outputs.map((output) => output.shape), expected.map((output) => [null, ...output.shape.slice(1)]));
    for (const engine of engines) {
      const results = await runOn(engine, graph, { dtype: 'float32', shape, data });
      results.forEach((result, index) => {
        assert.deepEqual(result.shape, expected[index]!.shape, engine.title);
        const error = relativeError(result.data as Float32Array, expected[index]!.data);
        assert.ok(error <= 1e-5, `${engine.title}: relative error ${error}`);
      });
    }
    return graph;
  }
});

async function savedFiles(model: tf.LayersModel) {
  let files: ReturnType<typeof memoryFiles> | undefined;
  await model.save(tf.io.withSaveHandler((artifacts) => {
    const { weightData, weightSpecs, modelTopology } = artifacts;
    const bytes = new Uint8Array(tf.io.CompositeArrayBuffer.join(weightData!));
    const text = JSON.stringify({ modelTopology, weightsManifest: [{ paths: ['w.bin'], weights: weightSpecs }] });
    files = memoryFiles('model.json', new TextEncoder().encode(text), { 'w.bin': bytes });
    return Promise.resolve({ modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts) });
  }));
  return files!;
}
