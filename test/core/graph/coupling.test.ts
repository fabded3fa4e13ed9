import assert from 'node:assert';
import { int, ints } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { coupledRemoval } from '../../../src/core/graph/coupling';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { graphOf, int64, node } from '../support/graphs';

const pads = ints([1, 1, 1, 1]);

function removal(graph: ModelGraph, value: string, axis: number, indices: readonly number[]) {
  const { removed, blocked } = coupledRemoval(graph, [{ ref: { value, axis }, indices }]);
  const of = (name: string, at: number): number[] => [...(removed.get({ value: name, axis: at }) ?? [])].sort((a, b) => a - b);
  return { of, reasons: blocked.map(({ reason }) => reason) };
}

describe('coupling: what goes together', () => {
  it('a kernel takes its bias, its normalisation and the next layer\'s input channel along', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 3, 8, 8] }, outputs: ['y'],
      weights: { w1: [6, 3, 3, 3], b1: [6], g: [6], be: [6], m: [6], v: [6], w2: [4, 6, 3, 3] },
      nodes: [
        node('Conv', ['x', 'w1', 'b1'], 'c1', { pads }),
        node('BatchNormalization', ['c1', 'g', 'be', 'm', 'v'], 'n1'),
        node('Relu', ['n1'], 'r1'),
        node('Conv', ['r1', 'w2'], 'y', { pads }),
      ],
    });
    const { of, reasons } = removal(graph, 'c1', 1, [2, 5]);
    for (const name of ['w1', 'b1', 'g', 'be', 'm', 'v']) assert.deepStrictEqual(of(name, 0), [2, 5], name);
    assert.deepStrictEqual(of('w2', 1), [2, 5]);
    assert.deepStrictEqual(of('w2', 0), [], 'the next layer keeps its own kernels');
    assert.deepStrictEqual(reasons, []);
  });

  it('flattening turns a channel into a block, and channels-last flattening into a comb', async () => {
    const weights = { w: [4, 1, 3, 3], d: [4 * 2 * 3, 5] };
    const graph = await graphOf({
      inputs: { x: [null, 1, 4, 5] }, outputs: ['y'], weights,
      nodes: [node('Conv', ['x', 'w'], 'c'), node('Flatten', ['c'], 'f', { axis: int(1) }), node('MatMul', ['f', 'd'], 'y')],
    });
    assert.deepStrictEqual(removal(graph, 'c', 1, [1]).of('d', 0), [6, 7, 8, 9, 10, 11]);

    const last = await graphOf({
      inputs: { x: [null, 1, 4, 5] }, outputs: ['y'], weights: { ...weights, s: int64([-1, 24]) },
      nodes: [
        node('Conv', ['x', 'w'], 'c'), node('Transpose', ['c'], 't', { perm: ints([0, 2, 3, 1]) }),
        node('Reshape', ['t', 's'], 'f'), node('MatMul', ['f', 'd'], 'y'),
      ],
    });
    const comb = removal(last, 'c', 1, [1]);
    assert.deepStrictEqual(comb.of('d', 0), [1, 5, 9, 13, 17, 21]);
    assert.deepStrictEqual(comb.of('c', 2), [], 'rows of pixels stay');
    assert.deepStrictEqual(comb.reasons, []);
  });

  it('a concatenation shifts channels by what stands before them', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 4, 4] }, outputs: ['y'], weights: { a: [3, 2, 1, 1], b: [5, 2, 1, 1], w: [2, 8, 1, 1] },
      nodes: [
        node('Conv', ['x', 'a'], 'ca'), node('Conv', ['x', 'b'], 'cb'),
        node('Concat', ['ca', 'cb'], 'cat', { axis: int(1) }), node('Conv', ['cat', 'w'], 'y'),
      ],
    });
    assert.deepStrictEqual(removal(graph, 'cb', 1, [0, 4]).of('w', 1), [3, 7]);
    assert.deepStrictEqual(removal(graph, 'cb', 1, [0, 4]).of('ca', 1), []);
  });

  it('a residual sum ties both branches', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 4, 4] }, outputs: ['y'], weights: { a: [3, 2, 1, 1], b: [3, 2, 1, 1], w: [2, 3, 1, 1] },
      nodes: [
        node('Conv', ['x', 'a'], 'ca'), node('Conv', ['x', 'b'], 'cb'), node('Add', ['ca', 'cb'], 's'), node('Conv', ['s', 'w'], 'y'),
      ],
    });
    const { of } = removal(graph, 'ca', 1, [1]);
    assert.deepStrictEqual([of('b', 0), of('w', 1)], [[1], [1]]);
  });

  it('a depthwise convolution passes a channel on, with all its copies', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 6, 6] }, outputs: ['y'], weights: { a: [3, 2, 1, 1], d: [6, 1, 3, 3], w: [2, 6, 1, 1] },
      nodes: [node('Conv', ['x', 'a'], 'ca'), node('Conv', ['ca', 'd'], 'cd', { group: int(3) }), node('Conv', ['cd', 'w'], 'y')],
    });
    const { of, reasons } = removal(graph, 'ca', 1, [1]);
    assert.deepStrictEqual([of('d', 0), of('w', 1)], [[2, 3], [2, 3]]);
    assert.deepStrictEqual(reasons, []);
    assert.deepStrictEqual(removal(graph, 'cd', 1, [2]).of('d', 0), [2, 3], 'one copy drags its twin, and the channel with it');
    assert.deepStrictEqual(removal(graph, 'cd', 1, [2]).of('a', 0), [1]);
  });

  it('an output that other layers read on shrinks with them, and the operated graph says so', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 4, 4] }, outputs: ['ca', 'y'], weights: { a: [3, 2, 1, 1], w: [2, 3, 1, 1] },
      nodes: [node('Conv', ['x', 'a'], 'ca'), node('Conv', ['ca', 'w'], 'y')],
    });
    const { removed, blocked } = coupledRemoval(graph, [{ ref: { value: 'ca', axis: 1 }, indices: [1] }]);
    assert.deepStrictEqual(blocked, []);
    const operated = await removeAxes(graph, removed);
    assert.deepStrictEqual(operated.outputs.map(({ shape }) => shape?.[1]), [2, 2]);
    assert.match(operated.findings.map(({ place, message }) => `${place}: ${message}`).join(), /ca: the model's output ca gets smaller/);
  });

  it('says why it stops: outputs, inputs, unknown operators, the last particle', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 6, 6] }, outputs: ['y'], weights: { a: [3, 2, 1, 1], w: [2, 3, 1, 1] },
      nodes: [node('Conv', ['x', 'a'], 'ca'), node('Mystery', ['ca'], 'm'), node('Conv', ['m', 'w'], 'y')],
    });
    assert.match(removal(graph, 'y', 1, [0]).reasons.join(), /model's output y/);
    assert.match(removal(graph, 'a', 1, [0]).reasons.join(), /model's input x/);
    assert.match(removal(graph, 'ca', 1, [0]).reasons.join(), /Mystery/);
    assert.match(removal(graph, 'ca', 1, [0, 1, 2]).reasons.join(), /nothing would be left/);
  });
});
