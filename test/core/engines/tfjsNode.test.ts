import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Engine } from '../../../src/core/graph/engine';
import { asNumbers } from '../../../src/core/graph/numeric';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { createEngine } from '../../../src/engines/registry';
import { findTfjsNode } from '../../../src/engines/tfjs/loadTfjs';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { graphOfCase, opCases, titleOf } from '../graph/opCases';
import { seededRandom } from '../support/graphs';

const root = path.join(__dirname, '../../..');
const cache = process.env.PARTICLIZE_CACHE ?? path.join(root, '.cache');

/** As the harness links it (test/harness/tfjsNode.mjs), or as the user has it. */
function folderOfTfjsNode(): string | undefined {
  const linked = path.join(cache, 'tfjs-node');
  if (fs.existsSync(path.join(linked, '.installed'))) return path.join(linked, 'node_modules', '@tensorflow', 'tfjs-node');
  const found = findTfjsNode();
  return 'reason' in found ? undefined : found.folder;
}

describe('the TensorFlow.js engine on tfjs-node', function () {
  this.timeout(120_000);
  let tfjs: Engine;
  let ort: Engine;
  const folder = folderOfTfjsNode();

  before(async function () {
    if (!folder) {
      console.log('      tfjs-node is not here; `node test/harness/tfjsNode.mjs` links one to a Python that has tensorflow-cpu');
      return this.skip();
    }
    const made = await createTfjsEngine({ id: 'tfjs-node', tfjsNodeFolder: folder });
    assert.ok(!('reason' in made), 'reason' in made ? made.reason : '');
    tfjs = made;
    ort = await createEngine('ort-native');
  });

  it('says who it is', () => {
    assert.equal(tfjs.id, 'tfjs-node');
    assert.match(tfjs.title, /^TensorFlow\.js 4\.\d+ \(Node\)$/);
  });

  it('agrees with ONNX Runtime on every operator that it knows', async () => {
    const wrong: string[] = [];
    const operators = new Set<string>();
    for (const [index, testCase] of opCases.entries()) {
      const graph = await graphOfCase(testCase);
      if (tfjs.unsupported(graph).length) continue;
      const feeds = new Map(graph.inputs.map(({ name, dtype, shape }, input) => [
        name, randomArray(dtype ?? 'float32', (shape ?? []) as number[], index * 100 + input, positive.has(testCase.op)),
      ]));
      const names = graph.outputs.map((output) => output.name);
      const expected = await run(ort, graph, feeds, names);
      try {
        const actual = await run(tfjs, graph, feeds, names);
        for (const name of names) compare(actual.get(name)!, expected.get(name)!);
        operators.add(testCase.op);
      } catch (error) {
        wrong.push(`${titleOf(testCase)}: ${(error as Error).message}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(operators.size > 70, `only ${operators.size} operators were compared`);
  });

  it('runs on Node 24, which lacks functions that it calls', function () {
    const node = path.join(cache, 'node-24.21.0', 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
    if (!folder || !fs.existsSync(node)) return this.skip(); // the harness installs it for VS Code 1.139
    const script = `
      const { createTfjsEngine } = require('./src/engines/tfjs/tfjsEngine');
      const { tensorOf } = require('./src/core/graph/tensor');
      const float32 = (shape, data) => ({ dtype: 'float32', shape, data: Float32Array.from(data) });
      const value = (name) => ({ name, dtype: 'float32' });
      const graph = {
        format: 'test', producer: '', opset: 18, inputs: [value('x')], outputs: [value('y')], layers: [], values: new Map([['y', value('y')]]), constants: new Map(), findings: [],
        nodes: [{ name: 'dense', op: 'MatMul', domain: '', inputs: ['x', 'w'], outputs: ['y'], attributes: {}, layer: 'dense' }],
        tensors: new Map([['w', tensorOf('w', float32([2, 2], [1, 2, 3, 4]))]]),
      };
      createTfjsEngine({ id: 'tfjs-node' }).then(async (engine) => {
        const program = await engine.compile(graph, ['x'], ['y']);
        const results = await program.run(new Map([['x', float32([1, 2], [10, 1])]]));
        console.log(process.version, engine.id, [...results.get('y').data].join());
      }).catch((error) => console.log(error));`;
    const { stdout, stderr } = spawnSync(node, ['--require', 'tsx/cjs', '-e', script], {
      cwd: root, encoding: 'utf8', env: { ...process.env, PARTICLIZE_TFJS_NODE: folder },
    });
    assert.match(stdout, /^v24\.\S+ tfjs-node 13,24$/m, stdout + stderr);
  });
});

describe('where tfjs-node is looked for', () => {
  it('a folder that is none is said, and one without its library too', () => {
    assert.deepEqual(findTfjsNode(path.join(root, 'nowhere')), { reason: '@tensorflow/tfjs-node is not installed' });
    // A package whose installation stopped before its binding was there.
    assert.deepEqual(
      findTfjsNode(path.join(root, 'node_modules', '@tensorflow', 'tfjs-core')), { reason: '@tensorflow/tfjs-node is installed without its TensorFlow library' },
    );
  });
});

const positive = new Set(['Log', 'Sqrt', 'Pow', 'ReduceLogSum', 'BatchNormalization']);

async function run(
  engine: Engine, graph: Parameters<Engine['compile']>[0], feeds: ReadonlyMap<string, NdArray>, fetches: readonly string[],
): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], fetches);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}

function randomArray(dtype: NdArray['dtype'], shape: readonly number[], seed: number, above: boolean): NdArray {
  const next = seededRandom(seed + 1);
  const count = elementCount(shape);
  if (dtype === 'bool') return { dtype, shape, data: Uint8Array.from({ length: count }, () => (next() < 0.5 ? 1 : 0)) };
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from({ length: count }, () => BigInt(Math.floor(next() * 3))) };
  return { dtype: 'float32', shape, data: Float32Array.from({ length: count }, () => (above ? 0.1 + 2 * next() : 4 * next() - 2)) };
}

/** Relative to the largest element: single elements may cancel out. */
function compare(actual: NdArray, expected: NdArray): void {
  assert.deepEqual(actual.shape, expected.shape);
  assert.equal(actual.dtype, expected.dtype);
  const [left, right] = [asNumbers(actual), asNumbers(expected)];
  const scale = Math.max(1e-30, ...right.filter(Number.isFinite).map(Math.abs));
  right.forEach((value, index) => {
    if (Object.is(value, left[index]) || value === left[index]) return;
    const error = Math.abs(value - left[index]!) / scale;
    assert.ok(error <= 1e-5, `element ${index} is ${left[index]} and should be ${value}`);
  });
}
