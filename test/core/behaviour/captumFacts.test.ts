import assert from 'node:assert/strict';
import { ablation } from '../../../src/core/behaviour/ablation/ablation';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { conductances } from '../../../src/core/behaviour/conductance';
import { gradientImportance } from '../../../src/core/behaviour/gradientImportance';
import { layerIntegratedGradients } from '../../../src/core/behaviour/integratedGradients';
import { float32Array } from '../../../src/core/graph/numeric';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { graphOf, node } from '../support/graphs';

/**
 * Inputs and expected numbers of Captum's own tests (tests/attr of pytorch/captum), carried over as facts, for the first
 * output unless said otherwise. Its networks are rebuilt here.
 */
describe('Captum\'s published cases', function () {
  this.timeout(60_000);

  describe('gradient × activation of the network of three layers', () => {
    const cases: readonly (readonly [title: string, input: readonly number[], layer: string, expected: readonly number[], two?: true])[] = [
      ['linear0', [0, 100, 0], 'linear0', [0, 400, 0]],
      ['linear1', [0, 100, 0], 'linear1', [90, 101, 101, 101]],
      ['linear2', [0, 100, 0], 'linear2', [392]],
      ['linear2, three inputs summed, times four', [0, 4 * 25, 0], 'linear2', [392]],
      ['relu, three inputs summed, times five', [0, 5 * 14, 5 * 6], 'linear1', [90, 101, 101, 101]],
      ['relu', [3, 4, 0], 'linear1', [0, 8, 8, 8]],
      ['the first of two branches', [3, 4, 0], 'linear1', [0, 8, 8, 8], true],
      ['the second of two branches', [3, 4, 0], 'linear1_alt', [0, 8, 8, 8], true],
      ['in front of one of two branches', [3, 4, 0], 'linear0', [9, 12, 0], true],
    ];
    for (const [title, input, layer, expected, two] of cases) {
      it(title, async () => {
        const context = await contextOf(await multiLayer(two), [input]);
        const [values] = await gradientImportance.compute(context);
        same(context, layer, values!, expected, 0.01);
      });
    }
  });

  describe('conductance of the network of three layers', () => {
    const cases: readonly (readonly [title: string, input: readonly number[], layer: string, expected: readonly number[], two?: true])[] = [
      ['linear0', [0, 100, 0], 'linear0', [0, 390, 0]],
      ['linear1 and relu', [0, 100, 0], 'linear1', [90, 100, 100, 100]],
      ['linear2', [0, 100, 0], 'linear2', [390]],
      ['relu, three inputs summed, times five', [0, 5 * 14, 5 * 6], 'linear1', [90, 100, 100, 100]],
      ['the first of two branches', [0, 100, 0], 'linear1', [90, 100, 100, 100], true],
      ['the second of two branches', [0, 100, 0], 'linear1_alt', [90, 100, 100, 100], true],
    ];
    for (const [title, input, layer, expected, two] of cases) {
      it(title, async () => {
        const context = await contextOf(await multiLayer(two), [input]);
        same(context, layer, await conductances(context, { steps: 500 }), expected, 0.5);
      });
    }
  });

  describe('integrated gradients', () => {
    for (const layer of ['linear1', 'linear1_alt']) {
      it(`of ${layer}, from what it says of an input of zeros`, async () => {
        const context = await contextOf(await multiLayer(true), [[0, 100, 0]]);
        same(context, layer, await layerIntegratedGradients(context, { steps: 50, from: 'zeroInput' }), [90, 100, 100, 100], 0.01);
      });
    }

    // f(x1, x2) = relu(relu(x1) - 1 - relu(x2)) and relu(relu(x1 - 1) - relu(x2)), the examples of the paper.
    for (const [title, late] of [['subtracted behind the activation', 0], ['subtracted in front of it', 1]] as const) {
      it(`of two inputs, one ${title}`, async () => {
        const graph = await graphOf({
          inputs: { x: [null, 2] }, outputs: ['y'],
          weights: {
            identity: matrix([[1, 0], [0, 1]]), early: float32Array([-late, 0]), join: matrix([[1], [-1]]), bias: float32Array([late - 1]),
          },
          nodes: [
            node('MatMul', ['x', 'identity'], 'input'), node('Add', ['input', 'early'], 'shifted'), node('Relu', ['shifted'], 'first'),
            node('MatMul', ['first', 'join'], 'joined'), node('Add', ['joined', 'bias'], 'sum'), node('Relu', ['sum'], 'y'),
          ],
        });
        // The inputs themselves: what the identity gives, in front of its activation.
        const context = await contextOf(graph, [[3, 1]]);
        const table = decompose(graph);
        const group = { ...table.group('input')!, acts: [{ value: 'input', axis: 1 }] };
        const values = await layerIntegratedGradients({ ...context, table: Object.assign(Object.create(Object.getPrototypeOf(table) as object) as typeof table, table, { groups: [group] }) }, { steps: 1500 });
        close(values[0]!, 1.5, 0.05);
        close(values[1]!, -0.5, 0.05);
      });
    }
  });

  describe('ablation', () => {
    const cases: readonly (readonly [title: string, input: readonly number[], layer: string, expected: readonly number[], two?: true])[] = [
      ['the features of an input', [20, 50, 30], 'linear0', [80, 200, 120]],
      ['the features of a small input', [2, 10, 3], 'linear0', [8, 35, 12]],
      ['a layer of which one neuron is silent', [0, 6, 0], 'linear1', [0, 7, 7, 7], true],
      ['its twin in the other branch', [0, 6, 0], 'linear1_alt', [0, 7, 7, 7], true],
    ];
    for (const [title, input, layer, expected, two] of cases) {
      it(title, async () => {
        const context = await withOwnOutput(await contextOf(await multiLayer(two), [input]));
        const [loss] = await ablation.compute(context);
        // The loss is the squared change of the output.
        same(context, layer, loss!.map(Math.sqrt), expected, 0.01);
      });
    }

    it('positions of two kernels', async () => {
      // A 3 x 3 convolution of a 4 x 4 picture by two kernels of ones, as a dense layer of eight neurons.
      const taps = Array.from({ length: 16 }, (_, pixel) => Array.from({ length: 8 }, (__, neuron) => {
        const [down, right] = [Math.floor(pixel / 4) - Math.floor((neuron % 4) / 2), (pixel % 4) - (neuron % 2)];
        return Number(down >= 0 && down < 3 && right >= 0 && right < 3);
      }));
      const graph = await graphOf({
        inputs: { x: [null, 16] }, outputs: ['y'],
        weights: {
          taps: matrix(taps), bias: float32Array([-50, -50, -50, -50, -75, -75, -75, -75]),
          join: matrix([1, 1, 1, 1, 1, -1, -1, -1].map((weight) => [weight])),
        },
        nodes: [
          node('MatMul', ['x', 'taps'], 'conv'), node('Add', ['conv', 'bias'], 'biased'), node('Relu', ['biased'], 'relu'),
          node('MatMul', ['relu', 'join'], 'fc'), node('Relu', ['fc'], 'y'),
        ],
      });
      const context = await withOwnOutput(await contextOf(graph, [Array.from({ length: 16 }, (_, pixel) => pixel + 1)]));
      const [loss] = await ablation.compute(context);
      same(context, 'conv', loss!.map(Math.sqrt), [4, 13, 40, 49, 0, 0, 15, 24], 0.01);
    });
  });
});

/** linear0 (the identity), linear1 with a bias of -10, 1, 1, 1, and the first output of linear2; all weights 1. `two`: two such branches from linear1 on. */
function multiLayer(two = false): Promise<ModelGraph> {
  const ones = matrix(Array.from({ length: 3 }, () => [1, 1, 1, 1]));
  const bias = float32Array([-10, 1, 1, 1]);
  return graphOf({
    inputs: { x: [null, 3] }, outputs: ['y'],
    weights: {
      identity: matrix([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), w1: ones, b1: bias, ...(two && { w1alt: ones, b1alt: bias }),
      w2: matrix([[1], [1], [1], [1]]), b2: float32Array([-1]),
    },
    nodes: [
      node('MatMul', ['x', 'identity'], 'linear0'),
      node('Gemm', ['linear0', 'w1', 'b1'], 'linear1'), node('Relu', ['linear1'], 'relu1'),
      ...(two ? [
        node('Gemm', ['x', 'w1alt', 'b1alt'], 'linear1_alt'), node('Relu', ['linear1_alt'], 'relu2'), node('Add', ['relu1', 'relu2'], 'relu'),
      ] : []),
      node('Gemm', [two ? 'relu' : 'relu1', 'w2', 'b2'], 'y', {}, 'linear2'),
    ],
  });
}

async function contextOf(graph: ModelGraph, rows: readonly (readonly number[])[]): Promise<BehaviourContext> {
  return {
    graph, table: decompose(graph), engine: await createEngine('auto'), memoryBytes: 2 ** 26, report: () => undefined,
    data: {
      title: 'published', task: 'regression', count: rows.length, seed: 0, synthetic: false,
      inputs: (from, to) => Promise.resolve(new Map([['x', matrix(rows.slice(from, to))]])),
      labels: (from, to) => Promise.resolve(float32Array(new Float32Array(to - from), [to - from, 1])),
    },
  };
}

/** With what the model gives as what is right, so that the loss starts at 0. */
async function withOwnOutput(context: BehaviourContext): Promise<BehaviourContext> {
  const program = await context.engine.compile(context.graph, ['x'], ['y']);
  const outputs = (await program.run(await context.data.inputs(0, 1))).get('y')!;
  await program.dispose();
  const kept = float32Array(outputs.data as Float32Array, [1, 1]);
  return { ...context, data: { ...context.data, labels: () => Promise.resolve(kept) } };
}

function matrix(rows: readonly (readonly number[])[]): NdArray {
  return float32Array(rows.flat(), [rows.length, rows[0]!.length]);
}

function same({ table }: BehaviourContext, layer: string, values: Float32Array, expected: readonly number[], tolerance: number): void {
  const { firstRow, count } = table.group(layer)!;
  assert.equal(count, expected.length);
  expected.forEach((value, particle) => close(values[firstRow + particle]!, value, tolerance));
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}
