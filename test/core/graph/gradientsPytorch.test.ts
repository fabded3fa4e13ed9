import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import { fileSetOf } from '../../../src/compute/files';
import { float, int, ints, string } from '../../../src/core/graph/attributes';
import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine, Program } from '../../../src/core/graph/engine';
import { GraphOnGraph } from '../../../src/core/graph/graphBuilder';
import type { Attribute, ModelGraph } from '../../../src/core/graph/modelGraph';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { softmaxCrossEntropy } from '../../../src/core/train/losses';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { graphOf, node, relativeError, seededRandom } from '../support/graphs';
import { fixtureFolder, sampleFolder } from '../support/memoryFiles';

interface Case {
  readonly name: string;
  readonly op: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number | string | readonly number[]>>;
  readonly shapes: readonly (readonly number[])[];
  readonly low: number;
  readonly high: number;
  readonly output: readonly number[];
  readonly gradients: readonly (readonly number[])[];
  readonly ints?: readonly { readonly shape: readonly number[]; readonly data: readonly number[] }[];
}

interface Part {
  readonly norm: number;
  readonly elements: readonly number[];
}

interface Fixture {
  readonly torch: string;
  readonly cases: readonly Case[];
  readonly digits: {
    readonly loss: number;
    readonly labels: readonly number[];
    readonly weights: readonly (Part & { readonly name: string; readonly shape: readonly number[] })[];
    readonly pictures: Part;
    readonly logit3: Part;
  };
}

/** Written by test/fixtures/make/gradients.py. */
const fixture = JSON.parse(fs.readFileSync(path.join(fixtureFolder, 'gradients.json'), 'utf8')) as Fixture;

for (const kind of ['native', 'web'] as const) {
  describe(`gradients equal PyTorch ${fixture.torch} (ONNX Runtime, ${kind})`, function () {
    this.timeout(60_000);
    let engine: Engine;

    before(function () {
      const made = createOrtEngine(kind, { threads: 1 });
      if ('reason' in made) return this.skip(); // The engine's own tests say why it is not there.
      engine = made;
    });

    for (const [index, one] of fixture.cases.entries()) {
      it(`${one.op}: ${one.name}`, async () => {
        const graph = await graphOfCase(one);
        const names = one.shapes.map((_, at) => `i${at}`);
        const random = seededRandom(index + 1);
        const feeds = new Map(names.map((name, at) => [name, drawn(random, one.shapes[at]!, one.low, one.high)]));
        const made = await differentiate(graph, { of: 'o', withRespectTo: names, seed: 'incoming' });
        feeds.set(made.seed!, drawn(seededRandom(1000 + index), one.output, -1, 1));
        const results = await run(engine, made.graph, feeds, [...made.gradients.values()]);
        names.forEach((name, at) => {
          const { data, shape } = results.get(made.gradients.get(name)!)!;
          assert.deepEqual(shape, one.shapes[at]);
          const error = relativeError(data as Float32Array, one.gradients[at]!);
          assert.ok(error <= 1e-5, `gradient of ${name}: relative error ${error}`);
        });
      });
    }

    it('the loss of the digits sample: every weight and the pictures', async () => {
      const { digits } = fixture;
      const model = await openModel(await fileSetOf(path.join(sampleFolder, 'model.onnx')));
      const builder = new GraphOnGraph(model);
      const labels = builder.input('labels', { dtype: 'int64', shape: [null] });
      const loss = softmaxCrossEntropy(builder, model.outputs[0]!.name, labels);
      const graph = await builder.finish([loss]);
      const weights = [...model.tensors.values()].filter(({ dtype }) => dtype === 'float32').map(({ name }) => name);
      const image = model.inputs[0]!.name;
      const made = await differentiate(graph, { of: loss, withRespectTo: [...weights, image], keepOutputs: true });
      assert.equal(made.graph.outputs.length, weights.length + 2);
      const random = seededRandom(5);
      const feeds = new Map<string, NdArray>([
        [image, drawn(random, [64, 1, 8, 8], 0, 1)],
        [labels, { dtype: 'int64', shape: [64], data: BigInt64Array.from(digits.labels, BigInt) }],
      ]);
      const results = await run(engine, made.graph, feeds, made.graph.outputs.map(({ name }) => name));
      assert.ok(Math.abs(Number(results.get(loss)!.data[0]) - digits.loss) <= 1e-5 * digits.loss);
      for (const weight of digits.weights) {
        const own = weights.filter((name) => model.tensors.get(name)!.shape.join() === weight.shape.join());
        assert.ok(own.length, `${weight.name} is in the model`);
        const found = own.map((name) => results.get(made.gradients.get(name)!)!.data as Float32Array);
        const count = elementCount(weight.shape);
        const errors = found.map((data) => errorOf(data, weight, Math.max(1, Math.floor(count / 16))));
        assert.ok(Math.min(...errors) <= 1e-5, `${weight.name}: relative error ${Math.min(...errors)}`);
      }
      const ofPictures = results.get(made.gradients.get(image)!)!.data as Float32Array;
      assert.ok(errorOf(ofPictures, digits.pictures, 271) <= 1e-5);
    });

    it('one logit of the digits sample, for every picture of the batch', async () => {
      const model = await openModel(await fileSetOf(path.join(sampleFolder, 'model.onnx')));
      const [image, logits] = [model.inputs[0]!.name, model.outputs[0]!.name];
      const pictures = drawn(seededRandom(5), [64, 1, 8, 8], 0, 1);
      const made = await differentiate(model, { of: { value: logits, index: 3 }, withRespectTo: [image] });
      const results = await run(engine, made.graph, new Map([[image, pictures]]), [...made.gradients.values()]);
      const found = results.get(made.gradients.get(image)!)!.data as Float32Array;
      assert.ok(errorOf(found, fixture.digits.logit3, 271) <= 1e-5);
      // The same from a seed that is one at that logit, and for a part of the batch.
      const seeded = await differentiate(model, { of: logits, withRespectTo: [image], seed: 'incoming' });
      const hot = Float32Array.from({ length: 20 }, (_, at) => (at % 10 === 3 ? 1 : 0));
      const half = { ...pictures, shape: [2, 1, 8, 8], data: (pictures.data as Float32Array).slice(0, 128) };
      const again = await run(engine, seeded.graph, new Map([[image, half], [seeded.seed!, { dtype: 'float32', shape: [2, 10], data: hot }]]), [...seeded.gradients.values()]);
      assert.ok(relativeError(again.get(seeded.gradients.get(image)!)!.data as Float32Array, found.slice(0, 128)) <= 1e-5);
    });
  });
}

/** Largest error of the recorded elements (each `step`-th) and of the norm. */
function errorOf(data: Float32Array, { norm, elements }: Part, step: number): number {
  const own = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
  return Math.max(relativeError(elements.map((_, at) => data[at * step] ?? NaN), elements), Math.abs(own - norm) / norm);
}

async function graphOfCase({ op, domain, attributes = {}, shapes, ints: constants = [], output }: Case): Promise<ModelGraph> {
  const names = shapes.map((_, at) => `i${at}`);
  const weights = Object.fromEntries(constants.map(({ shape, data }, at) => [`n${at}`, { dtype: 'int64', shape, data: BigInt64Array.from(data, BigInt) } as const]));
  const graph = await graphOf({
    inputs: Object.fromEntries(names.map((name, at) => [name, shapes[at]!])), outputs: ['o'], weights,
    nodes: [node(op, [...names, ...Object.keys(weights)], 'o', Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, attributeOf(name, value)])))],
  });
  if (!domain) return graph;
  const values = new Map([...graph.values, ['o', { name: 'o', dtype: 'float32', shape: output }]] as const);
  return { ...graph, values, nodes: graph.nodes.map((own) => ({ ...own, domain })), domains: { [domain]: 1 } };
}

function attributeOf(name: string, value: number | string | readonly number[]): Attribute {
  if (typeof value === 'string') return string(value);
  if (typeof value !== 'number') return ints(value);
  return floats.has(name) ? float(value) : int(value);
}

const floats = new Set(['alpha', 'beta', 'bias', 'epsilon', 'gamma']);

function drawn(random: () => number, shape: readonly number[], low: number, high: number): NdArray {
  return { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, () => low + (high - low) * random()) };
}

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<Map<string, NdArray>> {
  const program: Program = await engine.compile(graph, [...feeds.keys()], fetches);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}
