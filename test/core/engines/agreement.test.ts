import assert from 'node:assert/strict';
import type { Engine } from '../../../src/core/graph/engine';
import type { GraphNode, ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { permute } from '../../../src/core/formats/keras/weightView';
import { createEngine } from '../../../src/engines/registry';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { graphOfCase, opCases, titleOf, type OpCase } from '../graph/opCases';
import { seededRandom } from '../support/graphs';

/** Each engine is the check of the other: the same operators, attributes and random inputs give the same numbers. */
describe('ONNX Runtime and TensorFlow.js agree', function () {
  this.timeout(60_000);
  let ort: Engine;
  let tfjs: Engine;

  before(async () => {
    ort = await createEngine('ort-native');
    const made = await createTfjsEngine({ id: 'tfjs-wasm' });
    assert.ok(!('reason' in made), 'the WASM backend is a dependency of the project');
    tfjs = made;
    assert.match(ort.id, /^ort/);
  });

  for (const [op, cases] of groupByOperator(opCases)) {
    it(`${op} (${cases.length} variants)`, async function () {
      let compared = 0;
      for (const [index, testCase] of cases.entries()) {
        const graph = await graphOfCase(testCase);
        if (tfjs.unsupported(graph).length) {
          assert.ok(knownGaps.some((gap) => gap(testCase)), `${titleOf(testCase)} has no lowering`);
          continue;
        }
        await compare(graph, testCase, index + 1, [ort, tfjs]);
        await compare(graph, testCase, index + 1, [ort, tfjs], true);
        compared++;
      }
      if (compared === 0) this.skip();
    });
  }
});

/** What TensorFlow.js is known not to run; a case that leaves this list by mistake fails above. */
const knownGaps: readonly ((testCase: OpCase) => boolean)[] = [
  ({ op, outputs }) => op === 'MaxPool' && outputs.length > 1,
  ({ op, inputs }) => op === 'ConvTranspose' && inputs[0]?.shape.length === 5,
  ({ op, attributes }) => (op === 'Resize' || op === 'Upsample') && JSON.stringify(attributes).includes('cubic'),
];

/** `moved`: TensorFlow.js gets every input with its axes reversed and a Transpose behind it, so that its lazy layouts work. */
async function compare(
  graph: ModelGraph, testCase: OpCase, seed: number, [ort, tfjs]: readonly [Engine, Engine], moved = false,
): Promise<void> {
  const feeds = new Map(graph.inputs.map(({ name, dtype, shape }, index) => [
    name, randomArray(dtype ?? 'float32', (shape ?? []) as number[], seed * 100 + index, positiveInputs.has(testCase.op)),
  ]));
  const expected = await run(ort, graph, feeds, testCase);
  const actual = moved
    ? await run(tfjs, withTransposes(graph), new Map([...feeds].map(([name, array]) => [`${name}_moved`, reversed(array)])), testCase)
    : await run(tfjs, graph, feeds, testCase);
  for (const { name } of graph.outputs) {
    assertClose(actual.get(name)!, expected.get(name)!, `${titleOf(testCase)} ${name}${moved ? ', axes reversed in memory' : ''}`);
  }
}

async function run(engine: Engine, graph: ModelGraph, feeds: Map<string, NdArray>, testCase: OpCase): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], graph.outputs.map((output) => output.name));
  try {
    return await program.run(feeds);
  } catch (error) {
    throw new Error(`${titleOf(testCase)} on ${engine.title}: ${(error as Error).message}`);
  } finally {
    await program.dispose();
  }
}

function withTransposes(graph: ModelGraph): ModelGraph {
  const inputs = graph.inputs.map((input) => ({ ...input, name: `${input.name}_moved`, shape: [...input.shape ?? []].reverse() }));
  const transposes = graph.inputs.map(({ name }): GraphNode => ({
    name: `${name}_back`, op: 'Transpose', domain: '', inputs: [`${name}_moved`], outputs: [name], attributes: {}, layer: 'layer',
  }));
  const values = new Map([...graph.values, ...inputs.map((input) => [input.name, input] as const)]);
  return { ...graph, inputs, values, nodes: [...transposes, ...graph.nodes] };
}

function reversed(array: NdArray): NdArray {
  return permute(array, array.shape.map((_, axis) => array.shape.length - 1 - axis));
}

const positiveInputs = new Set(['Log', 'Sqrt', 'Pow', 'ReduceLogSum', 'BatchNormalization']);

function randomArray(dtype: NdArray['dtype'], shape: readonly number[], seed: number, positive: boolean): NdArray {
  const next = seededRandom(seed);
  const count = elementCount(shape);
  if (dtype === 'bool') return { dtype, shape, data: Uint8Array.from({ length: count }, () => (next() < 0.5 ? 1 : 0)) };
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from({ length: count }, () => BigInt(Math.floor(next() * 3))) };
  assert.equal(dtype, 'float32', 'the cases feed floats');
  return { dtype, shape, data: Float32Array.from({ length: count }, () => (positive ? 0.1 + 2 * next() : 4 * next() - 2)) };
}

/** Relative to the largest element: single elements may cancel out. */
function assertClose(actual: NdArray, expected: NdArray, what: string): void {
  assert.deepEqual(actual.shape, expected.shape, `${what}: shape`);
  assert.equal(actual.dtype, expected.dtype, `${what}: type`);
  const [left, right] = [asNumbers(actual), asNumbers(expected)];
  const scale = Math.max(1e-30, ...right.filter(Number.isFinite).map(Math.abs));
  right.forEach((value, index) => {
    if (Object.is(value, left[index]) || value === left[index]) return;
    const error = Math.abs(value - left[index]!) / scale;
    assert.ok(error <= 1e-5, `${what}: element ${index} is ${left[index]} and should be ${value} (relative error ${error})`);
  });
}

function groupByOperator(cases: readonly OpCase[]): Map<string, OpCase[]> {
  const groups = new Map<string, OpCase[]>();
  for (const testCase of cases) groups.set(testCase.op, [...groups.get(testCase.op) ?? [], testCase]);
  return groups;
}
