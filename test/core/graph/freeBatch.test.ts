import assert from 'node:assert/strict';
import { int, ints } from '../../../src/core/graph/attributes';
import { freeBatch } from '../../../src/core/graph/freeBatch';
import { sliceGraph } from '../../../src/core/graph/subgraph';
import { graphOf, int64, node } from '../support/graphs';

const reasons = (graph: { findings: readonly { message: string }[] }): string => graph.findings.map(({ message }) => message).join('; ');

describe('freeBatch', () => {
  it('frees input, reshape and everything behind them', async () => {
    const graph = freeBatch(await graphOf({
      inputs: { x: [1, 1, 8, 8] }, outputs: ['y'], weights: { w: [4, 1, 3, 3], target: int64([1, 144]), d: [144, 10], grown: int64([1, 10]) },
      nodes: [
        node('Conv', ['x', 'w'], 'c'), node('Reshape', ['c', 'target'], 'f'), node('MatMul', ['f', 'd'], 'm'), node('Expand', ['m', 'grown'], 'y'),
      ],
    }));
    assert.equal(reasons(graph), '');
    assert.deepEqual(graph.inputs[0]!.shape, [null, 1, 8, 8]);
    assert.deepEqual(graph.values.get('f')!.shape, [null, 144]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 10]);
    const target = await graph.tensors.get(graph.nodes[1]!.inputs[1]!)!.read();
    assert.deepEqual([...target.data].map(Number), [-1, 144]);
    assert.deepEqual(graph.layers.map((layer) => layer.outputShape?.[0]), [null, null, null, null]);
  });

  it('copies the batch where -1 is taken already', async () => {
    const graph = freeBatch(await graphOf({
      inputs: { x: [1, 4, 2, 2] }, outputs: ['y'], weights: { target: int64([1, -1]) }, nodes: [node('Reshape', ['x', 'target'], 'y')],
    }));
    const target = await graph.tensors.get(graph.nodes[0]!.inputs[1]!)!.read();
    assert.deepEqual([...target.data].map(Number), [0, -1]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 16]);
  });

  const refused: Record<string, Parameters<typeof graphOf>[0]> = {
    'a softmax over the batch': { inputs: { x: [1, 4] }, outputs: ['y'], weights: {}, nodes: [node('Softmax', ['x'], 'y', { axis: int(0) })] },
    'a mean over everything': { inputs: { x: [1, 4] }, outputs: ['y'], weights: {}, nodes: [node('ReduceMean', ['x'], 'y')] },
    'a transpose that moves the batch': { inputs: { x: [1, 4] }, outputs: ['y'], weights: {}, nodes: [node('Transpose', ['x'], 'y', { perm: ints([1, 0]) })] },
    'products between samples': {
      inputs: { x: [1, 4] }, outputs: ['y'], weights: {},
      nodes: [node('Transpose', ['x'], 't'), node('MatMul', ['x', 't'], 'y')],
    },
    'an unknown operator': { inputs: { x: [1, 4] }, outputs: ['y'], weights: {}, nodes: [node('Wobble', ['x'], 'y')] },
    'the picking of one sample': {
      inputs: { x: [1, 4] }, outputs: ['y'], weights: { first: int64([0]) }, nodes: [node('Gather', ['x', 'first'], 'y')],
    },
    'inputs of different sizes': { inputs: { x: [1, 4], z: [3, 4] }, outputs: ['y'], weights: {}, nodes: [node('Add', ['x', 'z'], 'y')] },
  };
  for (const [what, sketch] of Object.entries(refused)) {
    it(`leaves the batch alone when there is ${what}, and says so`, async () => {
      const graph = freeBatch(await graphOf(sketch));
      assert.equal(graph.inputs[0]!.shape![0], 1);
      assert.match(reasons(graph), /only takes the batch that its file fixes: /);
    });
  }

  it('a model without a fixed batch stays the same object', async () => {
    const graph = await graphOf({ inputs: { x: [null, 4] }, outputs: ['y'], weights: {}, nodes: [node('Relu', ['x'], 'y')] });
    assert.equal(freeBatch(graph), graph);
  });
});

describe('sliceGraph', () => {
  const sketch = {
    inputs: { x: [null, 4], z: [null, 4] }, outputs: ['y'], weights: { w: [4, 4], v: [4, 2] },
    nodes: [node('MatMul', ['x', 'w'], 'a'), node('Relu', ['a'], 'r'), node('Add', ['r', 'z'], 's'), node('MatMul', ['s', 'v'], 'y')],
  };

  it('keeps what lies between feeds and fetches, and nothing else', async () => {
    const part = sliceGraph(await graphOf(sketch), ['r', 'z'], ['s', 'y']);
    assert.deepEqual(part.nodes.map(({ op }) => op), ['Add', 'MatMul']);
    assert.deepEqual([...part.tensors.keys()], ['v']);
    assert.deepEqual(part.inputs.map(({ name, shape }) => [name, shape]), [['r', [null, 4]], ['z', [null, 4]]]);
    assert.deepEqual(part.outputs.map(({ name }) => name), ['s', 'y']);
  });

  it('lets a weight be fed', async () => {
    const part = sliceGraph(await graphOf(sketch), ['x', 'w'], ['a']);
    assert.deepEqual([...part.tensors.keys()], []);
    assert.deepEqual(part.inputs[1]!.shape, [4, 4]);
  });

  it('names the input that is missing, and a value that does not exist', async () => {
    const graph = await graphOf(sketch);
    assert.throws(() => sliceGraph(graph, ['x'], ['y']), /layer s: it needs the model's input 'z', which is not given/);
    assert.throws(() => sliceGraph(graph, ['x'], ['nowhere']), /no value 'nowhere'/);
  });
});
