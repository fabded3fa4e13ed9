import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readsOf } from '../../../src/core/graph/attributes';
import { onnx } from '../../../src/core/formats/onnx';
import { batchSize, bytesPerSample } from '../../../src/core/evaluate/batching';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { sliceGraph } from '../../../src/core/graph/subgraph';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { encodeGraph } from '../../../src/engines/ort/encode';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { withinMemory } from '../../../src/engines/segmentedEngine';
import { bytesNeeded, planSegments } from '../../../src/engines/segments';
import { graphOf, node, randomArray, relativeError, seededRandom } from '../support/graphs';
import { loaded, sampleFolder } from '../support/memoryFiles';

/** Wide, narrow, wide, with a shortcut around the first half: x[N,8] - 64 - 64 - 4 - 64 - 64 - y[N,3]. */
function hourglass(): Promise<ModelGraph> {
  return graphOf({
    inputs: { x: [null, 8] }, outputs: ['y'],
    weights: { w1: [8, 64], w2: [64, 64], w3: [64, 4], skip: [8, 4], w4: [4, 64], w5: [64, 64], w6: [64, 3] },
    nodes: [
      node('MatMul', ['x', 'w1'], 'a1'), node('MatMul', ['a1', 'w2'], 'a2'), node('Tanh', ['a2'], 'a3'), node('MatMul', ['a3', 'w3'], 'a4'),
      node('MatMul', ['x', 'skip'], 'a5'), node('Add', ['a4', 'a5'], 'narrow'), node('MatMul', ['narrow', 'w4'], 'b1'),
      node('MatMul', ['b1', 'w5'], 'b2'), node('Tanh', ['b2'], 'b3'), node('MatMul', ['b3', 'w6'], 'y'),
    ],
  });
}

const float32Bytes = 4;
const weightBytes = (graph: ModelGraph): number =>
  [...graph.tensors.values()].reduce((sum, { shape }) => sum + float32Bytes * elementCount(shape), 0);

describe('segments of a model', () => {
  it('is one where the whole fits, and few and narrow ones where it does not', async () => {
    const graph = await hourglass();
    const whole = bytesNeeded(graph);
    assert.equal(whole, weightBytes(graph) + float32Bytes * (6 * 64 + 3 * 4 + 3));
    assert.deepEqual(planSegments(graph, ['y'], whole + 1000), [{ feeds: ['x'], fetches: ['y'] }]);
    assert.deepEqual(planSegments(graph, ['y'], whole * 0.6), [{ feeds: ['x'], fetches: ['narrow'] }, { feeds: ['narrow'], fetches: ['y'] }]);
  });

  it('keeps each one within the budget, as long as its single nodes are', async () => {
    const graph = await hourglass();
    for (let budget = 18_000; budget < bytesNeeded(graph); budget += 500) {
      const segments = planSegments(graph, ['y', 'a2'], budget);
      assert.ok(segments.length > 1, String(budget));
      for (const { feeds, fetches } of segments) assert.ok(bytesNeeded(sliceGraph(graph, feeds, fetches)) <= budget, `${budget}: ${fetches.join()}`);
    }
    // Less than a single layer needs: a segment for each, and no failure.
    const finest = planSegments(graph, ['y'], 1);
    assert.equal(finest.length, graph.nodes.length);
  });

  it('gives each one what it reads, and asks of it what others read', async () => {
    const graph = await hourglass();
    const available = new Set(['x']);
    for (const { feeds, fetches } of planSegments(graph, ['y', 'a2'], 18_000)) {
      for (const feed of feeds) assert.ok(available.has(feed), feed);
      for (const fetch of fetches) available.add(fetch);
    }
    assert.ok(available.has('y') && available.has('a2'));
  });
});

for (const kind of ['native', 'web'] as const) {
  describe(`a model larger than the memory budget on ONNX Runtime (${kind})`, function () {
    this.timeout(60_000);
    let engine: Engine;

    before(function () {
      const made = createOrtEngine(kind);
      if ('reason' in made) return this.skip(); // not installed
      engine = made;
    });

    it('gives the same numbers as the whole, with never more loaded than the budget holds', async () => {
      const graph = await hourglass();
      const budget = 20_000;
      const watched = watch(engine);
      const small = withinMemory(watched.engine, budget);
      const feeds = new Map([['x', randomArray([5, 8], seededRandom(3))]]);
      const fetches = ['y', 'a2', 'w3', 'x', 'narrow'];
      const results = await run(small, graph, feeds, fetches);
      assert.deepEqual([...results.keys()], fetches);
      assertEqual(results, await run(engine, graph, feeds, fetches));
      assert.ok(watched.compiled > 2 && watched.open === 0);
      assert.ok(watched.mostWeights <= budget && watched.mostWeights > budget / 3, `${watched.mostWeights} bytes of weights`);
    });

    it('keeps what leaves room for the rest from run to run, and frees it in the end', async () => {
      const graph = await hourglass();
      const feeds = new Map([['x', randomArray([5, 8], seededRandom(3))]]);
      const whole = await run(engine, graph, feeds, ['y']);
      const budget = 26_000;
      const watched = watch(engine);
      const program = await withinMemory(watched.engine, budget).compile(graph, ['x'], ['y']);
      assertEqual(await program.run(feeds), whole);
      const first = watched.compiled;
      const kept = watched.open;
      assertEqual(await program.run(feeds), whole);
      assert.ok(kept > 0 && watched.compiled === 2 * first - kept, `${first} compiled, ${kept} kept, ${watched.compiled} in the end`);
      assert.ok(watched.mostWeights <= budget, `${watched.mostWeights} bytes of weights`);
      await program.dispose();
      assert.equal(watched.open, 0);
    });

    it('cuts the digits sample anywhere and feeds it anywhere', async () => {
      const graph = await onnx.open(loaded(sampleFolder, 'model.onnx'));
      const input = graph.inputs[0]!;
      const feeds = new Map([[input.name, randomArray([3, 1, 8, 8], seededRandom(5))]]);
      const values = graph.nodes.flatMap(({ outputs }) => outputs);
      const whole = await run(engine, graph, feeds, values);
      const watched = watch(engine);
      const small = withinMemory(watched.engine, 4000);
      assertEqual(await run(small, graph, feeds, values), whole);
      assert.ok(watched.compiled > 2);
      const middle = values[values.length >> 1]!;
      assertEqual(await run(small, graph, new Map([[middle, whole.get(middle)!]]), [values.at(-1)!]), new Map([[values.at(-1)!, whole.get(values.at(-1)!)!]]));
    });

    it('leaves what fits alone', async () => {
      const graph = await hourglass();
      const watched = watch(engine);
      const roomy = withinMemory(watched.engine, 1e6);
      const program = await roomy.compile(graph, ['x'], ['y']);
      for (let round = 0; round < 3; round++) await program.run(new Map([['x', randomArray([2, 8], seededRandom(round))]]));
      await program.dispose();
      assert.equal(watched.compiled, 1);
    });

    it('frees a part that fails, and says what is missing', async () => {
      const graph = await hourglass();
      const watched = watch(engine);
      const program = await withinMemory(watched.engine, 20_000).compile(graph, ['x'], ['y']);
      await assert.rejects(program.run(new Map()), /x: this value must be fed/);
      await assert.rejects(program.run(new Map([['x', randomArray([5, 9], seededRandom(3))]])), /layer a1 \(MatMul\)/);
      assert.equal(watched.open, 0);
      await program.dispose();
      await assert.rejects(program.run(new Map([['x', randomArray([5, 8], seededRandom(3))]])), /disposed/);
    });

    it('runs weights that one file cannot hold', async () => {
      const graph = await hourglass();
      const { bytes, external } = await encodeGraph(graph, ['x'], ['y'], 5000);
      assert.ok(bytes.length < 5000 && external.length === 5, `${external.length} weights beside ${bytes.length} bytes`);
      const beside = createOrtEngine(kind, { limitBytes: 5000 });
      assert.ok(!('reason' in beside));
      const feeds = new Map([['x', randomArray([5, 8], seededRandom(3))]]);
      assertEqual(await run(beside, graph, feeds, ['y', 'a4', 'w3']), await run(engine, graph, feeds, ['y', 'a4', 'w3']));
    });
  });
}

describe('an encoded part', () => {
  it('declares how many axes its feeds have, and none of their sizes', async () => {
    const graph = await hourglass();
    const { bytes } = await encodeGraph(graph, ['narrow', 'w5'], ['y']);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
    try {
      fs.writeFileSync(path.join(folder, 'part.onnx'), bytes);
      const part = await onnx.open(loaded(folder, 'part.onnx'));
      assert.deepEqual(part.inputs.map(({ name, shape }) => [name, shape]), [['narrow', [null, null]], ['w5', [null, null]]]);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('batches', () => {
  it('hold as many samples as half the budget has room for', async () => {
    const graph = await hourglass();
    const each = bytesPerSample(graph);
    assert.equal(each, float32Bytes * (8 + 6 * 64 + 3 * 4 + 3));
    assert.equal(batchSize(2 * each * 10, each), 10);
    assert.equal(batchSize(2 * each * 10 - 1, each), 9);
    assert.equal(batchSize(1, each), 1);
    assert.equal(batchSize(1e12, each), 256);
  });
});

interface Watched {
  readonly engine: Engine;
  compiled: number;
  open: number;
  /** Bytes of the weights that were loaded together. */
  mostWeights: number;
}

function watch(engine: Engine): Watched {
  let weights = 0;
  const watched: Watched = {
    compiled: 0, open: 0, mostWeights: 0,
    engine: {
      id: engine.id, title: engine.title, unsupported: (graph) => engine.unsupported(graph),
      async compile(graph, feeds, fetches) {
        const program = await engine.compile(graph, feeds, fetches);
        const part = sliceGraph(graph, feeds, fetches);
        const read = new Set(part.nodes.flatMap(readsOf));
        const own = [...part.tensors].filter(([name]) => read.has(name)).reduce((sum, [, { shape }]) => sum + float32Bytes * elementCount(shape), 0);
        weights += own;
        watched.compiled++;
        watched.open++;
        watched.mostWeights = Math.max(watched.mostWeights, weights);
        const dispose = (): Promise<void> => {
          weights -= own;
          watched.open--;
          return program.dispose();
        };
        return { feeds, fetches, run: (given) => program.run(given), dispose };
      },
    },
  };
  return watched;
}

async function run(engine: Engine, graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[]): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], fetches);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}

function assertEqual(actual: ReadonlyMap<string, NdArray>, expected: ReadonlyMap<string, NdArray>): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, array] of expected) {
    assert.deepEqual(actual.get(name)!.shape, array.shape, name);
    const error = relativeError(actual.get(name)!.data as Float32Array, array.data as Float32Array);
    assert.ok(error <= 1e-6, `${name}: ${error}`);
  }
}
