import assert from 'node:assert/strict';
import { float, int, ints, string } from '../../../src/core/graph/attributes';
import { finishGraph, type GraphDraft } from '../../../src/core/graph/finishGraph';
import type { Attribute, GraphNode, ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32, asNumbers, fromFloat32 } from '../../../src/core/graph/numeric';
import { tensorOf } from '../../../src/core/graph/tensor';
import { graphOf, int64, node } from '../support/graphs';
import { arrayOf } from './opCases';

function draftOf(opset: number, nodes: readonly GraphNode[], more: Partial<GraphDraft> = {}): GraphDraft {
  return {
    format: 'test', producer: '', opset, nodes, findings: [], origin: undefined, tensors: new Map(),
    inputs: [{ name: 'x', dtype: 'float32', shape: [null, 3, 4, 4] }], outputs: [{ name: 'y' }],
    layers: [{ name: 'layer', type: 'x', nodes: nodes.map(({ name }) => name), tensors: [] }], ...more,
  };
}

function sketch(op: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}, output = 'y', name = 'n'): GraphNode {
  return { name, op, domain: '', inputs, outputs: [output], attributes, layer: 'layer' };
}

describe('old operators come out in the form of set 18', () => {
  const form = async (opset: number, one: GraphNode, more?: Partial<GraphDraft>): Promise<{ graph: ModelGraph; ops: string[] }> => {
    const graph = await finishGraph(draftOf(opset, [one], more));
    assert.equal(graph.opset, 18);
    assert.equal(graph.nodes.at(-1)!.name, 'n');
    assert.deepEqual(graph.layers[0]!.nodes, graph.nodes.map(({ name }) => name));
    return { graph, ops: graph.nodes.map(({ op }) => op) };
  };
  const contents = async (graph: ModelGraph, input: number): Promise<number[]> => asNumbers(await graph.tensors.get(graph.nodes.at(-1)!.inputs[input]!)!.read());

  it('attributes that became inputs', async () => {
    const { graph } = await form(7, sketch('Reshape', ['x'], { shape: ints([0, -1]) }));
    assert.deepEqual(await contents(graph, 1), [0, -1]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 48]);
    const clip = (await form(6, sketch('Clip', ['x'], { max: float(6) }))).graph;
    assert.equal(clip.nodes[0]!.inputs[1], '');
    assert.deepEqual(await contents(clip, 2), [6]);
    assert.deepEqual(clip.nodes[0]!.attributes, {});
    assert.deepEqual(await contents((await form(11, sketch('ReduceMean', ['x'], { axes: ints([2, 3]) }))).graph, 1), [2, 3]);
  });

  it('softmax over everything behind an axis goes through a matrix', async () => {
    assert.deepEqual((await form(11, sketch('Softmax', ['x'], { axis: int(1) }))).ops, ['Shape', 'Flatten', 'Softmax', 'Reshape']);
    const last = await form(11, sketch('Softmax', ['x'], { axis: int(3) }));
    assert.deepEqual(last.ops, ['Softmax']);
    assert.deepEqual(last.graph.nodes[0]!.attributes['axis'], int(3));
    // One channel of size 1 behind the axis changes nothing.
    const single = await form(11, sketch('Softmax', ['x']), { inputs: [{ name: 'x', dtype: 'float32', shape: [null, 3, 1, 1] }] });
    assert.deepEqual(single.graph.nodes[0]!.attributes['axis'], int(1));
  });

  it('operands that began at a named axis get the axes behind it', async () => {
    const tensors = new Map([['b', tensorOf('b', arrayOf('float32', [3], [1, 2, 3]))]]);
    const { graph, ops } = await form(6, sketch('Add', ['x', 'b'], { broadcast: int(1), axis: int(1) }), { tensors });
    assert.deepEqual(ops, ['Unsqueeze', 'Add']);
    assert.deepEqual(graph.values.get(graph.nodes[1]!.inputs[1]!)!.shape, [3, 1, 1]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 3, 4, 4]);
    assert.equal((await form(6, sketch('PRelu', ['x', 'b']), { tensors })).ops[0], 'Unsqueeze');
  });

  it('Upsample becomes Resize', async () => {
    const { graph } = await form(7, sketch('Upsample', ['x'], { mode: string('nearest'), scales: { type: 'floats', value: [1, 1, 2, 2] } }));
    assert.equal(graph.nodes[0]!.op, 'Resize');
    assert.deepEqual(graph.nodes[0]!.attributes['coordinate_transformation_mode'], string('asymmetric'));
    assert.deepEqual(graph.outputs[0]!.shape, [null, 3, 8, 8]);
  });
});

describe('shape arithmetic', () => {
  it('x.view(x.size(0), -1) resolves with an unknown batch', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 16, 5, 5] }, outputs: ['y'], weights: { zero: { dtype: 'int64', shape: [], data: BigInt64Array.of(0n) }, axes: int64([0]), rest: int64([-1]) },
      nodes: [
        node('Shape', ['x'], 's'), node('Gather', ['s', 'zero'], 'g'), node('Unsqueeze', ['g', 'axes'], 'u'),
        node('Concat', ['u', 'rest'], 't', { axis: int(0) }), node('Reshape', ['x', 't'], 'y'),
      ],
    });
    assert.deepEqual(graph.constants.get('t'), [null, -1]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 400]);
  });

  it('products of sizes resolve too', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 16, 5, 5] }, outputs: ['y'], weights: { one: int64([1]), end: int64([4]), zero: int64([0]), batch: int64([0]) },
      nodes: [
        node('Shape', ['x'], 's'), node('Slice', ['s', 'one', 'end', 'zero'], 'tail'), node('ReduceProd', ['tail', 'zero'], 'p', { keepdims: int(1) }),
        node('Slice', ['s', 'zero', 'one', 'zero'], 'head'), node('Concat', ['head', 'p'], 't', { axis: int(0) }), node('Reshape', ['x', 't'], 'y'),
      ],
    });
    assert.deepEqual(graph.outputs[0]!.shape, [null, 400]);
  });
});

describe('what a draft may hold', () => {
  it('nodes in any order', async () => {
    const graph = await finishGraph(draftOf(18, [sketch('Relu', ['a'], {}, 'y', 'second'), sketch('Neg', ['x'], {}, 'a', 'first')]));
    assert.deepEqual(graph.nodes.map(({ name }) => name), ['first', 'second']);
  });

  it('no circles and no gaps', async () => {
    await assert.rejects(finishGraph(draftOf(18, [sketch('Add', ['x', 'y'])])), /layer layer \(Add\): its input 'y' depends on its own output/);
    await assert.rejects(finishGraph(draftOf(18, [sketch('Relu', ['gone'])])), /it reads 'gone', which nothing in the file makes/);
  });

  it('unknown operators and wrong claims become findings, and claims fill what is open', async () => {
    const graph = await finishGraph(draftOf(18, [sketch('Wobble', ['x'], {}, 'w', 'wobble'), sketch('Relu', ['x'])], {
      declared: new Map([['w', { name: 'w', dtype: 'float32', shape: [null, 7] }], ['y', { name: 'y', shape: [5, 9, 4, 4] }]]),
    }));
    assert.deepEqual(graph.values.get('w')!.shape, [null, 7]);
    assert.deepEqual(graph.outputs[0]!.shape, [null, 3, 4, 4]);
    assert.deepEqual(graph.findings.map(({ severity, place }) => [severity, place]), [['info', 'layer'], ['warning', 'layer']]);
    assert.match(graph.findings[0]!.message, /^opaque: Wobble/);
    assert.match(graph.findings[1]!.message, /says that y is \[5, 9, 4, 4\], but Relu makes it \[\?, 3, 4, 4\]/);
  });

  it('an operator whose inputs do not fit is a finding, not a crash', async () => {
    const tensors = new Map([['w', tensorOf('w', arrayOf('float32', [2, 5, 3, 3]))]]);
    const graph = await finishGraph(draftOf(18, [sketch('Conv', ['x', 'w'])], { tensors }));
    assert.match(graph.findings[0]!.message, /the input has 3 channels, the weights are for 5/);
    assert.equal(graph.outputs[0]!.shape, undefined);
  });
});

describe('small floats', () => {
  it('decode as IEEE 754 and the FP8 formats say', () => {
    assert.deepEqual([...asFloat32(arrayOf('float16', [6], [0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x3555]))], [1, -2, 2 ** -24, 65504, Infinity, Math.fround(0.333251953125)]);
    assert.deepEqual([...asFloat32(arrayOf('bfloat16', [3], [0x3f80, 0xc040, 0x7f80]))], [1, -3, Infinity]);
    assert.deepEqual([...asFloat32(arrayOf('float8e4m3fn', [4], [0x38, 0x7e, 0x01, 0x7f]))], [1, 448, 2 ** -9, NaN]);
    assert.deepEqual([...asFloat32(arrayOf('float8e5m2', [3], [0x3c, 0x7b, 0x7c]))], [1, 57344, Infinity]);
  });

  it('come back from float32 bit by bit', () => {
    const bits = Uint16Array.from({ length: 0x7c00 }, (_, index) => index);
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const values = asFloat32({ dtype, shape: [bits.length], data: bits });
      assert.deepEqual(fromFloat32(values, [bits.length], dtype).data, bits);
    }
    const halves = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, -0);
    assert.deepEqual([...asFloat32(fromFloat32(halves, [5], 'float16'))], [1, 1 + 2 * 2 ** -10, 65504, Infinity, -0]);
  });
});
