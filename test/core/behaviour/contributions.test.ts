import assert from 'node:assert/strict';
import { float, int, ints } from '../../../src/core/graph/attributes';
import type { Engine } from '../../../src/core/graph/engine';
import { GraphOnGraph } from '../../../src/core/graph/graphBuilder';
import { contextOf } from '../../../src/core/graph/inferShapes';
import type { Attribute, ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { familyOf } from '../../../src/core/graph/ops/registry';
import type { LinearRule } from '../../../src/core/graph/ops/operator';
import type { NdArray } from '../../../src/core/graph/tensor';
import { consumersOf } from '../../../src/core/behaviour/consumers';
import { openContributions } from '../../../src/core/behaviour/contributions';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, node, randomArray, relativeError, seededRandom, type NodeSketch } from '../support/graphs';
import { openSequenceModel } from '../support/sequenceModels';

/** f_i(x) = sum over particles j of contribution_ij(x) + bias: what the seed formula claims, held to what the engine computes. */
describe('contributions add up to what the engine computes', () => {
  let engine: Engine;
  before(async () => {
    engine = await createEngine('auto');
  });

  const conv = (x: number[], w: number[], attributes: Record<string, Attribute>, op = 'Conv'): Sketch => ({
    x, weights: { w, b: [op === 'Conv' ? w[0]! : w[1]! * ((attributes['group']?.value as number | undefined) ?? 1)] },
    nodes: [node(op, ['x', 'w', 'b'], 'y', attributes)],
  });
  const cases: Record<string, Sketch> = {
    'Conv with uneven pads and strides': conv([2, 3, 7, 6], [5, 3, 3, 2], { pads: ints([1, 0, 2, 1]), strides: ints([2, 1]) }),
    'Conv, dilated': conv([2, 3, 9, 9], [4, 3, 3, 3], { dilations: ints([2, 3]) }),
    'Conv, SAME_LOWER': conv([1, 4, 6, 6], [2, 4, 2, 2], { auto_pad: { type: 'string', value: 'SAME_LOWER' } }),
    'Conv, 1-D': conv([2, 3, 9], [4, 3, 3], {}),
    'Conv, 3-D': conv([1, 2, 4, 5, 4], [3, 2, 2, 2, 2], {}),
    'Conv, grouped': conv([2, 4, 6, 6], [6, 2, 3, 3], { group: int(2) }),
    'Conv, depthwise with multiplier': conv([2, 3, 6, 6], [6, 1, 3, 3], { group: int(3) }),
    'ConvTranspose': conv([2, 3, 4, 4], [3, 5, 3, 3], { strides: ints([2, 2]), pads: ints([1, 1, 0, 0]) }, 'ConvTranspose'),
    'ConvTranspose, depthwise': conv([1, 3, 4, 4], [3, 1, 2, 2], { group: int(3) }, 'ConvTranspose'),
    'Gemm': { x: [3, 6], weights: { w: [6, 4], b: [4] }, nodes: [node('Gemm', ['x', 'w', 'b'], 'y')] },
    'Gemm, transposed and scaled': {
      x: [3, 6], weights: { w: [4, 6], b: [1, 4] }, nodes: [node('Gemm', ['x', 'w', 'b'], 'y', { transB: int(1), alpha: float(0.5), beta: float(2) })],
    },
    'Gemm on a transposed input': { x: [6, 3], weights: { w: [6, 4] }, nodes: [node('Gemm', ['x', 'w'], 'y', { transA: int(1) })] },
    'MatMul': { x: [3, 6], weights: { w: [6, 4] }, nodes: [node('MatMul', ['x', 'w'], 'y')] },
    'MatMul on sequences': { x: [2, 5, 6], weights: { w: [6, 4] }, nodes: [node('MatMul', ['x', 'w'], 'y')] },
    'MatMul on four axes': { x: [2, 3, 5, 6], weights: { w: [6, 4] }, nodes: [node('MatMul', ['x', 'w'], 'y')] },
  };

  for (const [title, { x: shape, weights, nodes }] of Object.entries(cases)) {
    it(title, async () => {
      const graph = await graphOf({ inputs: { x: shape }, outputs: ['y'], weights, nodes, seed: 3 });
      const rule = linearRule(graph);
      const x = randomArray(shape, seededRandom(5));
      const count = shape[rule.axis]!;
      const whole = await run(engine, graph, x);
      const bias = await run(engine, graph, { ...x, data: new Float32Array(x.data.length) });
      const masked = await maskedTerms(engine, graph, rule, x, bias);
      assert.ok(relativeError(total(masked, bias), whole) <= 1e-5, 'masked copies');
      const direct = title.includes('grouped') || title.includes('depthwise') || title.includes('transposed input');
      assert.equal(rule.contributions === undefined, direct, 'whether there is a fast path');
      if (!rule.contributions) return;
      const terms = await fastTerms(engine, graph, rule, x, count, 1);
      assert.ok(relativeError(total(terms, bias), whole) <= 1e-5, 'fast path');
      terms.forEach((term, j) => assert.ok(relativeError(term, masked[j]!) <= 1e-5, `particle ${j}`));
    });
  }

  for (const [op, gates, attributes] of [['LSTM', 4, {}], ['GRU', 3, { linear_before_reset: int(1) }]] as const) {
    it(`${op}: the terms of the inputs, the states and the biases are what the gates see`, async () => {
      const [steps, batch, channels, hidden] = [4, 2, 6, 3];
      const rows = gates * hidden;
      const graph = await graphOf({
        inputs: { x: [steps, batch, channels] }, outputs: ['y'], seed: 8,
        weights: { w: [1, rows, channels], r: [1, rows, hidden], b: [1, 2 * rows] },
        nodes: [node(op, ['x', 'w', 'r', 'b'], 'y', { hidden_size: int(hidden), ...attributes })],
      });
      const rule = linearRule(graph);
      assert.ok(rule.inside);
      const x = randomArray([steps, batch, channels], seededRandom(9));
      const y = await run(engine, graph, x);
      // [particles, 1, steps, batch, rows], two channels a particle.
      const builder = new GraphOnGraph(graph);
      const name = rule.contributions!(builder, rule.input, rule.weight!.value, channels / 2, 2);
      const program = await engine.compile(await builder.finish([name]), ['x'], [name]);
      const terms = (await program.run(new Map([['x', x]]))).get(name)!;
      await program.dispose();
      assert.deepEqual(terms.shape, [channels / 2, 1, steps, batch, rows]);
      const [r, b] = await Promise.all(['r', 'b'].map(async (weight) => asFloat32(await graph.tensors.get(weight)!.read())));
      const sums = asFloat32(terms);
      const each = steps * batch * rows;
      const state = { h: new Float64Array(batch * hidden), c: new Float64Array(batch * hidden) };
      const expected: number[] = [];
      const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));
      for (let t = 0; t < steps; t++) {
        const before = state.h.slice();
        for (let n = 0; n < batch; n++) {
          // The input's share: the sum of all particles' terms. The state's share stays apart, as a GRU resets it.
          const input = (row: number): number => {
            let sum = b![row]!;
            for (let j = 0; j < channels / 2; j++) sum += sums[j * each + (t * batch + n) * rows + row]!;
            return sum;
          };
          const own = (row: number): number => {
            let sum = b![rows + row]!;
            for (let k = 0; k < hidden; k++) sum += r![row * hidden + k]! * before[n * hidden + k]!;
            return sum;
          };
          for (let k = 0; k < hidden; k++) {
            const at = n * hidden + k;
            const whole = (gate: number): number => input(gate * hidden + k) + own(gate * hidden + k);
            if (op === 'LSTM') {
              state.c[at] = sigmoid(whole(2)) * state.c[at]! + sigmoid(whole(0)) * Math.tanh(whole(3));
              state.h[at] = sigmoid(whole(1)) * Math.tanh(state.c[at]);
            } else {
              const [z, reset] = [sigmoid(whole(0)), sigmoid(whole(1))];
              state.h[at] = (1 - z) * Math.tanh(input(2 * hidden + k) + reset * own(2 * hidden + k)) + z * before[at]!;
            }
          }
        }
        expected.push(...state.h);
      }
      assert.ok(relativeError(expected, y) <= 1e-5, `${relativeError(expected, y)}`);
    });
  }

  for (const name of ['multihead', 'sdpa', 'sdpaFusedCausal', 'written', 'grouped', 'groupedRotary', 'conditioned']) {
    it(`heads of ${name} make up what their output projection gives`, async () => {
      const { graph, inputs } = await openSequenceModel(name);
      const group = decompose(graph).groups.find(({ kind }) => kind === 'head')!;
      const { linear, complete } = consumersOf(graph, group);
      assert.equal(linear.length, 1);
      assert.ok(complete, 'nothing else reads the heads');
      const [consumer] = linear;
      const { rule } = consumer!;
      const names = graph.inputs.map((input) => input.name);
      const whole = await engine.compile(graph, names, [rule.input, rule.output]);
      const known = await whole.run(new Map(names.map((input, index) => [input, inputs[index]!])));
      await whole.dispose();
      const program = await openContributions(engine, graph, consumer!, group.count, 'terms');
      const terms = await program.run(known.get(rule.input)!, known.get(rule.output)!, Array.from({ length: group.count }, (_, head) => head));
      await program.dispose();
      assert.equal(terms.shape[0], group.count);
      const y = asFloat32(known.get(rule.output)!);
      const bias = rule.bias ? asFloat32(await graph.tensors.get(rule.bias)!.read()) : new Float32Array(1);
      const sum = y.map((_, at) => Array.from({ length: group.count }, (__, head) => asFloat32(terms)[head * y.length + at]!)
        .reduce((all, term) => all + term, bias[at % bias.length]!));
      assert.ok(relativeError(sum, y) <= 1e-5, `${relativeError(sum, y)}`);
    });
  }

  for (const [title, order] of Object.entries({ 'channels first': 'first', 'channels last': 'last' })) {
    it(`a dense layer behind flattened channels, ${title}`, async () => {
      const [channels, pixels] = [3, 4];
      const graph = await graphOf({
        inputs: { x: [2, channels * pixels] }, outputs: ['y'], weights: { w: [12, 5], b: [5] }, nodes: [node('Gemm', ['x', 'w', 'b'], 'y')], seed: 4,
      });
      const rule = linearRule(graph);
      const x = randomArray([2, 12], seededRandom(6));
      // Particle-major indices: what belongs to channel j lies together, or every `channels` elements.
      const indices = Array.from({ length: 12 }, (_, k) => (order === 'first' ? k : (k % pixels) * channels + Math.floor(k / pixels)));
      const whole = await run(engine, graph, x);
      const bias = await run(engine, graph, { ...x, data: new Float32Array(24) });
      const terms = await fastTerms(engine, graph, rule, x, channels, pixels, indices);
      assert.equal(terms.length, channels);
      assert.ok(relativeError(total(terms, bias), whole) <= 1e-5);
      const only = Float32Array.from(x.data as Float32Array, (value, k) => (indices.indexOf(k % 12) < pixels ? value : 0));
      const first = (await run(engine, graph, { ...x, data: only })).map((value, k) => value - bias[k]!);
      assert.ok(relativeError(terms[0]!, first) <= 1e-5, 'the term of channel 0 is what its pixels alone give');
    });
  }
});

interface Sketch {
  readonly x: number[];
  readonly weights: Readonly<Record<string, readonly number[] | NdArray>>;
  readonly nodes: readonly NodeSketch[];
}

function linearRule(graph: ModelGraph): LinearRule {
  const node = graph.nodes[0]!;
  const rule = familyOf(node)?.linear?.(node, contextOf(graph));
  assert.ok(rule, `${node.op} is linear in its input`);
  return rule;
}

async function run(engine: Engine, graph: ModelGraph, x: NdArray): Promise<Float32Array> {
  const program = await engine.compile(graph, ['x'], ['y']);
  const result = await program.run(new Map([['x', x]]));
  await program.dispose();
  return asFloat32(result.get('y')!).slice();
}

/** One run a particle, everything else silent. */
async function maskedTerms(engine: Engine, graph: ModelGraph, rule: LinearRule, x: NdArray, bias: Float32Array): Promise<Float32Array[]> {
  const inner = x.shape.slice(rule.axis + 1).reduce((product, size) => product * size, 1);
  const count = x.shape[rule.axis]!;
  const terms: Float32Array[] = [];
  for (let j = 0; j < count; j++) {
    const only = Float32Array.from(x.data as Float32Array, (value, k) => (Math.floor(k / inner) % count === j ? value : 0));
    terms.push((await run(engine, graph, { ...x, data: only })).map((value, k) => value - bias[k]!));
  }
  return terms;
}

async function fastTerms(
  engine: Engine, graph: ModelGraph, rule: LinearRule, x: NdArray, particles: number, block: number, indices?: readonly number[],
): Promise<Float32Array[]> {
  const builder = new GraphOnGraph(graph);
  const pick = (value: string, axis: number): string =>
    (indices ? builder.node('Gather', [value, builder.int64(indices)], { axis: int(axis) }) : value);
  const terms = rule.contributions!(builder, pick(rule.input, rule.axis), pick(rule.weight!.value, rule.weight!.axis), particles, block);
  const program = await engine.compile(await builder.finish([terms]), ['x'], [terms]);
  const result = (await program.run(new Map([['x', x]]))).get(terms)!;
  await program.dispose();
  assert.equal(result.shape[0], particles);
  assert.deepEqual(result.shape.slice(1), contextOf(graph).facts(rule.output).shape, 'shape [particles, ...output]');
  const size = result.data.length / particles;
  return Array.from({ length: particles }, (_, j) => asFloat32(result).slice(j * size, (j + 1) * size));
}

function total(terms: readonly Float32Array[], bias: Float32Array): Float32Array {
  return bias.map((value, k) => terms.reduce((sum, term) => sum + term[k]!, value));
}
