import assert from 'node:assert/strict';
import { ints } from '../../../src/core/graph/attributes';
import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine } from '../../../src/core/graph/engine';
import { GraphOnGraph } from '../../../src/core/graph/graphBuilder';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { meanSquaredError } from '../../../src/core/train/losses';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, node } from '../support/graphs';

const array = (shape: readonly number[], ...values: number[]): NdArray => ({ dtype: 'float32', shape, data: Float32Array.from(values) });

describe('differentiate', () => {
  let engine: Engine;
  before(async () => {
    engine = await createEngine('auto', { threads: 1 });
  });

  async function run(graph: ModelGraph, feeds: Readonly<Record<string, NdArray>>, fetch: string): Promise<{ shape: readonly number[]; data: number[] }> {
    const program = await engine.compile(graph, Object.keys(feeds), [fetch]);
    try {
      const result = (await program.run(new Map(Object.entries(feeds)))).get(fetch)!;
      return { shape: result.shape, data: Array.from(result.data as Float32Array) };
    } finally {
      await program.dispose();
    }
  }

  it('a value that is read twice gets the sum of what flows into it', async () => {
    // y = x² + x, so that its slope is 2x + 1
    const graph = await graphOf({ inputs: { x: [null] }, outputs: ['y'], nodes: [node('Mul', ['x', 'x'], 's'), node('Add', ['s', 'x'], 'y')], weights: {} });
    const made = await differentiate(graph, { of: 'y', withRespectTo: ['x'] });
    assert.deepEqual((await run(made.graph, { x: array([3], 1, -2, 0.5) }, made.gradients.get('x')!)).data, [3, -3, 2]);
  });

  it('whether an open size was stretched is found out when the model runs', async () => {
    const graph = await graphOf({ inputs: { a: [null, 2], b: [null, 2] }, outputs: ['y'], nodes: [node('Mul', ['a', 'b'], 'y')], weights: {} });
    const made = await differentiate(graph, { of: 'y', withRespectTo: ['a', 'b'] });
    const a = array([3, 2], 1, 2, 3, 4, 5, 6);
    assert.deepEqual(await run(made.graph, { a, b: array([1, 2], 1, 1) }, made.gradients.get('b')!), { shape: [1, 2], data: [9, 12] });
    assert.deepEqual(await run(made.graph, { a, b: array([3, 2], 1, 1, 1, 1, 1, 1) }, made.gradients.get('b')!), { shape: [3, 2], data: [1, 2, 3, 4, 5, 6] });
  });

  it('where sizes of one input must agree, nothing is left to find out', async () => {
    const graph = await graphOf({ inputs: { x: [null, 3] }, outputs: ['y'], nodes: [node('Relu', ['x'], 'r'), node('Add', ['r', 'x'], 'y')], weights: {} });
    const { graph: made } = await differentiate(graph, { of: 'y', withRespectTo: ['x'] });
    assert.ok(!made.nodes.some(({ op }) => op === 'ReduceSum' || op === 'NonZero'), made.nodes.map(({ op }) => op).join());
  });

  it('an activation in the middle counts by itself and on the way to what is before it', async () => {
    const graph = await graphOf({ inputs: { x: [null, 2] }, outputs: ['y'], nodes: [node('Exp', ['x'], 'e'), node('Mul', ['e', 'e'], 'y')], weights: {} });
    const made = await differentiate(graph, { of: 'y', withRespectTo: ['e', 'x'], keepOutputs: true });
    assert.deepEqual(made.graph.outputs.map(({ name }) => name), [made.gradients.get('e'), made.gradients.get('x'), 'y']);
    const x = array([1, 2], 0, Math.log(3));
    const close = (found: number[], wanted: number[]): void => wanted.forEach((value, at) => assert.ok(Math.abs(found[at]! - value) < 1e-5, `${found.join()}`));
    close((await run(made.graph, { x }, made.gradients.get('e')!)).data, [2, 6]);
    close((await run(made.graph, { x }, made.gradients.get('x')!)).data, [2, 18]);
  });

  it('what nothing depends on has a gradient of zeros; names are the same each time', async () => {
    const graph = await graphOf({ inputs: { x: [null, 2], u: [null] }, outputs: ['y'], nodes: [node('Tanh', ['x'], 'y')], weights: { w: [2, 3] } });
    const question = { of: 'y', withRespectTo: ['x', 'w', 'u'] };
    const made = await differentiate(graph, question);
    assert.deepEqual(await run(made.graph, { x: array([1, 2], 1, 1) }, made.gradients.get('w')!), { shape: [2, 3], data: [0, 0, 0, 0, 0, 0] });
    assert.deepEqual(await run(made.graph, { u: array([2], 1, 1) }, made.gradients.get('u')!), { shape: [2], data: [0, 0] });
    const again = await differentiate(graph, question);
    assert.deepEqual(again.graph.nodes, made.graph.nodes);
  });

  it('each logit has a gradient of its own, for every sample of the batch', async () => {
    const graph = await graphOf({ inputs: { x: [null, 2] }, outputs: ['y'], nodes: [node('MatMul', ['x', 'w'], 'y')], weights: { w: array([2, 3], 1, 2, 3, 4, 5, 6) } });
    const made = await differentiate(graph, { of: { value: 'y', index: 1 }, withRespectTo: ['x'] });
    assert.deepEqual((await run(made.graph, { x: array([2, 2], 0, 0, 0, 0) }, made.gradients.get('x')!)).data, [2, 5, 2, 5]);
    const seeded = await differentiate(graph, { of: 'y', withRespectTo: ['x'], seed: 'incoming' });
    const incoming = array([2, 3], 1, 0, 0, 0, 0, 1);
    assert.deepEqual((await run(seeded.graph, { x: array([2, 2], 0, 0, 0, 0), [seeded.seed!]: incoming }, seeded.gradients.get('x')!)).data, [1, 4, 3, 6]);
  });

  it('half precision keeps its type', async () => {
    const half = await graphOf({ inputs: { x: [null, 2] }, outputs: ['y'], nodes: [node('Sigmoid', ['x'], 'y')], weights: {} });
    const typed = (info: { name: string }): object => ({ ...info, dtype: 'float16' });
    const graph = { ...half, inputs: half.inputs.map(typed), outputs: half.outputs.map(typed), values: new Map([...half.values].map(([name, info]) => [name, typed(info)])) } as ModelGraph;
    const made = await differentiate(graph, { of: 'y', withRespectTo: ['x'] });
    const program = await engine.compile(made.graph, ['x'], [made.gradients.get('x')!]);
    const result = (await program.run(new Map([['x', array([1, 2], 0, 0)]]))).get(made.gradients.get('x')!)!;
    await program.dispose();
    assert.equal(result.dtype, 'float16');
    assert.deepEqual([...result.data], [0x3400, 0x3400]); // a quarter
  });

  it('the mean squared error goes back as 2 (predicted - target) / count', async () => {
    const base = await graphOf({ inputs: { x: [null, 2] }, outputs: ['y'], nodes: [node('Transpose', ['x'], 'y', { perm: ints([0, 1]) })], weights: {} });
    const builder = new GraphOnGraph(base);
    const target = builder.input('target', { dtype: 'float32', shape: [null, 2] });
    const loss = meanSquaredError(builder, 'y', target);
    const made = await differentiate(await builder.finish([loss]), { of: loss, withRespectTo: ['x'] });
    const found = await run(made.graph, { x: array([2, 2], 1, 2, 3, 4), target: array([2, 2], 0, 0, 1, 8) }, made.gradients.get('x')!);
    assert.deepEqual(found.data, [0.5, 1, 1, -2]);
  });
});
