import assert from 'node:assert/strict';
import { int, ints, string } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { coupledRemoval } from '../../../src/core/graph/coupling';
import { removeAxes, take } from '../../../src/core/optimise/removeAxes';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, int64, node, randomArray, relativeError, seededRandom, type NodeSketch } from '../support/graphs';

/**
 * Channels 1 and 4 of six are taken out in front of an operator; flow says which indices of its outputs go with them, and
 * resize brings sizes into line. The smaller model must compute what is left of the original's outputs.
 */
describe('operators follow when channels are taken out in front of them', () => {
  const cases: Record<string, { nodes: readonly NodeSketch[]; outputs?: readonly string[]; weights?: Record<string, readonly number[] | NdArray> }> = {
    'Split by sizes': { nodes: [node('Split', ['a', 'sizes'], ['y', 'z'], { axis: int(1) })], outputs: ['y', 'z'], weights: { sizes: int64([2, 4]) } },
    'Split into equal parts': { nodes: [node('Split', ['a'], ['y', 'z'], { axis: int(1), num_outputs: int(2) })], outputs: ['y', 'z'] },
    'Slice of some channels': {
      nodes: [node('Slice', ['a', 'starts', 'ends', 'axes'], 'y')],
      weights: { starts: int64([2, 1]), ends: int64([-1, 3]), axes: int64([1, 2]) },
    },
    'Slice of other axes': { nodes: [node('Slice', ['a', 'starts', 'ends', 'axes'], 'y')], weights: { starts: int64([1]), ends: int64([3]), axes: int64([2]) } },
    'Pad with channels': { nodes: [node('Pad', ['a', 'pads'], 'y')], weights: { pads: int64([0, 2, 1, 0, 0, 1, 0, 1]) } },
    'Reshape with literal sizes': { nodes: [node('Reshape', ['a', 'target'], 'y')], weights: { target: int64([2, 96]) } },
    'Reshape with 0 and -1': { nodes: [node('Reshape', ['a', 'target'], 'y')], weights: { target: int64([0, -1]) } },
    'Reshape that keeps channels': { nodes: [node('Reshape', ['a', 'target'], 'y')], weights: { target: int64([-1, 6, 16]) } },
    'Flatten and dense': { nodes: [node('Flatten', ['a'], 'f'), node('Gemm', ['f', 'd'], 'y')], weights: { d: [96, 3] } },
    'channels-last flatten': {
      nodes: [node('Transpose', ['a'], 't', { perm: ints([0, 2, 3, 1]) }), node('Reshape', ['t', 'target'], 'y')], weights: { target: int64([2, 96]) },
    },
    'shapes computed at run time': {
      nodes: [
        node('Shape', ['a'], 's', { start: int(0), end: int(1) }), node('Concat', ['s', 'rest'], 'target', { axis: int(0) }), node('Reshape', ['a', 'target'], 'y'),
      ],
      weights: { rest: int64([96]) },
    },
    'Expand': { nodes: [node('Expand', ['a', 'target'], 'y')], weights: { target: int64([1, 6, 4, 4]) } },
    'Tile': { nodes: [node('Tile', ['a', 'times'], 'y')], weights: { times: int64([1, 2, 1, 1]) } },
    'Resize to sizes': {
      nodes: [node('Resize', ['a', '', '', 'sizes'], 'y', { mode: string('nearest') })], weights: { sizes: int64([2, 6, 8, 8]) },
    },
    'depthwise convolution': { nodes: [node('Conv', ['a', 'k'], 'y', { group: int(6) })], weights: { k: [6, 1, 3, 3] } },
    'depthwise convolution with multiplier': { nodes: [node('Conv', ['a', 'k'], 'y', { group: int(6) })], weights: { k: [12, 1, 3, 3] } },
    'Concat with itself': { nodes: [node('Relu', ['a'], 'r'), node('Concat', ['a', 'r'], 'y', { axis: int(1) })] },
    'normalisation, slopes and operands': {
      nodes: [node('BatchNormalization', ['a', 'g', 'b', 'm', 'v'], 'n'), node('PRelu', ['n', 'slope'], 'p'), node('Add', ['p', 'shift'], 'y')],
      weights: { g: [6], b: [6], m: [6], v: { dtype: 'float32', shape: [6], data: Float32Array.of(1, 2, 3, 4, 5, 6) }, slope: [6, 1, 1], shift: [1, 6, 1, 1] },
    },
    'a sum over channels': { nodes: [node('ReduceSum', ['a', 'axes'], 'y', { keepdims: int(0) })], weights: { axes: int64([2, 3]) } },
  };

  for (const [title, { nodes, outputs = ['y'], weights = {} }] of Object.entries(cases)) {
    it(title, async () => {
      const graph = await graphOf({
        inputs: { x: [2, 1, 4, 4] }, outputs, weights: { w: [6, 1, 1], ...weights }, nodes: [node('Mul', ['x', 'w'], 'a'), ...nodes], seed: 9,
      });
      const { removed } = coupledRemoval(graph, [{ ref: { value: 'w', axis: 0 }, indices: [1, 4] }]);
      const smaller = await removeAxes(graph, removed);
      assert.deepEqual(smaller.findings, []);
      const before = await run(graph);
      const after = await run(smaller);
      for (const name of outputs) {
        let expected = before.get(name)!;
        let shrunk = 0;
        for (const { ref, indices } of removed) {
          if (ref.value !== name || !indices.size) continue;
          shrunk++;
          expected = take(expected, ref.axis, Array.from({ length: expected.shape[ref.axis]! }, (_, k) => k).filter((k) => !indices.has(k)));
        }
        assert.equal(shrunk, title === 'Flatten and dense' ? 0 : 1, `${name} shrinks`);
        const actual = after.get(name)!;
        assert.deepEqual(actual.shape, expected.shape);
        // A consumer that sums over the removed features changes in value; there, fitting together is all that can be asked.
        if (shrunk) assert.ok(relativeError(actual.data as Float32Array, expected.data as Float32Array) <= 1e-6, name);
      }
    });
  }
});

async function run(graph: ModelGraph): Promise<Map<string, NdArray>> {
  const engine = await createEngine('auto');
  const program = await engine.compile(graph, ['x'], graph.outputs.map(({ name }) => name));
  return program.run(new Map([['x', randomArray([2, 1, 4, 4], seededRandom(2))]]));
}
