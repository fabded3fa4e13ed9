import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { onnx } from '../../../src/core/formats/onnx';
import { encodeModel, tensorMessage } from '../../../src/core/formats/onnx/onnxEncode';
import type { PlainMessage } from '../../../src/core/formats/containers/protobufWriter';
import { formatOf, openModel } from '../../../src/core/formats/registry';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import { tensorOf } from '../../../src/core/graph/tensor';
import { fixtureFolder, loaded, memoryFiles, sampleFolder, sharedModels } from '../support/memoryFiles';

const fixtures = path.join(fixtureFolder, 'onnx');
const mnistFolder = path.join(sharedModels, 'onnx/ort-mnist');
const gptFolder = path.join(sharedModels, 'onnx/genai-tiny-gpt2');

const layersOf = (graph: ModelGraph): string[] => graph.layers.map((layer) => `${layer.name}: ${layer.tensors.map((name) => `[${graph.tensors.get(name)!.shape.join()}]`).join(' ')}`.trim());

/** A file made of plain data; x -> y through `nodes`. */
async function made(graph: PlainMessage, model: PlainMessage = { opset_import: [{ version: 18 }] }): Promise<ReturnType<typeof memoryFiles>> {
  const value = (name: string): PlainMessage => ({ name, type: { tensor_type: { elem_type: 1, shape: { dim: [{ dim_value: 2 }, { dim_param: 'n' }] } } } });
  const message = { ir_version: 8, ...model, graph: { name: 'made', input: [value('x')], output: [value('y')], ...graph } };
  return memoryFiles('made.onnx', await encodeModel(message).whole());
}

const relu: PlainMessage = { op_type: 'Relu', input: ['x'], output: ['y'] };

describe('onnx: reading', () => {
  it('names the layers of the sample as its source does', async () => {
    const graph = await openModel(loaded(sampleFolder, 'model.onnx'));
    assert.deepEqual(layersOf(graph), [
      'conv1: [16,1,3,3] [16]', 'Relu:', 'conv2: [32,16,3,3] [32]', 'Relu_1:', 'pool:', 'flatten:', 'dense1: [64,512] [64]', 'Relu_2:', 'dense2: [10,64] [10]',
    ]);
    assert.equal(graph.producer.split(' ')[0], 'pytorch');
    assert.deepEqual(graph.inputs, [{ name: 'image', dtype: 'float32', shape: [null, 1, 8, 8] }]);
  });

  it('gives a bias in an Add of its own, and a weight that the graph reshapes, to the layer that they serve (CNTK)', async function () {
    if (!fs.existsSync(mnistFolder)) return this.skip(); // ../shared/models is not here
    const graph = await openModel(loaded(mnistFolder, 'mnist.onnx'));
    assert.deepEqual(layersOf(graph).filter((line) => line.includes('[')), [
      'Convolution28: [8,1,5,5] [8,1,1]', 'Convolution110: [16,8,5,5] [16,1,1]', 'Times212: [256,10] [1,10]',
    ]);
    assert.deepEqual(graph.inputs.map((input) => input.name), ['Input3']);
    const weight = graph.tensors.get('Parameter193_reshape1')!;
    assert.deepEqual(weight.stored!.shape, [256, 10]);
    assert.equal((await weight.read()).data.length, 2560);
    assert.deepEqual(graph.layers.find((layer) => layer.name === 'Times212')!.nodes, ['Times212', 'Plus214']);
  });

  it('names a transformer of fused operators by its weights', async function () {
    if (!fs.existsSync(gptFolder)) return this.skip(); // ../shared/models is not here
    const files = loaded(gptFolder, 'past.onnx');
    const graph = await openModel(files);
    const names = graph.layers.map((layer) => layer.name);
    assert.equal(new Set(names).size, names.length);
    for (const name of ['transformer.h.3.attn.c_attn', 'transformer.h.4.mlp.c_proj', 'lm_head']) assert.ok(names.includes(name), name);
    assert.equal(graph.domains!['com.microsoft'], 1);
    assert.ok(files.main.bytesRead < files.main.sizeBytes / 2, 'the weights were read');
  });

  for (const name of ['exported.onnx', 'kept.onnx']) {
    it(`${name}: layers are the modules of the PyTorch source, size arithmetic and transposes inside them`, async () => {
      const graph = await openModel(loaded(fixtures, name));
      const withWeights = graph.layers.filter((layer) => layer.tensors.length > 0);
      const modules = ['features.0', 'features.1', 'embedding', 'recurrent', 'hidden', 'head'];
      // Folding puts the batch normalisation into the convolution.
      assert.deepEqual(withWeights.map((layer) => layer.name), name === 'kept.onnx' ? modules : modules.filter((module) => module !== 'features.1'));
      assert.ok(withWeights.find((layer) => layer.name === 'recurrent')!.nodes.length > 4);
      assert.ok(graph.layers.every((layer) => !/Shape|Unsqueeze|Constant|Concat/.test(layer.type)), graph.layers.map((layer) => layer.type).join());
      const hidden = withWeights.find((layer) => layer.name === 'hidden')!;
      assert.deepEqual(hidden.tensors.map((tensor) => graph.tensors.get(tensor)!.shape), [[5, 4], [4]]);
      const [recurrent] = withWeights.find((layer) => layer.name === 'recurrent')!.tensors;
      assert.deepEqual(graph.tensors.get(recurrent!)!.shape, [1, 20, 6]);
    });
  }

  it('both exports hold the same weights, stored or rearranged in the graph', async () => {
    const [folded, kept] = await Promise.all(['exported.onnx', 'kept.onnx'].map((name) => openModel(loaded(fixtures, name))));
    const weights = (graph: ModelGraph, layer: string) => Promise.all(graph.layers.find((one) => one.name === layer)!.tensors.map(async (name) => asNumbers(await graph.tensors.get(name)!.read())));
    for (const layer of ['embedding', 'recurrent', 'hidden', 'head']) assert.deepEqual(await weights(kept!, layer), await weights(folded!, layer), layer);
  });

  it('reads every element type, from typed fields and raw', async () => {
    const graph = await openModel(loaded(fixtures, 'types.onnx'));
    const { contents } = JSON.parse(fs.readFileSync(path.join(fixtures, 'expected.json'), 'utf8'))['types.onnx'] as { contents: Record<string, (string | number | boolean | number[])[]> };
    assert.ok(Object.keys(contents).length >= 14);
    for (const [name, wanted] of Object.entries(contents)) {
      for (const key of [name, `${name}_raw`]) {
        const array = await graph.tensors.get(key)!.read();
        const found = /float16$/.test(array.dtype) ? asNumbers(array) : [...array.data];
        const flat = wanted.flatMap((value) => (/COMPLEX/.test(name) && typeof value === 'number' ? [value, 0] : value)).map((value) => (typeof value === 'string' ? BigInt(value) : Number(value)));
        assert.deepEqual(found.map(String), flat.map((value) => String(typeof value === 'number' && array.data instanceof Float32Array ? Math.fround(value) : value)), key);
      }
    }
  });

  it('reads unpacked typed fields', async () => {
    // Repeated numbers are encoded unpacked: 3 floats with a tag each, and int64 ones beyond 32 bits.
    const graph = await openModel(await made({
      node: [{ op_type: 'Gather', input: ['w', 'i'], output: ['y'] }],
      initializer: [{ name: 'w', dims: [3], data_type: 1, float_data: [1.5, -2, 3] }, { name: 'i', dims: [2], data_type: 7, int64_data: [2 ** 40, -1] }],
    }));
    assert.deepEqual([...(await graph.tensors.get('w')!.read()).data], [1.5, -2, 3]);
    assert.deepEqual([...(await graph.tensors.get('i')!.read()).data], [2n ** 40n, -1n]);
  });

  it('reads external data when asked, and says what is missing', async () => {
    const graph = await openModel(loaded(fixtures, 'outside.onnx', ['outside.onnx.data']));
    assert.equal((await graph.tensors.get('second')!.read()).data.length, 108);
    assert.deepEqual(graph.findings, []);
    const incomplete = await openModel(loaded(fixtures, 'outside.onnx'));
    assert.match(incomplete.findings[0]!.message, /weights are missing: outside\.onnx\.data: the file does not exist/);
    await assert.rejects(incomplete.tensors.get('first')!.read(), /outside\.onnx: tensor first: its data file 'outside\.onnx\.data' cannot be read/);
    const data = new Uint8Array(fs.readFileSync(path.join(fixtures, 'outside.onnx.data'))).slice(0, 300);
    const cut = await openModel(memoryFiles('outside.onnx', new Uint8Array(fs.readFileSync(path.join(fixtures, 'outside.onnx'))), { 'outside.onnx.data': data }));
    await assert.rejects(cut.tensors.get('second')!.read(), /ends at byte 300/);
  });

  it('keeps nested graphs and what they read from outside', async () => {
    const graph = await openModel(loaded(fixtures, 'branch.onnx'));
    const choice = graph.nodes.find((node) => node.op === 'If')!;
    const captures = Object.values(choice.attributes).map((attribute) => (attribute.type === 'graph' ? attribute.captures : []));
    assert.deepEqual(captures, [['a', 'shift'], ['a', 'shift']]);
    assert.ok(graph.tensors.has('shift'));
  });

  it('orders nodes and names the nameless', async () => {
    const graph = await openModel(await made({ node: [
      { op_type: 'Relu', input: ['b'], output: ['y'] }, { op_type: 'Relu', input: ['a'], output: ['b'] }, { op_type: 'Sigmoid', input: ['x'], output: ['a'] },
    ] }));
    assert.deepEqual(graph.nodes.map((node) => node.outputs[0]), ['a', 'b', 'y']);
    assert.equal(new Set(graph.nodes.map((node) => node.name)).size, 3);
    assert.deepEqual(graph.layers.map((layer) => layer.name), ['a', 'b', 'y']);
  });

  const weight = (name: string): PlainMessage => tensorMessage(name, tensorOf(name, { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) }));
  const bad: [string, PlainMessage, RegExp][] = [
    ['a circle', { node: [{ name: 'one', op_type: 'Add', input: ['x', 'b'], output: ['a'] }, { name: 'two', op_type: 'Add', input: ['a', 'x'], output: ['b'] }, relu] }, /(one|two).*depends on its own output/],
    ['an unknown value', { node: [{ name: 'one', op_type: 'Add', input: ['x', 'nowhere'], output: ['y'] }] }, /one.*'nowhere', which nothing in the file makes/],
    ['a value made twice', { node: [relu, { name: 'again', op_type: 'Relu', input: ['x'], output: ['y'] }] }, /node again: 'y' is made twice/],
    ['a weight given twice', { node: [relu], initializer: [weight('w'), weight('w')] }, /'w' is made twice/],
    ['an output from nowhere', { node: [{ op_type: 'Relu', input: ['x'], output: ['z'] }] }, /output 'y' is made by nothing/],
    ['no operators', { node: [] }, /no operators/],
    ['too few bytes', { node: [relu], initializer: [{ name: 'w', dims: [3], data_type: 1, raw_data: new Uint8Array(8) }] }, /tensor w: 8 bytes do not make float32 of shape \[3\]/],
    ['a negative size', { node: [relu], initializer: [{ name: 'w', dims: [-2], data_type: 1, raw_data: new Uint8Array(8) }] }, /shape \[-2\] is impossible/],
    ['an enormous size', { node: [relu], initializer: [{ name: 'w', dims: [2 ** 40, 2 ** 40], data_type: 1, float_data: [1] }] }, /impossibly large/],
    ['missing elements', { node: [relu], initializer: [{ name: 'w', dims: [1_000_000_000], data_type: 7, int64_data: [1] }] }, /more elements than it holds/],
    ['an unknown element type', { node: [relu], initializer: [{ name: 'w', dims: [2], data_type: 99, raw_data: new Uint8Array(8) }] }, /element type \(number 99\)/],
  ];
  for (const [what, graph, message] of bad) {
    it(`refuses ${what} in one sentence`, async () => {
      await assert.rejects(made(graph).then(openModel), (error) => error instanceof ParticlizeError && message.test(error.message) && /^made\.onnx: /.test(error.message));
    });
  }

  it('is matched by its ending or its first bytes, and knows a Git LFS pointer', async () => {
    const text = new TextEncoder();
    assert.equal(await formatOf(memoryFiles('broken.onnx', text.encode('nonsense'))), onnx);
    const sample = new Uint8Array(fs.readFileSync(path.join(sampleFolder, 'model.onnx')));
    assert.equal(await formatOf(memoryFiles('model.bin', sample)), onnx);
    await assert.rejects(formatOf(memoryFiles('notes.txt', text.encode('hello'))), /not a model file/);
    await assert.rejects(openModel(memoryFiles('m.onnx', text.encode('version https://git-lfs.github.com/spec/v1\noid sha256:1'))), /Git LFS pointer/);
  });
});
