import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { onnx } from '../../../src/core/formats/onnx';
import type { Engine } from '../../../src/core/graph/engine';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { fromFloat32 } from '../../../src/core/graph/numeric';
import type { DType, NdArray } from '../../../src/core/graph/tensor';
import { loadNative, loadWeb } from '../../../src/engines/ort/loadOrt';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { availableEngines, createEngine } from '../../../src/engines/registry';
import { graphOf, node } from '../support/graphs';
import { fixtureFolder, loaded, sampleFolder, sharedModels } from '../support/memoryFiles';

const fixtures = path.join(fixtureFolder, 'onnx');
const mnistFolder = path.join(sharedModels, 'onnx/ort-mnist');

interface Expected {
  readonly feeds: Record<string, { shape: number[]; dtype: DType; data: number[] }>;
  readonly outputs: Record<string, number[]>;
}
const expected = JSON.parse(fs.readFileSync(path.join(fixtures, 'expected.json'), 'utf8')) as Record<string, Expected>;

function arrayOf({ shape, dtype, data }: { shape: readonly number[]; dtype: string; data: readonly number[] }): NdArray {
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from(data, BigInt) };
  if (dtype === 'bool') return { dtype, shape, data: Uint8Array.from(data) };
  return { dtype: 'float32', shape, data: Float32Array.from(data) };
}

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], fetches);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}

function close(found: NdArray | undefined, wanted: ArrayLike<number | bigint>, what = ''): void {
  assert.equal(found!.data.length, wanted.length, what);
  for (let index = 0; index < wanted.length; index++) {
    const [a, b] = [Number(found!.data[index]), Number(wanted[index])];
    assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b)), `${what} element ${index}: ${a} and ${b}`);
  }
}

const sine = (shape: readonly number[]): NdArray =>
  ({ dtype: 'float32', shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, index) => Math.sin(index * 12.9898)) });

for (const kind of ['native', 'web'] as const) {
  describe(`ONNX Runtime (${kind})`, function () {
    this.timeout(60_000);
    let engine: Engine;

    before(function () {
      const made = createOrtEngine(kind, { threads: 2 });
      if ('reason' in made) {
        console.log(`      ${made.reason}`);
        return this.skip();
      }
      engine = made;
    });

    it('says who it is', () => {
      assert.match(engine.title, new RegExp(`^ONNX Runtime \\d+\\.\\d+ \\(${kind}\\)$`));
      assert.equal(engine.id, `ort-${kind}`);
    });

    for (const name of ['exported.onnx', 'kept.onnx', 'outside.onnx', 'branch.onnx']) {
      it(`${name} gives what ONNX Runtime gave for the file in Python`, async () => {
        const graph = await onnx.open(loaded(fixtures, name, name === 'outside.onnx' ? ['outside.onnx.data'] : []));
        const { feeds, outputs } = expected[name]!;
        const results = await run(engine, graph, new Map(Object.entries(feeds).map(([key, feed]) => [key, arrayOf(feed)])), Object.keys(outputs));
        for (const [key, wanted] of Object.entries(outputs)) close(results.get(key), wanted, key);
      });
    }

    it('the sample gives the logits that PyTorch gave', async () => {
      const graph = await onnx.open(loaded(sampleFolder, 'model.onnx'));
      const logits = await run(engine, graph, new Map([['image', sine([2, 1, 8, 8])]]), ['logits']);
      const half = await run(engine, graph, new Map([['image', { ...sine([1, 1, 8, 8]) }]]), ['logits']);
      assert.deepEqual(logits.get('logits')!.shape, [2, 10]);
      close(half.get('logits'), [...logits.get('logits')!.data].slice(0, 10) as number[]);
    });

    it('equals ONNX Runtime on the file itself (CNTK MNIST)', async function () {
      const found = kind === 'native' ? loadNative() : loadWeb(2);
      if (!fs.existsSync(mnistFolder) || 'reason' in found) return this.skip(); // ../shared/models is not here
      const graph = await onnx.open(loaded(mnistFolder, 'mnist.onnx'));
      const input = sine([1, 1, 28, 28]);
      const session = await found.ort.InferenceSession.create(new Uint8Array(fs.readFileSync(path.join(mnistFolder, 'mnist.onnx'))), {
        logSeverityLevel: 3, executionProviders: [kind === 'native' ? 'cpu' : 'wasm'],
      });
      const truth = await session.run({ Input3: new found.ort.Tensor('float32', input.data as Float32Array, [...input.shape]) });
      close((await run(engine, graph, new Map([['Input3', input]]), ['Plus214_Output_0'])).get('Plus214_Output_0'), truth['Plus214_Output_0']!.data as Float32Array);
      await session.release();
    });

    it('cut at any value, the rest gives the same numbers', async () => {
      const graph = await onnx.open(loaded(fixtures, 'kept.onnx'));
      const { feeds } = expected['kept.onnx']!;
      const given = new Map(Object.entries(feeds).map(([key, feed]) => [key, arrayOf(feed)]));
      const values = graph.nodes.flatMap((one) => one.outputs.filter((output) => output && !graph.nodes.some((other) => other === one && other.op === 'LSTM')));
      const all = await run(engine, graph, given, [...values, 'scores']);
      for (const value of values) {
        const cut = await run(engine, graph, new Map([...given, [value, all.get(value)!]]), ['scores']);
        close(cut.get('scores'), all.get('scores')!.data, value);
      }
      assert.ok(values.length > 15);
    });

    it('passes feeds and weights through, and runs only what is asked for', async () => {
      const graph = await graphOf({
        inputs: { x: [1, 3] }, outputs: ['z'], weights: { w: [3, 2] },
        nodes: [node('MatMul', ['x', 'w'], 'y'), node('Foo', ['y'], 'z')],
      });
      const x = sine([1, 3]);
      const results = await run(engine, graph, new Map([['x', x]]), ['x', 'w', 'y']);
      assert.equal(results.get('x'), x);
      assert.deepEqual(results.get('w')!.data, (await graph.tensors.get('w')!.read()).data);
      const constants = await run(engine, graph, new Map(), ['w']);
      assert.equal(constants.size, 1);
      const fedWeight = await run(engine, graph, new Map([['x', x], ['w', sine([3, 2])]]), ['y']);
      assert.notDeepEqual(fedWeight.get('y')!.data, results.get('y')!.data);
    });

    it('feeds and fetches every type that it takes', async () => {
      const graph = await onnx.open(loaded(fixtures, 'types.onnx'));
      const names = [...graph.tensors.values()].filter(({ dtype }) => !['bfloat16', 'complex64'].includes(dtype));
      assert.ok(names.length >= 24);
      for (const tensor of names) {
        const array = await tensor.read();
        const results = await run(engine, graph, new Map([[tensor.name, array]]), [`${tensor.name}_out`]);
        assert.deepEqual({ ...results.get(`${tensor.name}_out`) }, { ...array }, tensor.name);
      }
      const converted = await run(engine, graph, new Map([['INT64', { dtype: 'int32', shape: [2], data: Int32Array.of(-3, 4) }]]), ['INT64_out']);
      assert.deepEqual(converted.get('INT64_out')!.data, BigInt64Array.of(-3n, 4n));
      const half = await run(engine, graph, new Map([['FLOAT16', sine([2])]]), ['FLOAT16_out']);
      assert.deepEqual(half.get('FLOAT16_out'), fromFloat32(sine([2]).data as Float32Array, [2], 'float16'));
      await assert.rejects(run(engine, graph, new Map([['INT8', { dtype: 'float32', shape: [1], data: Float32Array.of(0.5) }]]), ['INT8_out']), /whole numbers \(int8\), but element 0 is 0\.5/);
    });

    it('names the layer and the operator of what goes wrong, in one sentence', async () => {
      const graph = await graphOf({
        inputs: { x: [1, 3, 8, 8] }, outputs: ['z'], weights: { w: [4, 3, 3, 3] },
        nodes: [node('Conv', ['x', 'w'], 'y', {}, 'first'), node('Foo', ['y'], 'z', {}, 'second')],
      });
      const sentence = (pattern: RegExp) => (error: unknown): boolean => error instanceof ParticlizeError && pattern.test(error.message) && !/[\n]|\.cc:/.test(error.message);
      await assert.rejects(run(engine, graph, new Map([['x', sine([1, 3, 8, 8])]]), ['z']), sentence(/Foo.*cannot run this: No Op registered for Foo/));
      await assert.rejects(run(engine, graph, new Map([['x', sine([1, 5, 8, 8])]]), ['y']), sentence(/layer first \(Conv\): .*(channels|C: 5)/));
      await assert.rejects(run(engine, graph, new Map(), ['y']), sentence(/layer first: it needs the model's input 'x'/));
      await assert.rejects(run(engine, graph, new Map(), ['nothing']), sentence(/no value 'nothing'/));
      const program = await engine.compile(graph, ['x'], ['y']);
      await assert.rejects(program.run(new Map()), sentence(/x: this value must be fed/));
      await program.dispose();
      await assert.rejects(program.run(new Map([['x', sine([1, 3, 8, 8])]])), /disposed/);
      await program.dispose();
      const foreign = { ...graph, nodes: graph.nodes.map((one) => (one.op === 'Foo' ? { ...one, domain: 'acme' } : one)) };
      assert.deepEqual(engine.unsupported(foreign), ['acme:Foo']);
    });
  });
}

describe('engines', function () {
  this.timeout(60_000);

  it('native and web agree', async function () {
    const [native, web] = [createOrtEngine('native'), createOrtEngine('web')];
    if ('reason' in native || 'reason' in web) return this.skip(); // one of them is not installed
    const graph = await onnx.open(loaded(sampleFolder, 'model.onnx'));
    const values = graph.nodes.map((one) => one.outputs[0]!);
    const feeds = new Map([['image', sine([4, 1, 8, 8])]]);
    const [a, b] = [await run(native, graph, feeds, values), await run(web, graph, feeds, values)];
    for (const value of values) close(a.get(value), b.get(value)!.data as Float32Array, value);
  });

  it('the fastest that works is taken, and what was passed over is said', async () => {
    const status = await availableEngines();
    const best = status.find((one) => one.available)!;
    const chosen = await createEngine('auto');
    assert.equal(chosen.id, best.id);
    assert.equal(chosen.findings.length, status.indexOf(best));
    const web = await createEngine('ort-web');
    assert.equal(web.id, 'ort-web');
    for (const one of status) if (!one.available) assert.ok(one.reason, one.id);
  });

  it('says that there is no native build for a platform, and goes on with WebAssembly', () => {
    const script = `Object.defineProperty(process, 'platform', { value: 'sunos' });
      require('./src/engines/registry').createEngine('auto').then((engine) => console.log(engine.id, JSON.stringify(engine.findings)));`;
    const { stdout } = spawnSync(process.execPath, ['--require', 'tsx/cjs', '-e', script], { cwd: path.join(__dirname, '../../..'), encoding: 'utf8' });
    assert.match(stdout, /^ort-web \[\{"severity":"info","place":"ONNX Runtime \(native\)","message":"onnxruntime-node (has no build for sunos-\w+|is not installed)"\}\]/);
  });
});
