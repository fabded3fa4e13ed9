import assert from 'node:assert/strict';
import { float, int, ints, string } from '../../../src/core/graph/attributes';
import type { NdArray } from '../../../src/core/graph/tensor';
import { couplingGroups } from '../../../src/core/optimise/groups';
import { removable, removalOf } from '../../../src/core/optimise/removal';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, int64, node, type NodeSketch } from '../support/graphs';

const pads = ints([1, 1, 1, 1]);

interface Case {
  readonly nodes: readonly NodeSketch[];
  readonly weights?: Readonly<Record<string, readonly number[] | NdArray>>;
  readonly inputs?: Readonly<Record<string, readonly (number | null)[]>>;
  readonly reason: string;
}

/** A convolution `first` makes c: [N, 4, 6, 6]; `last` reads y (4 channels) and makes the output. */
const behindConvolution: Readonly<Record<string, Case>> = {
  'layer normalisation': {
    nodes: [node('LayerNormalization', ['c', 'g'], 'y', { axis: int(1) }, 'norm')], weights: { g: [4, 6, 6] },
    reason: 'its channels reach norm, where they must stay: LayerNormalization mixes the elements of this axis',
  },
  'a local response normalisation': {
    nodes: [node('LRN', ['c'], 'y', { size: int(3), alpha: float(1), beta: float(1), bias: float(1) }, 'norm')],
    reason: 'its channels reach norm, where they must stay: LRN mixes the elements of this axis',
  },
  'softmax': {
    nodes: [node('Softmax', ['c'], 'y', { axis: int(1) }, 'weights')],
    reason: 'its channels reach weights, where they must stay: Softmax weighs the elements of this axis against each other',
  },
  'a mean over channels': {
    nodes: [node('ReduceMean', ['c', 'axis'], 'm', {}, 'mean'), node('Sub', ['c', 'm'], 'y', {}, 'centre')], weights: { axis: int64([1]) },
    reason: 'its channels reach mean, where they must stay: ReduceMean takes all elements of this axis together',
  },
  'an operator that nobody knows': {
    nodes: [node('Mystery', ['c'], 'z', {}, 'odd'), node('Add', ['c', 'z'], 'y', {}, 'sum')],
    reason: 'its channels reach odd, where they must stay: Mystery (odd) is an operator through which Particlize cannot follow channels',
  },
  'a sum with the input': {
    nodes: [node('Add', ['c', 'x'], 'y', {}, 'sum')],
    reason: "its channels are tied to the model's input x",
  },
  'a slice with steps': {
    nodes: [node('Slice', ['c', 'from', 'to', 'axis', 'step'], 'h', {}, 'every'), node('Concat', ['h', 'h'], 'y', { axis: int(1) }, 'twice')],
    weights: { from: int64([0]), to: int64([4]), axis: int64([1]), step: int64([2]) },
    reason: 'its channels reach every, where they must stay: a slice with steps, or one only known when the model runs, picks its elements by number',
  },
  'picking channels by number': {
    nodes: [node('Gather', ['c', 'order'], 'y', { axis: int(1) }, 'shuffle')], weights: { order: int64([2, 0, 3, 1]) },
    reason: 'its channels reach shuffle, where they must stay: Gather picks its elements by number',
  },
  'reflected channels': {
    nodes: [node('Pad', ['c', 'sizes'], 'p', { mode: string('reflect') }, 'pad'), node('Slice', ['p', 'from', 'to', 'axis'], 'y', {}, 'cut')],
    weights: { sizes: int64([0, 1, 0, 0, 0, 1, 0, 0]), from: int64([1]), to: int64([5]), axis: int64([1]) },
    reason: 'its channels reach pad, where they must stay: padding repeats or cuts elements of this axis',
  },
};

const others: Readonly<Record<string, Case & { readonly layer: string; readonly output: string }>> = {
  'the output layer': {
    layer: 'dense', output: 'y', inputs: { x: [null, 3] }, weights: { w: [3, 2] }, nodes: [node('MatMul', ['x', 'w'], 'y', {}, 'dense')],
    reason: "it is the model's output y",
  },
  'a recurrent layer with peepholes': {
    layer: 'lstm', output: 'y', inputs: { x: [4, null, 3] }, weights: { w: [1, 12, 3], r: [1, 12, 3], b: [1, 24], p: [1, 9], d: [3, 2], one: int64([1]) },
    nodes: [
      node('LSTM', ['x', 'w', 'r', 'b', '', '', '', 'p'], 'h', { hidden_size: int(3) }, 'lstm'), node('Squeeze', ['h', 'one'], 's', {}, 'lstm'),
      node('MatMul', ['s', 'd'], 'y', {}, 'dense'),
    ],
    reason: 'LSTM has peephole weights, whose units Particlize does not remove',
  },
  'a grouped convolution behind the input': {
    layer: 'grouped', output: 'y', inputs: { x: [null, 4, 6, 6] }, weights: { w: [2, 2, 1, 1], v: [3, 2, 1, 1] },
    nodes: [node('Conv', ['x', 'w'], 'g', { group: int(2) }, 'grouped'), node('Conv', ['g', 'v'], 'y', {}, 'last')],
    reason: "its channels are tied to the model's input x",
  },
  'an embedding tied to the residual stream of a normalised network': {
    layer: 'embedding', output: 'y', inputs: { x: [null, 5] }, weights: { e: [7, 6], g: [6], w: [6, 6], d: [6, 2] },
    nodes: [
      node('Cast', ['x'], 'i', { to: int(7) }, 'tokens'), node('Gather', ['e', 'i'], 'h', {}, 'embedding'), node('LayerNormalization', ['h', 'g'], 'n', {}, 'norm'),
      node('MatMul', ['n', 'w'], 'm', {}, 'mix'), node('Add', ['h', 'm'], 's', {}, 'sum'), node('MatMul', ['s', 'd'], 'y', {}, 'head'),
    ],
    reason: 'its channels reach norm, where they must stay: LayerNormalization mixes the elements of this axis',
  },
};

describe('refusals say the true reason, in words', () => {
  for (const [title, { nodes, weights = {}, reason }] of Object.entries(behindConvolution)) {
    it(title, async () => {
      const graph = await graphOf({
        inputs: { x: [null, 4, 6, 6] }, outputs: ['out'], weights: { w: [4, 4, 3, 3], v: [3, 4, 1, 1], ...weights },
        nodes: [node('Conv', ['x', 'w'], 'c', { pads }, 'first'), ...nodes, node('Conv', ['y', 'v'], 'out', {}, 'last')],
      });
      const table = decompose(graph);
      assert.equal(removable(graph, table).get('first')?.reason, reason);
      assert.equal(couplingGroups(graph, table).groupOf(0).stays, reason, 'groups say the same');
    });
  }

  for (const [title, { layer, output, inputs = {}, nodes, weights = {}, reason }] of Object.entries(others)) {
    it(title, async () => {
      const graph = await graphOf({ inputs, outputs: [output], weights, nodes });
      const table = decompose(graph);
      assert.equal(removable(graph, table).get(layer)?.reason, reason);
      assert.equal(couplingGroups(graph, table).groupOf(table.group(layer)!.firstRow).stays, reason, 'groups say the same');
    });
  }

  it('all particles of a layer, and the only one', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 3] }, outputs: ['y'], weights: { a: [3, 1], b: [1, 4], c: [4, 2] },
      nodes: [node('MatMul', ['x', 'a'], 'one', {}, 'one'), node('MatMul', ['one', 'b'], 'four', {}, 'four'), node('MatMul', ['four', 'c'], 'y', {}, 'last')],
    });
    const table = decompose(graph);
    assert.equal(removable(graph, table).get('one')!.reason, 'it is the only particle of its layer');
    assert.deepEqual(removalOf(graph, table, new Set([1, 2, 3, 4])).refusals, [{ layer: 'four', reason: 'nothing would be left of it' }]);
    assert.deepEqual(removalOf(graph, table, new Set([1, 2, 3])).refusals, []);
  });
});
