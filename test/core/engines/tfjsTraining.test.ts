import assert from 'node:assert/strict';
import { float, int, ints } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { aimOf } from '../../../src/core/train/aim';
import { Stepper } from '../../../src/core/train/stepper';
import { trainingGraph } from '../../../src/core/train/trainingGraph';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { graphOf, int64, node, randomArray, relativeError, seededRandom, type NodeSketch } from '../support/graphs';

const samples = 4;

const same = { pads: ints([1, 1, 1, 1]), kernel_shape: ints([3, 3]) };

/** What each net is trained on: x, and classes 0, 1, 2, ... */
interface Net {
  readonly x: NdArray;
  graph(): Promise<ModelGraph>;
}

const nets: Readonly<Record<string, Net>> = {
  'a convolutional net with pooling and batch normalisation': {
    x: randomArray([samples, 1, 8, 8], seededRandom(1)),
    graph: () => graphOf({
      inputs: { x: [null, 1, 8, 8] }, outputs: ['y'],
      weights: {
        k1: small([6, 1, 3, 3]), scale: [6], shift: [6], mean: [6], variance: ones(6), k2: small([8, 6, 3, 3]), w: small([8 * 4, 3]), b: [3], flat: int64([0, -1]),
      },
      nodes: [
        node('Conv', ['x', 'k1'], 'c1', same), node('BatchNormalization', ['c1', 'scale', 'shift', 'mean', 'variance'], 'n1', { epsilon: float(1e-3) }), node('Relu', ['n1'], 'r1'),
        node('MaxPool', ['r1'], 'p1', { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }), node('Conv', ['p1', 'k2'], 'c2', same), node('Relu', ['c2'], 'r2'),
        // Windows that meet.
        node('MaxPool', ['r2'], 'p2', { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }),
        node('Reshape', ['p2', 'flat'], 'f'), node('Gemm', ['f', 'w', 'b'], 'y'),
      ],
    }),
  },
  'a depthwise net with strides': {
    x: randomArray([samples, 4, 9, 9], seededRandom(2)),
    graph: () => graphOf({
      inputs: { x: [null, 4, 9, 9] }, outputs: ['y'],
      weights: { d: small([4, 1, 3, 3]), p: small([8, 4, 1, 1]), d2: small([16, 1, 3, 3]), w: small([16, 3]), b: [3], low: scalar(0), high: scalar(6) },
      nodes: [
        node('Conv', ['x', 'd'], 'a', { ...same, group: int(4) }), node('Conv', ['a', 'p'], 'q'), node('Clip', ['q', 'low', 'high'], 'r'),
        node('Conv', ['r', 'd2'], 'e', { ...same, group: int(8), strides: ints([2, 2]) }), node('GlobalAveragePool', ['e'], 'g'), node('Flatten', ['g'], 'f'), node('Gemm', ['f', 'w', 'b'], 'y'),
      ],
    }),
  },
  'an embedding with dense layers': {
    x: { ...int64([1, 2, 3, 0, 5, 5, 1, 4, 6, 2, 2, 2]), shape: [samples, 3] },
    graph: () => graphOf({
      inputs: { x: [null, 3] }, outputs: ['y'], integers: new Set(['x']),
      weights: { table: small([7, 5]), flat: int64([0, -1]), w: small([15, 6]), b: [6], v: small([6, 3]), c: [3] },
      nodes: [
        node('Gather', ['table', 'x'], 'e'), node('Reshape', ['e', 'flat'], 'f'), node('Gemm', ['f', 'w', 'b'], 'h'), node('Tanh', ['h'], 't'), node('Gemm', ['t', 'v', 'c'], 'y'),
      ],
    }),
  },
  'an LSTM': recurrentNet('LSTM', 4),
  'a GRU': recurrentNet('GRU', 3),
  'a small transformer': {
    x: randomArray([samples, 5, 8], seededRandom(4)),
    graph: () => graphOf({
      inputs: { x: [null, 5, 8] }, outputs: ['y'],
      weights: {
        ...Object.fromEntries(['q', 'k', 'v', 'o'].map((name) => [`w${name}`, small([8, 8])])), scale: ones(8), shift: [8], up: small([8, 16]), ub: [16], down: small([16, 8]), db: [8],
        w: small([8, 3]), b: [3], heads: int64([0, 0, 2, 4]), joined: int64([0, 0, 8]), size: scalar(0.5), half: scalar(0.5), one: scalar(1), root: scalar(Math.SQRT2), axes: int64([1]),
      },
      nodes: attentionNodes(),
    }),
  },
};

describe('a training step on TensorFlow.js is the one of ONNX Runtime', function () {
  this.timeout(30_000);
  for (const [title, { x, graph: make }] of Object.entries(nets)) {
    it(title, async () => {
      const [native, tfjs] = [createOrtEngine('native', { threads: 1 }), await createTfjsEngine({ id: 'tfjs-wasm' })];
      if ('reason' in native) assert.fail(native.reason);
      if ('reason' in tfjs) assert.fail(tfjs.reason);
      const graph = await make();
      const training = await trainingGraph(graph, aimOf(graph, { task: 'classification', title }), { optimiser: { kind: 'sgd', momentum: 0.9 } });
      assert.deepEqual(training.findings, []);
      const feeds = new Map([['x', x], [training.targets, int64(Array.from({ length: samples }, (_, at) => at % 3))]]);
      const results = [];
      for (const engine of [native, tfjs]) {
        const stepper = await Stepper.create(engine, graph, training);
        const losses = [];
        for (let step = 1; step <= 3; step++) losses.push((await stepper.step([{ feeds, samples }], 0.03, step)).loss);
        results.push({ losses: Float32Array.from(losses), weights: stepper.weights() });
        await stepper.dispose();
      }
      const [one, other] = results;
      assert.ok(one!.losses[2]! < one!.losses[0]!, 'it learns');
      assert.ok(relativeError(other!.losses, one!.losses) <= 1e-5);
      for (const [name, values] of one!.weights) {
        const before = (await graph.tensors.get(name)!.read()).data as Float32Array;
        assert.ok(values.some((value, at) => value !== before[at]), `${name} is trained`);
        assert.ok(relativeError(other!.weights.get(name)!, values) <= 1e-5, `${name}: ${relativeError(other!.weights.get(name)!, values)}`);
      }
    });
  }
});

function recurrentNet(op: 'LSTM' | 'GRU', gates: number): Net {
  const [width, hidden] = [4, 5];
  return {
    x: randomArray([samples, 6, width], seededRandom(3)),
    graph: () => graphOf({
      inputs: { x: [null, 6, width] }, outputs: ['y'],
      weights: { wx: small([1, gates * hidden, width]), wr: small([1, gates * hidden, hidden]), bias: small([1, 2 * gates * hidden]), first: int64([0]), w: small([hidden, 3]), b: [3] },
      nodes: [
        node('Transpose', ['x'], 't', { perm: ints([1, 0, 2]) }), node(op, ['t', 'wx', 'wr', 'bias'], ['all', 'last'], { hidden_size: int(hidden) }),
        node('Squeeze', ['last', 'first'], 'h'), node('Gemm', ['h', 'w', 'b'], 'y'),
      ],
    }),
  };
}

function attentionNodes(): readonly NodeSketch[] {
  const heads = (name: string, perm: readonly number[]): NodeSketch[] => [
    node('MatMul', ['n', `w${name}`], `${name}0`), node('Reshape', [`${name}0`, 'heads'], `${name}1`), node('Transpose', [`${name}1`], name, { perm: ints(perm) }),
  ];
  return [
    node('LayerNormalization', ['x', 'scale', 'shift'], 'n', { axis: int(-1) }),
    ...heads('q', [0, 2, 1, 3]), ...heads('k', [0, 2, 3, 1]), ...heads('v', [0, 2, 1, 3]),
    node('MatMul', ['q', 'k'], 's0'), node('Mul', ['s0', 'size'], 's1'), node('Softmax', ['s1'], 's', { axis: int(-1) }), node('MatMul', ['s', 'v'], 'm0'),
    node('Transpose', ['m0'], 'm1', { perm: ints([0, 2, 1, 3]) }), node('Reshape', ['m1', 'joined'], 'm2'), node('MatMul', ['m2', 'wo'], 'm3'), node('Add', ['x', 'm3'], 'r'),
    node('MatMul', ['r', 'up'], 'u0'), node('Add', ['u0', 'ub'], 'u'), node('Div', ['u', 'root'], 'g0'), node('Erf', ['g0'], 'g1'), node('Add', ['g1', 'one'], 'g2'),
    node('Mul', ['u', 'g2'], 'g3'), node('Mul', ['g3', 'half'], 'g'), node('MatMul', ['g', 'down'], 'd0'), node('Add', ['d0', 'db'], 'd1'), node('Add', ['r', 'd1'], 'd'),
    node('ReduceMean', ['d', 'axes'], 'p', { keepdims: int(0) }), node('Gemm', ['p', 'w', 'b'], 'y'),
  ];
}

function small(shape: readonly number[]): NdArray {
  const array = randomArray(shape as number[], seededRandom(shape.reduce((sum, size) => sum * 7 + size, 1)));
  return { ...array, data: (array.data as Float32Array).map((value) => value * 0.5) };
}

function ones(count: number): NdArray {
  return { dtype: 'float32', shape: [count], data: new Float32Array(count).fill(1) };
}

function scalar(value: number): NdArray {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}
