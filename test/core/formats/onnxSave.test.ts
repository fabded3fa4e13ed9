import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { onnx } from '../../../src/core/formats/onnx';
import { shapeBefore } from '../../../src/core/formats/onnx/onnxUnfold';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray, Tensor } from '../../../src/core/graph/tensor';
import { tensorOf } from '../../../src/core/graph/tensor';
import { sliceTensor } from '../../../src/core/optimise/removeAxes';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import type { Engine } from '../../../src/core/graph/engine';
import { contentsOf, fixtureFolder, loaded, memoryFiles, sampleFolder, sharedModels } from '../support/memoryFiles';

const fixtures = path.join(fixtureFolder, 'onnx');
const mnistFolder = path.join(sharedModels, 'onnx/ort-mnist');

const isEngine = (made: ReturnType<typeof createOrtEngine>): made is Engine => 'compile' in made;
const engine = [createOrtEngine('native'), createOrtEngine('web')].find(isEngine)!;

async function run(graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, fetch: string): Promise<NdArray> {
  const program = await engine.compile(graph, [...feeds.keys()], [fetch]);
  try {
    return (await program.run(feeds)).get(fetch)!;
  } finally {
    await program.dispose();
  }
}

function random(shape: readonly number[], seed = 1): NdArray {
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, index) => Math.sin((index + seed) * 12.9898) * 2);
  return { dtype: 'float32', shape, data };
}

/** Zeroes indices of axis 1: what removing channels must equal. */
function masked(array: NdArray, channels: readonly number[]): NdArray {
  const inner = array.shape.slice(2).reduce((a, b) => a * b, 1);
  const data = (array.data as Float32Array).map((value, index) => (channels.includes(Math.floor(index / inner) % array.shape[1]!) ? 0 : value));
  return { ...array, data };
}

function without(size: number, removed: readonly number[]): number[] {
  return Array.from({ length: size }, (_, index) => index).filter((index) => !removed.includes(index));
}

/** Replaces tensors by what is left of them: name to axis and kept indices. */
function shrink(graph: ModelGraph, changes: Readonly<Record<string, readonly [number, readonly number[]]>>): Promise<ModelGraph> {
  const tensors = new Map<string, Tensor>(graph.tensors);
  for (const [name, [axis, kept]] of Object.entries(changes)) tensors.set(name, sliceTensor(tensors.get(name)!, new Map([[axis, kept]])));
  return finishGraph({ ...graph, tensors, findings: [] });
}

function close(a: NdArray, b: NdArray): void {
  assert.deepEqual(a.shape, b.shape);
  a.data.forEach((value: number | bigint, index: number) => assert.ok(Math.abs(Number(value) - Number(b.data[index])) <= 1e-4, `element ${index}: ${value} and ${b.data[index]}`));
}

const reopened = async (files: Awaited<ReturnType<NonNullable<typeof onnx.save>>>): Promise<ModelGraph> => {
  const [main, ...others] = await Promise.all(files.map(async (file) => [file.name, await contentsOf(file)] as const));
  return onnx.open(memoryFiles(main![0], main![1], Object.fromEntries(others)));
};

describe('onnx: saving', function () {
  this.timeout(60_000);

  const untouched: [string, string, string[]][] = [
    [sampleFolder, 'model.onnx', []], [fixtures, 'exported.onnx', []], [fixtures, 'kept.onnx', []], [fixtures, 'types.onnx', []],
    [fixtures, 'branch.onnx', []], [fixtures, 'outside.onnx', ['outside.onnx.data']], [mnistFolder, 'mnist.onnx', []],
    [path.join(sharedModels, 'onnx/genai-tiny-gpt2'), 'past.onnx', []],
  ];
  for (const [folder, name, siblings] of untouched) {
    it(`${name}: untouched, it is written byte for byte`, async function () {
      if (!fs.existsSync(path.join(folder, name))) return this.skip(); // ../shared/models is not here
      const graph = await onnx.open(loaded(folder, name, siblings));
      const files = await onnx.save!(graph, graph, name);
      assert.deepEqual(files.map((file) => file.name), [name, ...siblings]);
      for (const file of files) {
        const bytes = await contentsOf(file);
        assert.equal(bytes.length, file.sizeBytes);
        assert.ok(Buffer.from(bytes).equals(fs.readFileSync(path.join(folder, file.name))));
      }
    });
  }

  it('removed channels of the sample are gone from the file, and it computes what masking them gives', async () => {
    const graph = await onnx.open(loaded(sampleFolder, 'model.onnx'));
    const removed = [0, 9, 31];
    const kept = without(32, removed);
    const small = await shrink(graph, {
      'conv2.weight': [0, kept], 'conv2.bias': [0, kept], 'dense1.weight': [1, kept.flatMap((channel) => without(16, []).map((at) => channel * 16 + at))],
    });
    const files = await onnx.save!(graph, small, 'small.onnx');
    const bytes = await contentsOf(files[0]!);
    const expected = fs.statSync(path.join(sampleFolder, 'model.onnx')).size - 4 * (3 * 16 * 9 + 3 + 3 * 16 * 64);
    assert.ok(Math.abs(bytes.length - expected) < 200, `${bytes.length} instead of about ${expected} bytes`);
    const again = await reopened(files);
    assert.deepEqual(again.tensors.get('conv2.weight')!.shape, [29, 16, 3, 3]);
    assert.deepEqual(again.layers.map((layer) => layer.name), graph.layers.map((layer) => layer.name));
    const feeds = new Map([['image', random([3, 1, 8, 8])]]);
    const activation = masked(await run(graph, feeds, '/Relu_1_output_0'), removed);
    close(await run(again, feeds, 'logits'), await run(graph, new Map([['/Relu_1_output_0', activation]]), 'logits'));
  });

  it('a weight that the file reshapes goes back into its stored shape, and the reshape follows (CNTK)', async function () {
    if (!fs.existsSync(mnistFolder)) return this.skip(); // ../shared/models is not here
    const graph = await onnx.open(loaded(mnistFolder, 'mnist.onnx'));
    const removed = [3, 5];
    const kept = without(16, removed);
    const tensors = new Map(graph.tensors).set('target', tensorOf('target', { dtype: 'int64', shape: [2], data: BigInt64Array.of(1n, 224n) }));
    tensors.delete('Pooling160_Output_0_reshape0_shape');
    const nodes = graph.nodes.map((node) => (node.name === 'Times212_reshape0' ? { ...node, inputs: [node.inputs[0]!, 'target'] } : node));
    const small = await shrink({ ...graph, tensors, nodes }, {
      Parameter87: [0, kept], Parameter88: [0, kept], Parameter193_reshape1: [0, kept.flatMap((channel) => without(16, []).map((at) => channel * 16 + at))],
    });
    const files = await onnx.save!(graph, small, 'small.onnx');
    const text = Buffer.from(await contentsOf(files[0]!)).toString('latin1');
    // Nothing new: the old names hold the new sizes, and the weight is stored as [14, 4, 4, 10].
    assert.ok(!text.includes('target'));
    assert.ok(text.includes('Times212_reshape1') && text.includes('\x08\x0e\x08\x04\x08\x04\x08\x0a'));
    const again = await reopened(files);
    assert.deepEqual(again.findings, []);
    assert.deepEqual(again.tensors.get('Parameter193_reshape1')!.shape, [224, 10]);
    const feeds = new Map([['Input3', random([1, 1, 28, 28])]]);
    const activation = masked(await run(graph, feeds, 'ReLU114_Output_0'), removed);
    close(await run(again, feeds, 'Plus214_Output_0'), await run(graph, new Map([['ReLU114_Output_0', activation]]), 'Plus214_Output_0'));
  });

  for (const name of ['exported.onnx', 'kept.onnx']) {
    it(`${name}: a neuron removed from a layer whose weights are transposed in the graph`, async () => {
      const graph = await onnx.open(loaded(fixtures, name));
      const tensorsOf = (layer: string): readonly string[] => graph.layers.find((one) => one.name === layer)!.tensors;
      const [weight, bias] = tensorsOf('hidden');
      const [next] = tensorsOf('head');
      const kept = [0, 1, 3];
      const small = await shrink(graph, { [weight!]: [1, kept], [bias!]: [0, kept], [next!]: [0, kept] });
      const again = await reopened(await onnx.save!(graph, small, name));
      const feeds = new Map<string, NdArray>([['image', random([1, 1, 8, 8])], ['token', { dtype: 'int64', shape: [1, 3], data: BigInt64Array.of(1n, 5n, 2n) }]]);
      const relu = graph.layers.findIndex((layer) => layer.name === 'hidden') + 1;
      assert.equal(graph.layers[relu]!.type, 'Relu');
      const value = graph.nodes.find((node) => node.name === graph.layers[relu]!.nodes[0])!.outputs[0]!;
      const activation = await run(graph, feeds, value);
      activation.data.forEach((_: unknown, index: number) => {
        if (index % 4 === 2) activation.data[index] = 0;
      });
      close(await run(again, feeds, 'scores'), await run(graph, new Map([...feeds, [value, activation]]), 'scores'));
    });
  }

  it('external data stays external, under a name of its own beside the original', async () => {
    const graph = await onnx.open(loaded(fixtures, 'outside.onnx', ['outside.onnx.data']));
    const kept = without(6, [2]);
    const small = await shrink(graph, { first: [0, kept], bias: [0, kept], second: [1, kept] });
    const files = await onnx.save!(graph, small, 'small.onnx');
    assert.deepEqual(files.map((file) => file.name), ['small.onnx', 'small.onnx.data']);
    assert.ok(files[1]!.sizeBytes < 672);
    const again = await reopened(files);
    assert.deepEqual(again.findings, []);
    const feeds = new Map([['x', random([2, 1, 8, 8])]]);
    close(await run(again, feeds, 'y'), await run(graph, new Map([['b', masked(await run(graph, feeds, 'b'), [2])]]), 'y'));
    const renamed = await onnx.save!(graph, graph, 'other.onnx');
    assert.deepEqual(renamed.map((file) => file.name), ['other.onnx', 'other.onnx.data']);
    close(await run(await reopened(renamed), feeds, 'y'), await run(graph, feeds, 'y'));
  });

  it('changed attributes, and nodes that were taken out, change nothing else', async () => {
    const graph = await onnx.open(loaded(fixtures, 'outside.onnx', ['outside.onnx.data']));
    const nodes = graph.nodes.filter((node) => node.op !== 'Relu').map((node) => (node.name === 'two'
      ? { ...node, inputs: ['a', node.inputs[1]!], attributes: { ...node.attributes, pads: { type: 'ints' as const, value: [1, 1, 1, 1] } } } : node));
    const changed = { ...graph, nodes };
    const again = await reopened(await onnx.save!(graph, changed, 'outside.onnx'));
    assert.deepEqual(again.nodes.map((node) => node.name), ['one', 'two']);
    const feeds = new Map([['x', random([1, 1, 8, 8])]]);
    const result = await run(again, feeds, 'y');
    assert.deepEqual(result.shape, [1, 2, 6, 6]);
    close(result, await run(changed, feeds, 'y'));
  });

  it('finds the shape that a weight had before a reshape', () => {
    assert.deepEqual(shapeBefore([16, 4, 4, 10], [256, 10], [192, 10]), [12, 4, 4, 10]);
    assert.deepEqual(shapeBefore([16, 4, 4, 10], [256, 10], [256, 7]), [16, 4, 4, 7]);
    assert.deepEqual(shapeBefore([6], [1, 6, 1], [1, 5, 1]), [5]);
    assert.deepEqual(shapeBefore([1, 6], [6], [2]), [1, 2]);
    assert.equal(shapeBefore([16, 4, 4], [256], [255]), undefined);
  });
});
