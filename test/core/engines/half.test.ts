import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { batchModel, openRunner } from '../../../src/core/evaluate/batching';
import { onnx } from '../../../src/core/formats/onnx';
import type { Engine } from '../../../src/core/graph/engine';
import { inFloat32, isHalfPrecision } from '../../../src/core/graph/float32Graph';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32, fromFloat32 } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { relativeError } from '../support/graphs';
import { fixtureFolder, loaded } from '../support/memoryFiles';

const folder = path.join(fixtureFolder, 'half');

interface Expected {
  readonly shape: readonly number[];
  readonly x: readonly number[];
  /** In the model's own precision: ONNX Runtime in Python for float16, PyTorch for bfloat16. */
  readonly own: Readonly<Record<string, readonly number[]>>;
  /** The same weights in float32 throughout, by PyTorch. */
  readonly exact: Readonly<Record<string, readonly number[]>>;
}
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Record<string, Expected>;

const engines: readonly { readonly title: string; make(): Promise<Engine | { readonly reason: string }> }[] = [
  { title: 'ONNX Runtime (native)', make: () => Promise.resolve(createOrtEngine('native')) },
  { title: 'ONNX Runtime (web)', make: () => Promise.resolve(createOrtEngine('web')) },
  { title: 'TensorFlow.js (WASM)', make: () => createTfjsEngine({ id: 'tfjs-wasm' }) },
];

for (const { title, make } of engines) {
  describe(`half-precision models on ${title}`, function () {
    this.timeout(60_000);
    let engine: Engine;

    before(async function () {
      const made = await make();
      if ('reason' in made) {
        console.log(`      ${made.reason}`);
        return this.skip();
      }
      engine = made;
    });

    for (const [name, { shape, x, own, exact }] of Object.entries(expected)) {
      const half = name.includes('bfloat16') ? 'bfloat16' : 'float16';
      // The nearest numbers to 1 differ by 2^-10 and 2^-7; torch's bfloat16 rounds after each of a dozen operators.
      const [tolerance, rounding] = half === 'float16' ? [1e-3, 5e-4] : [1e-2, 4e-3];

      it(`${name} gives what ${half === 'float16' ? 'ONNX Runtime' : 'PyTorch'} gives`, async function () {
        const graph = await onnx.open(loaded(folder, name));
        if (engine.unsupported(graph).includes('If')) return this.skip(); // TensorFlow.js has no nested graphs
        const feed: NdArray = fromFloat32(Float32Array.from(x), shape, half);
        const results = await run(engine, graph, new Map([['x', feed]]), Object.keys(own));
        for (const key of Object.keys(own)) {
          assert.equal(results.get(key)!.dtype, half, 'a result has the type that the model declares');
          const values = asFloat32(results.get(key)!);
          assert.ok(relativeError(values, own[key]!) <= tolerance, `${key}: ${relativeError(values, own[key]!)} from its own precision`);
          assert.ok(relativeError(values, exact[key]!) <= rounding, `${key}: ${relativeError(values, exact[key]!)} from float32`);
        }
        const fed = await run(engine, graph, new Map([['x', { dtype: 'float32', shape, data: Float32Array.from(x) }]]), Object.keys(own));
        assert.deepEqual(fed, results, 'float32 is taken as well');
      });

      it(`${name} is analysed without rounding`, async function () {
        const graph = await onnx.open(loaded(folder, name));
        if (graph.nodes.some(({ op }) => op === 'If')) return this.skip(); // what a nested graph takes and gives stays half
        const model = await batchModel(graph);
        assert.equal(isHalfPrecision(model.graph), false);
        const runner = await openRunner(engine, model, ['x'], Object.keys(exact));
        const results = await runner.run(new Map([['x', { dtype: 'float32', shape, data: Float32Array.from(x) }]]));
        await runner.dispose();
        for (const key of Object.keys(exact)) {
          const error = relativeError(results.get(key)!.data as Float32Array, exact[key]!);
          assert.ok(error <= 1e-5, `${key}: ${error}`);
        }
      });

      it(`${name} is cut at any value`, async function () {
        const graph = await onnx.open(loaded(folder, name));
        if (engine.unsupported(graph).includes('If')) return this.skip(); // TensorFlow.js has no nested graphs
        const [output] = Object.keys(own);
        const values = graph.nodes.flatMap(({ outputs }) => outputs).filter((value) => value && value !== output);
        const feeds = new Map([['x', fromFloat32(Float32Array.from(x), shape, half)]]);
        const all = await run(engine, graph, feeds, [...values, output!]);
        const truth = asFloat32(all.get(output!)!);
        for (const value of values) {
          const same = await run(engine, graph, new Map([...feeds, [value, all.get(value)!]]), [output!]);
          assert.ok(relativeError(asFloat32(same.get(output!)!), truth) <= 4 * rounding, `behind ${value}`);
        }
        // What is fed counts: other elements give another result.
        const branched = values.find((value) => value === 's') ?? values[0]!;
        const doubled = asFloat32(all.get(branched)!).map((one) => 3 * one + 1);
        const other = await run(engine, graph, new Map([...feeds, [branched, fromFloat32(doubled, all.get(branched)!.shape, half)]]), [output!]);
        assert.ok(relativeError(asFloat32(other.get(output!)!), truth) > 10 * rounding, `${branched} has no influence`);
      });
    }
  });
}

describe('a graph in float32', () => {
  it('is the graph itself where nothing is half', async () => {
    const graph = await onnx.open(loaded(path.join(fixtureFolder, 'onnx'), 'exported.onnx'));
    assert.equal(inFloat32(graph), graph);
  });

  it('keeps every name, and half values only around nested graphs', async () => {
    const graph = await onnx.open(loaded(folder, 'attention-float16.onnx'));
    const wide = inFloat32(graph);
    const ownNodes = (of: ModelGraph): readonly string[] => of.nodes.filter(({ op }) => op !== 'Cast').map(({ name }) => name);
    assert.deepEqual(ownNodes(wide), ownNodes(graph));
    const half = [...wide.values.values()].filter(({ dtype }) => dtype === 'float16').map(({ name }) => name);
    assert.deepEqual(half.filter((name) => !graph.tensors.has(name)).sort(), ['s', 'scaled']);
    for (const [name, tensor] of wide.tensors) assert.equal((await tensor.read()).dtype, tensor.dtype, name);
  });
});

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], fetches);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}
