import assert from 'node:assert/strict';
import { float, int, ints, string } from '../../../src/core/graph/attributes';
import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine } from '../../../src/core/graph/engine';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { Attribute, ModelGraph } from '../../../src/core/graph/modelGraph';
import { isFloat } from '../../../src/core/graph/numeric';
import { inferShapes } from '../../../src/core/graph/inferShapes';
import { familyOf, families } from '../../../src/core/graph/ops/registry';
import type { NdArray } from '../../../src/core/graph/tensor';
import { weightsOnly } from '../../../src/core/graph/ops/weightsOnly';
import { createEngine } from '../../../src/engines/registry';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { graphOf, node, relativeError } from '../support/graphs';
import { feedsOf, slopes, valuesOf, type Values } from './gradientCases';
import { graphOfCase, opCases, titleOf, withOperands } from './opCases';

/** Single operators that the fixture of shapes has no case of. */
const more: readonly { op: string; shapes: readonly (readonly number[])[]; attributes?: Readonly<Record<string, Attribute>>; values?: Values; domain?: string; opset?: number; constants?: Readonly<Record<string, NdArray>>; order?: readonly string[] }[] = [
  ...['Asin', 'Acos', 'Atanh'].map((op) => ({ op, shapes: [[2, 5]], values: [-0.8, 0.8] as const })),
  ...['Sinh', 'Cosh', 'Asinh', 'Reciprocal', 'Selu'].map((op) => ({ op, shapes: [[2, 5]] })),
  { op: 'Acosh', shapes: [[2, 5]], values: [1.2, 3] },
  ...['Gelu', 'FastGelu', 'QuickGelu'].map((op) => ({ op, shapes: [[2, 5]], domain: 'com.microsoft' })),
  { op: 'BiasGelu', shapes: [[2, 5], [5]], domain: 'com.microsoft' },
  { op: 'LpNormalization', shapes: [[3, 4]], attributes: { axis: int(0), p: int(2) } },
  { op: 'LpNormalization', shapes: [[3, 4]], attributes: { axis: int(1), p: int(1) }, values: [0.5, 2] },
  { op: 'MeanVarianceNormalization', shapes: [[2, 3, 4, 4]] },
  { op: 'GroupNormalization', shapes: [[2, 6, 3, 3], [3], [3]], attributes: { num_groups: int(3), epsilon: float(1e-3) } },
  { op: 'InstanceNormalization', shapes: [[2, 3, 5], [3], [3]] },
  { op: 'MaxPool', shapes: [[2, 2, 6]], attributes: { kernel_shape: ints([2]), strides: ints([2]) }, values: 'apart' },
  { op: 'Conv', shapes: [[1, 8, 24, 24], [2, 8, 3, 3]], attributes: { pads: ints([1, 1, 1, 1]) } },
  { op: 'Conv', shapes: [[2, 8, 49, 47], [2, 8, 3, 2], [2]], attributes: { strides: ints([2, 2]), dilations: ints([1, 2]), pads: ints([0, 1, 0, 1]) } },
  { op: 'ConvTranspose', shapes: [[1, 2, 23, 24], [2, 8, 3, 3]], attributes: { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]), output_padding: ints([1, 0]) } },
  { op: 'RMSNormalization', shapes: [[2, 3, 6], [6]], opset: 23 },
  { op: 'Attention', shapes: [[2, 2, 3, 4], [2, 2, 5, 4], [2, 2, 5, 3]], opset: 23 },
  { op: 'Attention', shapes: [[2, 3, 8], [2, 4, 4], [2, 4, 4], [3, 4]], attributes: { q_num_heads: int(4), kv_num_heads: int(2), scale: float(0.7) }, opset: 23 },
  { op: 'Attention', shapes: [[1, 2, 4, 3], [1, 2, 4, 3], [1, 2, 4, 3]], attributes: { is_causal: int(1), softcap: float(2) }, opset: 23 },
  { op: 'Attention', shapes: [[2, 3, 4], [4, 12], [12]], attributes: { num_heads: int(2) }, domain: 'com.microsoft' },
  { op: 'Attention', shapes: [[2, 3, 4], [4, 12], [12]], attributes: { num_heads: int(2), unidirectional: int(1) }, domain: 'com.microsoft' },
  { op: 'MultiHeadAttention', shapes: [[2, 3, 8], [2, 5, 8], [2, 5, 8], [24]], attributes: { num_heads: int(2) }, domain: 'com.microsoft' },
  { op: 'MultiHeadAttention', shapes: [[2, 4, 8], [2, 4, 8], [2, 4, 8]], attributes: { num_heads: int(4), unidirectional: int(1), scale: float(0.6) }, domain: 'com.microsoft' },
  { op: 'MultiHeadAttention', shapes: [[2, 3, 8], [2, 5, 8], [2, 5, 8], [2, 2, 3, 5]], order: ['i0', 'i1', 'i2', '', '', 'i3'], attributes: { num_heads: int(2) }, domain: 'com.microsoft' },
  ...[0, 1].map((turns) => ({
    op: 'GroupQueryAttention', shapes: [[2, 4, 32], [2, 4, 16], [2, 4, 16]], domain: 'com.microsoft',
    attributes: { num_heads: int(2), kv_num_heads: int(1), do_rotary: int(turns) },
    order: ['i0', 'i1', 'i2', '', '', 'lengths', 'total', ...(turns ? ['cos', 'sin'] : [])],
    constants: {
      lengths: { dtype: 'int32', shape: [2], data: Int32Array.of(3, 3) } as const, total: { dtype: 'int32', shape: [1], data: Int32Array.of(4) } as const,
      ...(turns && { cos: angles(Math.cos, [8, 8]), sin: angles(Math.sin, [8, 8]) }),
    },
  })),
  { op: 'RotaryEmbedding', shapes: [[2, 2, 3, 4]], order: ['i0', 'cos', 'sin'], opset: 23, constants: { cos: angles(Math.cos, [2, 3, 2]), sin: angles(Math.sin, [2, 3, 2]) } },
  { op: 'SkipLayerNormalization', shapes: [[2, 3, 6], [2, 3, 6], [6], [6], [6]], domain: 'com.microsoft' },
  { op: 'GatherElements', shapes: [[3, 4]], order: ['i0', 'places'], attributes: { axis: int(1) }, constants: { places: placesOf([3, 2], [0, 3, 1, 1, 2, 0]) } },
  { op: 'GatherND', shapes: [[3, 4]], order: ['i0', 'places'], constants: { places: placesOf([3, 2], [0, 3, 1, 1, 0, 3]) } },
  ...['none', 'add'].flatMap((reduction) => [
    { op: 'ScatterElements', shapes: [[3, 4], [3, 2]], order: ['i0', 'places', 'i1'], attributes: { axis: int(1), reduction: string(reduction) }, constants: { places: placesOf([3, 2], [0, 3, 1, 2, 2, 0]) } },
    { op: 'ScatterND', shapes: [[3, 4], [2, 4]], order: ['i0', 'places', 'i1'], attributes: { reduction: string(reduction) }, constants: { places: placesOf([2, 1], [2, 0]) } },
  ]),
  { op: 'Trilu', shapes: [[2, 3, 4]] },
  ...['bij,bjk->bik', 'bij,jk', '...ij,...jk->...ik', 'ij,kl->il', 'iij->ij', 'ij->', 'ij,jk,kl->il'].map((equation) => ({
    op: 'Einsum', attributes: { equation: string(equation) },
    shapes: equation.split('->')[0]!.split(',').map((part) => [...part.replace('...', 'b')].map((letter) => 2 + ('bijkl'.indexOf(letter) % 3))),
  })),
  { op: 'LayerNormalization', shapes: [[2, 3, 8], [8], [8]], attributes: { axis: int(-1) } },
  { op: 'LayerNormalization', shapes: [[2, 3, 8], [3, 8]], attributes: { axis: int(1) } },
  { op: 'BatchNormalization', shapes: [[3, 4], [4], [4], [4], [4]], values: [0.5, 2] },
  { op: 'Shrink', shapes: [[2, 3]], attributes: { lambd: float(0.5) }, values: [-0.4, 0.4] },
  { op: 'ReduceLogSum', shapes: [[2, 3]], values: [0.5, 2] },
  { op: 'Pow', shapes: [[2, 3], [3]], values: [0.5, 2] },
  ...[['i0', 'fixed'], ['fixed', 'i0']].map((order) => ({
    op: 'Mod', shapes: [[2, 3]], attributes: { fmod: int(1) }, values: [5.2, 5.4] as const, order, constants: { fixed: angles(() => 7 - 5 * Number(order[0] === 'i0'), [1]) },
  })),
  { op: 'MaxPool', shapes: [[2, 2, 6, 6]], attributes: { kernel_shape: ints([3, 3]), strides: ints([2, 2]) }, values: 'apart' },
];

for (const kind of ['native', 'web'] as const) {
  describe(`gradients equal finite differences (ONNX Runtime, ${kind})`, function () {
    this.timeout(120_000);
    let engine: Engine;

    before(function () {
      const made = createOrtEngine(kind, { threads: 1 });
      if ('reason' in made) {
        console.log(`      ${made.reason}`);
        return this.skip();
      }
      engine = made;
    });

    const byOp = new Map<string, typeof opCases>();
    for (const one of opCases) byOp.set(one.op, [...byOp.get(one.op) ?? [], one]);

    for (const [op, cases] of byOp) {
      // The two share their kernels' code: every variant on one of them, the first of each on the other.
      const chosen = kind === 'native' ? cases : cases.slice(-2);
      const real = chosen.filter((one) => one.outputs.some(({ dtype }) => dtype === 'float32') && one.inputs.some((input) => input?.dtype === 'float32' && !input.data));
      if (!real.length) continue;
      it(`${op} (${real.length} variants)`, async () => {
        for (const [index, one] of real.entries()) {
          const graph = await graphOfCase(withOperands(one));
          for (const { name, dtype } of graph.outputs) if (isFloat(dtype)) await assertSlopes(engine, graph, name, index + 1, titleOf(one), valuesOf(op));
        }
      });
    }

    it(`and of ${more.length} more operators and variants`, async () => {
      for (const { op, shapes, attributes, domain = '', opset, constants, order, values: own } of more) {
        const names = shapes.map((_, index) => `i${index}`);
        const title = `${op} ${JSON.stringify(shapes)} ${JSON.stringify(attributes ?? {})}`;
        const inputs = Object.fromEntries(names.map((name, index) => [name, shapes[index]!]));
        const plain = await graphOf({
          inputs, outputs: ['o'], nodes: [node(op, order ?? names, 'o', attributes)], weights: constants ?? {},
        });
        const graph = domain || opset ? asWritten(plain, domain, opset) : plain;
        await assertSlopes(engine, graph, 'o', 5, title, own ?? valuesOf(op));
      }
    });
  });
}

async function assertSlopes(engine: Engine, graph: ModelGraph, of: string, seed: number, title: string, range?: Values): Promise<void> {
  let measured;
  try {
    measured = await slopes(engine, graph, of, feedsOf(graph, seed, range));
  } catch (error) {
    throw new Error(`${title}: ${(error as Error).message}`);
  }
  for (const { wrt, found, expected, scale } of measured) {
    const error = Math.abs(found - expected) / scale;
    assert.ok(error <= 1e-3, `${title}: the slope along ${wrt} is ${expected}, its gradient says ${found}`);
  }
}

/** The same under another operator set: where shapes follow from rules, they do again. */
function asWritten(graph: ModelGraph, domain: string, opset = graph.opset): ModelGraph {
  const nodes = graph.nodes.map((own) => ({ ...own, domain }));
  const known = { opset, inputs: graph.inputs, tensors: graph.tensors, constants: graph.constants };
  return { ...graph, opset, nodes, values: inferShapes(known, nodes).values, ...(domain && { domains: { [domain]: 1 } }) };
}

function angles(wave: (angle: number) => number, shape: readonly number[]): NdArray {
  return { dtype: 'float32', shape, data: Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, (_, at) => wave(at + 1)) };
}

function placesOf(shape: readonly number[], numbers: readonly number[]): NdArray {
  return { dtype: 'int64', shape, data: BigInt64Array.from(numbers, BigInt) };
}

/** ONNX Runtime takes no tables from outside, so that there is nothing to move for differences. */
it('a fused embedding has the gradients of its parts', async () => {
  const engine = await createEngine('auto', { threads: 1 });
  const weights = {
    words: { dtype: 'int32', shape: [2, 3], data: Int32Array.of(0, 4, 4, 1, 0, 4) }, table: [5, 6], rows: [4, 6], scale: [6], offset: [6],
    from: placesOf([1], [0]), to: placesOf([1], [3]),
  } as const;
  const norm = { epsilon: float(1e-3) };
  const fused = await graphOf({ inputs: {}, outputs: ['o'], weights, nodes: [node('EmbedLayerNormalization', ['words', '', 'table', 'rows', '', 'scale', 'offset'], ['o', 'index'], norm)] });
  const parts = await graphOf({
    inputs: {}, outputs: ['o'], weights,
    nodes: [
      node('Gather', ['table', 'words'], 'w'), node('Slice', ['rows', 'from', 'to', 'from'], 'r'), node('Add', ['w', 'r'], 's'),
      node('LayerNormalization', ['s', 'scale', 'offset'], 'o', norm),
    ],
  });
  const found: Float32Array[][] = [];
  for (const graph of [asWritten(fused, 'com.microsoft'), parts]) {
    const made = await differentiate(graph, { of: { value: 'o', index: 2 }, withRespectTo: ['table', 'rows', 'scale', 'offset'] });
    const program = await engine.compile(made.graph, [], [...made.gradients.values()]);
    const results = await program.run(new Map());
    found.push([...made.gradients.values()].map((name) => results.get(name)!.data as Float32Array));
    await program.dispose();
  }
  found[0]!.forEach((gradient, index) => assert.ok(relativeError(gradient, found[1]![index]!) <= 1e-5, `tensor ${index}`));
  assert.ok(found[1]!.every((gradient) => gradient.some((value) => value !== 0)));
});

describe('gradient rules', () => {
  it('exist for every family with particles', () => {
    const without = families.filter((family) => family.particles && !family.gradient && family !== weightsOnly);
    assert.deepEqual(without.map(({ name }) => name), []);
  });

  it('are tested for every operator of a family that has one', () => {
    const tested = new Set([...opCases.map(({ op }) => op), ...more.map(({ op, domain }) => (domain ? `${domain}:${op}` : op))]);
    const missing = families.filter((family) => family.gradient).flatMap(({ ops }) => ops).filter((op) => !tested.has(op) && !noGradient.has(op) && !elsewhere.has(op));
    assert.deepEqual(missing, []);
  });

  it('a missing rule is named with its layer', async () => {
    const graph = await graphOf({ inputs: { x: [null, 3] }, outputs: ['z'], nodes: [node('Relu', ['x'], 'y'), node('Einstein', ['y'], 'z', {}, 'odd')], weights: {} });
    assert.equal(familyOf({ op: 'Einstein', domain: '' }), undefined);
    await assert.rejects(differentiate(graph, { of: 'z', withRespectTo: ['x'] }), (error: Error) =>
      error instanceof ParticlizeError && error.message.startsWith('layer odd (Einstein): there is no gradient rule for Einstein.'));
    // Behind it there is nothing to ask.
    assert.ok((await differentiate(graph, { of: 'y', withRespectTo: ['x'] })).graph);
  });

  it('a value that does not exist, or has no real numbers, is refused', async () => {
    const graph = await graphOf({ inputs: { x: [null, 3] }, outputs: ['y'], nodes: [node('Relu', ['x'], 'y'), node('ArgMax', ['y'], 'a')], weights: {} });
    await assert.rejects(differentiate(graph, { of: 'y', withRespectTo: ['w'] }), /no value 'w'/);
    await assert.rejects(differentiate(graph, { of: 'a', withRespectTo: ['x'] }), /a: there is no gradient: its elements are int64/);
    await assert.rejects(differentiate(graph, { of: { value: 'y', index: 3 }, withRespectTo: ['x'] }), /no index 3 on its last axis, which has 3/);
  });
});

/** Their results are not real numbers, or do not move with their inputs. */
const noGradient = new Set([
  'Not', 'IsNaN', 'IsInf', 'BitwiseNot', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual', 'BitShift', 'BitwiseAnd',
  'BitwiseOr', 'BitwiseXor', 'ArgMax', 'ArgMin', 'Shape', 'Size', 'ConstantOfShape', 'Range', 'Constant',
]);

/** Held to other frameworks, or in the tests of their family. */
const elsewhere = new Set(['Swish', 'CastLike', 'Gelu', 'Scatter', 'com.microsoft:EmbedLayerNormalization', 'LSTM', 'GRU', 'RNN']);
