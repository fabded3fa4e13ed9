import assert from 'node:assert/strict';
import { int, ints } from '../../../src/core/graph/attributes';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, int64, node } from '../support/graphs';

const acts = (group: { acts: readonly { value: string; axis: number }[] }): string[] => group.acts.map(({ value, axis }) => `${value}:${axis}`).sort();
const slices = (group: { slices: readonly { tensor: string; axis: number; role: string }[] }): string[] =>
  group.slices.map(({ tensor, axis, role }) => `${role} ${tensor}:${axis}`).sort();

describe('decompose', () => {
  it('gives kernels their bias, normalisation and pooling, and lets them act behind those', async () => {
    const table = decompose(await graphOf({
      inputs: { x: [null, 1, 8, 8] }, outputs: ['y'],
      weights: {
        w1: [4, 1, 3, 3], b1: [4], gamma: [4], beta: [4], mean: [4], variance: [4], w2: [32, 10], b2: [10], target: int64([0, -1]), extra: [4, 1, 1],
      },
      nodes: [
        node('Conv', ['x', 'w1', 'b1'], 'c', { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) }, 'conv'),
        node('Add', ['c', 'extra'], 'e', {}, 'extraBias'),
        node('BatchNormalization', ['e', 'gamma', 'beta', 'mean', 'variance'], 'n', {}, 'norm'),
        node('Sigmoid', ['n'], 's', {}, 'swish'),
        node('Mul', ['n', 's'], 'a', {}, 'swish'),
        node('MaxPool', ['a'], 'p', { kernel_shape: ints([2, 2]), strides: ints([4, 2]) }, 'pool'),
        node('Reshape', ['p', 'target'], 'f', {}, 'flatten'),
        node('MatMul', ['f', 'w2'], 'm', {}, 'fc'),
        node('Add', ['m', 'b2'], 'y', {}, 'fc'),
      ],
    }));
    assert.deepEqual(table.groups.map(({ layer, kind, count, firstRow }) => [layer, kind, count, firstRow]), [['conv', 'kernel', 4, 0], ['fc', 'neuron', 10, 4]]);
    const [conv, fc] = table.groups;
    assert.deepEqual(conv!.producer, { value: 'c', axis: 1 });
    assert.deepEqual(acts(conv!), ['p:1']);
    assert.deepEqual(slices(conv!), [
      'bias b1:0', 'bias extra:0', 'norm beta:0', 'norm gamma:0', 'norm mean:0', 'norm variance:0', 'weight w1:0',
    ]);
    assert.deepEqual(acts(fc!), ['y:1']);
    assert.deepEqual(slices(fc!), ['bias b2:0', 'weight w2:1']);
    assert.equal(table.id(5), 'fc/neuron:1');
  });

  it('stops at a residual sum and acts on every branch that mixes', async () => {
    const table = decompose(await graphOf({
      inputs: { x: [null, 4, 8, 8] }, outputs: ['y'], weights: { w1: [4, 4, 1, 1], w2: [4, 4, 1, 1], w3: [2, 4, 1, 1] },
      nodes: [
        node('Conv', ['x', 'w1'], 'a', {}, 'one'),
        node('Relu', ['a'], 'r', {}, 'relu'),
        node('Conv', ['r', 'w2'], 'b', {}, 'two'),
        node('Add', ['a', 'b'], 's', {}, 'sum'),
        node('Conv', ['s', 'w3'], 'y', {}, 'three'),
      ],
    }));
    assert.deepEqual(table.groups.map((group) => [group.layer, ...acts(group)]), [['one', 'a:1', 'r:1'], ['two', 'b:1'], ['three', 'y:1']]);
  });

  it('follows a channel through transposes, depthwise kernels (which keep their own weights) and spatial sums', async () => {
    const table = decompose(await graphOf({
      inputs: { x: [null, 8, 8, 3] }, outputs: ['y'],
      weights: { w: [5, 3, 3, 3], d: [5, 1, 3, 3], dense: [5, 2], axes: int64([1, 2]) },
      nodes: [
        node('Transpose', ['x'], 't', { perm: ints([0, 3, 1, 2]) }, 'conv'),
        node('Conv', ['t', 'w'], 'c', {}, 'conv'),
        node('Conv', ['c', 'd'], 'e', { group: int(5) }, 'depthwise'),
        node('Transpose', ['e'], 'u', { perm: ints([0, 2, 3, 1]) }, 'depthwise'),
        node('Relu', ['u'], 'r', {}, 'relu'),
        node('ReduceSum', ['r', 'axes'], 'g', { keepdims: int(0) }, 'pool'),
        node('MatMul', ['g', 'dense'], 'y', {}, 'fc'),
      ],
    }));
    assert.deepEqual(table.groups.map((group) => [group.layer, group.kind, group.count, ...acts(group), ...slices(group)]), [
      ['conv', 'kernel', 5, 'g:1', 'weight w:0'],
      ['depthwise', 'kernel', 5, 'g:1', 'weight d:0'],
      ['fc', 'neuron', 2, 'y:1', 'weight dense:1'],
    ]);
  });

  it('takes shared weights once, and numbers a second operator with particles in one layer', async () => {
    const table = decompose(await graphOf({
      inputs: { x: [null, 3], z: [null, 3] }, outputs: ['y'], weights: { w: [3, 4], v: [4, 2], u: [2, 2] },
      nodes: [
        node('MatMul', ['x', 'w'], 'a', {}, 'tower'),
        node('MatMul', ['z', 'w'], 'b', {}, 'tower'),
        node('Add', ['a', 'b'], 's', {}, 'sum'),
        node('MatMul', ['s', 'v'], 'h', {}, 'head'),
        node('Relu', ['h'], 'r', {}, 'head'),
        node('MatMul', ['r', 'u'], 'y', {}, 'head'),
      ],
    }));
    assert.deepEqual(table.groups.map((group) => [group.layer, ...acts(group)]), [['tower', 'a:1', 'b:1'], ['head', 'r:1'], ['head.1', 'y:1']]);
  });
});
