import assert from 'node:assert/strict';
import fs from 'node:fs';
import { openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { backendNodeFile, readBackendCases, readTensorFile, type BackendCase } from '../support/backendNode';

const absent = !fs.existsSync(backendNodeFile);

describe(`TensorFlow.js passes ONNX's own operator tests${absent ? ' (skipped: ../shared/models is not here)' : ''}`, () => {
  it('wherever every operator of the model has a lowering', async function () {
    if (absent) return this.skip();
    this.timeout(180_000);
    const engine = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in engine));
    let passed = 0;
    const wrong: string[] = [];
    for (const testCase of readBackendCases()) {
      if (beyond.test(testCase.name)) continue;
      const graph = await openModel(testCase.model).catch(() => undefined);
      if (!graph || engine.unsupported(graph).length || !hasPlainTypes(graph)) continue;
      const feeds = await arraysOf(testCase, graph.inputs.map((input) => input.name), 'inputs');
      const expected = await arraysOf(testCase, graph.outputs.map((output) => output.name), 'outputs');
      if (!feeds || !expected) continue;
      try {
        const program = await engine.compile(graph, [...feeds.keys()], [...expected.keys()]);
        const results = await program.run(feeds);
        await program.dispose();
        for (const [name, array] of expected) {
          const difference = compare(results.get(name)!, array);
          if (difference) throw new Error(`${name}: ${difference}`);
        }
        passed++;
      } catch (error) {
        wrong.push(`${testCase.name}: ${(error as Error).message}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(passed > 400, `only ${passed} cases were run`);
  });
});

/**
 * Random results, and one where ONNX Runtime does otherwise and TensorFlow.js follows it: aligned corners of a size that
 * is no whole number before it is rounded.
 */
const beyond = /bernoulli|random|training|resize_downsample_scales_linear_align_corners/;

/** TensorFlow.js computes in float32, int32 and bool. */
function hasPlainTypes(graph: ModelGraph): boolean {
  const plain = new Set(['float32', 'int32', 'int64', 'bool']);
  return [...graph.inputs, ...graph.outputs].every(({ dtype }) => dtype !== undefined && plain.has(dtype));
}

async function arraysOf(testCase: BackendCase, names: readonly string[], kind: 'inputs' | 'outputs'): Promise<Map<string, NdArray> | undefined> {
  const arrays = new Map<string, NdArray>();
  for (const [index, name] of names.entries()) {
    const tensor = await readTensorFile(testCase[kind][index]);
    if (!tensor) return undefined;
    arrays.set(name, await tensor.read());
  }
  return arrays;
}

/** With the tolerance of these tests: rtol 1e-3, atol 1e-7. */
function compare(actual: NdArray, expected: NdArray): string | undefined {
  if (actual.shape.join() !== expected.shape.join()) return `shape [${actual.shape.join()}] instead of [${expected.shape.join()}]`;
  if (actual.dtype !== expected.dtype) return `${actual.dtype} instead of ${expected.dtype}`;
  const [left, right] = [asNumbers(actual), asNumbers(expected)];
  const broken = right.findIndex((value, index) =>
    !(Object.is(value, left[index]) || value === left[index] || Math.abs(value - left[index]!) <= 1e-7 + 1e-3 * Math.abs(value)));
  return broken < 0 ? undefined : `element ${broken} is ${left[broken]} instead of ${right[broken]}`;
}
