import assert from 'node:assert/strict';
import { contextOf } from '../../../src/core/graph/inferShapes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { isBarrier, type AxisRef, type Relation } from '../../../src/core/graph/ops/operator';
import { familyOf } from '../../../src/core/graph/ops/registry';
import { graphOfCase, opCases, titleOf, type OpCase } from './opCases';

/**
 * Truth: ONNX Runtime was run with one index of an input axis disturbed, and the fixtures hold the indices of every output
 * axis that changed. A relation between two axes must name exactly those.
 */
describe('channel flow agrees with what disturbing an input changes', () => {
  const checked = new Map<string, number>();

  it('a relation names the output indices that change', async () => {
    for (const one of opCases) {
      if (!one.flow || one.outputs.some((output) => output.shape.includes(0))) continue;
      const graph = await graphOfCase(one);
      const relations = relationsOf(graph);
      for (const [input, axis, output, target, measured] of one.flow) {
        const predicted = predict(graph, relations, { value: `i${input}`, axis }, { value: `o${output}`, axis: target });
        if (!predicted) continue;
        // Padding may leave an index without effect (a stride jumps over it), never give it a foreign one.
        predicted.forEach((mask, index) => assert.equal(measured[index]! & ~mask, 0, `${titleOf(one)}: i${input} axis ${axis}, index ${index}`));
        assert.deepEqual(measured, predicted, `${titleOf(one)}: i${input} axis ${axis} to o${output} axis ${target}`);
        if (input === 0 && measured.length > 1) checked.set(one.op, (checked.get(one.op) ?? 0) + 1);
      }
    }
    const expected = ['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Relu', 'PRelu', 'Add', 'Mul', 'BatchNormalization', 'InstanceNormalization', 'Softmax', 'Dropout',
      'MaxPool', 'AveragePool', 'GlobalAveragePool', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'Pad', 'Concat', 'Split', 'Slice',
      'Gather', 'Expand', 'Tile', 'Resize', 'ReduceSum', 'ReduceMean', 'ReduceMax'];
    assert.deepEqual(expected.filter((op) => !checked.get(op)), [], 'these operators had no relation to check');
  });

  it('an axis without relation or barrier is summed over, or stretched', async () => {
    for (const one of opCases) {
      if (!one.flow || one.op === 'Shape' || one.op === 'Size') continue;
      const relations = relationsOf(await graphOfCase(one));
      one.inputs.forEach((input, index) => {
        if (!input || input.data) return;
        input.shape.forEach((size, axis) => {
          const own = relations.filter(({ a, b }) => touches(a, `i${index}`, axis) || touches(b, `i${index}`, axis));
          if (own.length || size === 1) return;
          assert.ok(['ReduceSum', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSum'].includes(one.op), `${titleOf(one)}: i${index} axis ${axis}`);
        });
      });
    }
  });

  it('axes that an operator sums over are tied to each other', async () => {
    const conv = await relationsOfCase((one) => one.op === 'Conv' && one.opset >= 18 && group(one) === 1);
    assert.ok(conv.some(({ a, b }) => touches(a, 'i0', 1) && touches(b, 'i1', 1)), 'input channels with the second axis of the weights');
    const gemm = await relationsOfCase((one) => one.op === 'Gemm' && (one.attributes['transB'] as { value: number }).value === 1);
    assert.ok(gemm.some(({ a, b }) => a.value === 'i0' && touches(b, 'i1', 1)), 'features with the second axis of transposed weights');
  });

  it('grouped convolutions lose whole groups or a share of each, depthwise ones any channel', async () => {
    const grouped = await relationsOfCase((one) => one.op === 'Conv' && group(one) === 2 && one.inputs[0]!.shape[1] === 4);
    const inside = grouped.filter((relation) => !isBarrier(relation) && touches(relation.b, 'i0', 1));
    assert.deepEqual(inside.map(({ size, outer = 1, inner = 1 }) => [size, outer, inner]), [[2, 1, 2], [2, 2, 1]]);
    const depthwise = await relationsOfCase((one) => one.op === 'Conv' && group(one) === 3);
    assert.ok(!depthwise.some((relation) => isBarrier(relation) && touches(relation.a, 'i0', 1)));
  });
});

function group(one: OpCase): number {
  return (one.attributes['group'] as { value: number } | undefined)?.value ?? 1;
}

async function relationsOfCase(wanted: (one: OpCase) => boolean): Promise<readonly Relation[]> {
  const found = opCases.find(wanted);
  assert.ok(found, 'the fixtures have no such case');
  return relationsOf(await graphOfCase(found));
}

function relationsOf(graph: ModelGraph): readonly Relation[] {
  return graph.nodes.flatMap((node) => familyOf(node)?.flow?.(node, contextOf(graph)) ?? []);
}

/** For each index of the input axis the output indices as bits; undefined when no relation ties the two. */
function predict(graph: ModelGraph, relations: readonly Relation[], from: AxisRef, to: AxisRef): number[] | undefined {
  const size = (ref: AxisRef): number => contextOf(graph).facts(ref.value).shape![ref.axis]!;
  const ties = relations.filter((relation) => !isBarrier(relation)
    && ((same(relation.a, from) && same(relation.b, to)) || (same(relation.a, to) && same(relation.b, from))));
  if (!ties.length) return undefined;
  const masks = new Array<number>(size(from)).fill(0);
  for (const { a, b, outer = 1, inner = 1, offset = 0 } of ties) {
    for (let index = 0; index < size(a); index++) {
      for (let turn = 0; turn < outer; turn++) {
        for (let part = 0; part < inner; part++) {
          const other = offset + (turn * size(a) + index) * inner + part;
          if (same(a, from)) masks[index]! |= 1 << other;
          else if (other < masks.length && same(b, from)) masks[other]! |= 1 << index;
        }
      }
    }
  }
  return masks;
}

function touches(ref: AxisRef, value: string, axis: number): boolean {
  return ref.value === value && ref.axis === axis;
}

function same(one: AxisRef, two: AxisRef): boolean {
  return touches(one, two.value, two.axis);
}
