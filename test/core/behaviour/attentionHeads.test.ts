import assert from 'node:assert/strict';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { attentionPattern } from '../../../src/core/behaviour/attentionHeads';
import { detailsFor } from '../../../src/core/behaviour/details/registry';
import type { MatrixData } from '../../../src/core/behaviour/details/detailData';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { openModel } from '../../../src/core/formats/registry';
import { int, ints } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { behaviourKinds, openBehaviourKind } from '../support/behaviourKinds';
import { graphOf, int64, node, randomArray, relativeError, seededRandom } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';
import { root } from '../support/openSample';

describe('attention heads', function () {
  this.timeout(30_000);
  const columns = ['attentionEntropy', 'previousTokenShare', 'firstTokenShare'] as const;

  it('entropy and shares are those of PyTorch\'s attention weights', async () => {
    const { x, samples, steps, entropy, previous, first, third } = behaviourKinds.attention;
    const context = await memoryContext(await openBehaviourKind('attention'), { x: float32(x, [samples, steps, 12]) });
    await addBehaviour(context, new Set(columns));
    const group = context.table.groups.find(({ kind }) => kind === 'head')!;
    [entropy, previous, first].forEach((expected, index) => {
      const values = context.table.column(columns[index]!)!.values.subarray(group.firstRow, group.firstRow + 3);
      assert.ok(relativeError(values, expected) < 1e-5, `${columns[index]} ${values}`);
    });
    assert.ok(detailsFor(context.graph, context.table, group).includes(attentionPattern));
    for (const head of [0, 2]) {
      const pattern = await attentionPattern.compute(context, { group, particle: head, sample: 2 }) as MatrixData;
      assert.deepEqual([pattern.rows.length, pattern.columns.length], [7, 7]);
      assert.ok(relativeError(pattern.values, third.slice(head * 49, (head + 1) * 49)) < 1e-5);
    }
  });

  it('weights are found however attention is written: one axis for samples and heads, shared keys, one operator', async () => {
    for (const name of ['merged.script', 'groupedApart.script', 'standardFour.operator', 'fusedChunk.dynamo', 'einsum.dynamo']) {
      const graph = await openModel(await fileSetOf(path.join(root, 'test/fixtures/attention', `${name}.onnx`)));
      const shape = graph.inputs[0]!.shape!.map((size, axis) => size ?? (axis === 0 ? 2 : 5));
      const context = await memoryContext(graph, { [graph.inputs[0]!.name]: randomArray(shape, seededRandom(3)) });
      const group = context.table.groups.find(({ kind }) => kind === 'head')!;
      const pattern = await attentionPattern.compute(context, { group, particle: group.count - 1, sample: 1 }) as MatrixData;
      for (let row = 0; row < pattern.rows.length; row++) {
        const sum = pattern.values.subarray(row * pattern.columns.length, (row + 1) * pattern.columns.length).reduce((all, value) => all + value, 0);
        assert.ok(Math.abs(sum - 1) < 1e-5, `${name}: a row sums to ${sum}`);
      }
      await addBehaviour(context, new Set(columns));
      const entropies = context.table.column('attentionEntropy')!.values.subarray(group.firstRow, group.firstRow + group.count);
      assert.ok(entropies.every((value) => value > 0 && value <= Math.log(pattern.columns.length) + 1e-5), name);
    }
  });

  it('a head that copies the previous token is found, and one that rests on the first, and one that looks everywhere', async () => {
    const context = await memoryContext(await positional(), { x: oneHotPositions(3) });
    await addBehaviour(context, new Set(columns));
    const group = context.table.groups.find(({ kind }) => kind === 'head')!;
    assert.equal(group.count, 3);
    const [entropy, previous, first] = columns.map((name) => context.table.column(name)!.values.subarray(group.firstRow, group.firstRow + 3));
    assert.ok(previous![0]! > 0.95, `copies: ${previous![0]}`);
    assert.ok(first![1]! > 0.95 && previous![1]! < 0.3, `rests: ${first![1]}`);
    assert.ok(Math.abs(entropy![2]! - Math.log(length)) < 1e-4 && Math.abs(previous![2]! - 1 / length) < 1e-4);
    assert.ok(entropy![0]! < 0.3);
  });
});

const length = 6;

/** Three heads of width 6 over one-hot positions: keys are positions, queries what each head wants to see. */
function positional(): Promise<ModelGraph> {
  const width = 6;
  const query = new Float32Array(width * 3 * width);
  for (let position = 0; position < length; position++) {
    // Head 0 asks for the position before, head 1 for the first; head 2 asks for nothing.
    query[position * 3 * width + Math.max(0, position - 1)] = 30;
    query[position * 3 * width + width] = 30;
  }
  const key = new Float32Array(width * 3 * width);
  for (let position = 0; position < length; position++) for (let head = 0; head < 3; head++) key[position * 3 * width + head * width + position] = 1;
  const apart = (name: string): ReturnType<typeof node>[] => [
    node('MatMul', ['x', `${name}.weight`], `${name}p`, {}, name), node('Reshape', [`${name}p`, 'apart'], `${name}r`, {}, name),
    node('Transpose', [`${name}r`], `${name}t`, { perm: ints(name === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3]) }, name),
  ];
  return graphOf({
    inputs: { x: [null, length, width] }, outputs: ['y'],
    nodes: [
      ...apart('q'), ...apart('k'), ...apart('v'), node('MatMul', ['qt', 'kt'], 'scores'), node('Softmax', ['scores'], 'weights', { axis: int(-1) }),
      node('MatMul', ['weights', 'vt'], 'heads'), node('Transpose', ['heads'], 'back', { perm: ints([0, 2, 1, 3]) }),
      node('Reshape', ['back', 'together'], 'joined'), node('MatMul', ['joined', 'out.weight'], 'y', {}, 'out'),
    ],
    weights: {
      'q.weight': float32(query, [width, 3 * width]), 'k.weight': float32(key, [width, 3 * width]), 'v.weight': [width, 3 * width],
      'out.weight': [3 * width, 2], apart: int64([0, 0, 3, width]), together: int64([0, 0, 3 * width]),
    },
  });
}

function oneHotPositions(samples: number): ReturnType<typeof float32> {
  const random = seededRandom(2);
  const values = new Float32Array(samples * length * length);
  for (let sample = 0; sample < samples; sample++) for (let step = 0; step < length; step++) values[(sample * length + step) * length + step] = 0.9 + 0.2 * random();
  return float32(values, [samples, length, length]);
}
