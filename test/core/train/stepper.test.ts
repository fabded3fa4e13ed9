import assert from 'node:assert';
import { int } from '../../../src/core/graph/attributes';
import type { Engine } from '../../../src/core/graph/engine';
import type { NdArray } from '../../../src/core/graph/tensor';
import { aimOf } from '../../../src/core/train/aim';
import { learningRateAt } from '../../../src/core/train/schedules';
import { randomOrder } from '../../../src/core/train/randomOrder';
import { Stepper } from '../../../src/core/train/stepper';
import { trainableWeights } from '../../../src/core/train/trainable';
import { trainingGraph } from '../../../src/core/train/trainingGraph';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { graphOf, int64, node } from '../support/graphs';

describe('the parts of training', () => {
  const made = createOrtEngine('native', { threads: 1 });
  const engine = made as Engine;

  it('the native engine writes new weights where the last but one were', async () => {
    const graph = await graphOf({ inputs: { x: [null, 2] }, outputs: ['y'], weights: { w: [3, 2] }, nodes: [node('Gemm', ['x', 'w'], 'y', { transB: int(1) })] });
    const training = await trainingGraph(graph, aimOf(graph, { task: 'classification', title: '' }), { optimiser: { kind: 'sgd' } });
    const stepper = await Stepper.create(engine, graph, training);
    const x: NdArray = { dtype: 'float32', shape: [1, 2], data: Float32Array.of(1, -1) };
    const feeds = new Map([['x', x], [training.targets, int64([1])]]);
    const buffers: unknown[] = [];
    const values: number[] = [];
    for (let step = 1; step <= 4; step++) {
      await stepper.step([{ feeds, samples: 1 }], 0.1, step);
      const { data } = stepper.state().get('w')!;
      buffers.push(data.buffer);
      values.push(data[0] as number);
    }
    await stepper.dispose();
    assert.strictEqual(buffers[2], buffers[0]);
    assert.strictEqual(buffers[3], buffers[1]);
    assert.strictEqual(new Set(buffers).size, 2);
    assert.strictEqual(new Set(values).size, 4);
  });

  it('weights are told from constants', async () => {
    const array = (shape: number[], values: number[]): NdArray => ({ dtype: 'float32', shape, data: Float32Array.from(values) });
    const graph = await graphOf({
      inputs: { x: [null, 2, 2] }, outputs: ['y'],
      weights: { scale: array([2], [0.5, 0.5]), w: [2, 2], b: [2], mask: array([2, 2], [0, -1e9, 0, 0]), half: array([], [0.5]), place: [2, 2] },
      nodes: [
        node('Div', ['x', 'scale'], 's'), node('Transpose', ['w'], 't'), node('MatMul', ['s', 't'], 'm'), node('Add', ['m', 'b'], 'a'),
        node('Add', ['a', 'place'], 'p'), node('Add', ['p', 'mask'], 'k'), node('Mul', ['k', 'half'], 'y'),
      ],
    });
    const { weights, findings } = await trainableWeights(graph);
    assert.deepStrictEqual(weights, ['w', 'b', 'place']);
    assert.deepStrictEqual(findings.map(({ place, message }) => [place, message]), [
      ['s', 'A constant here is not trained: it only prepares the input.'], ['k', 'A constant here is not trained: it is a mask.'],
    ]);
  });

  it('learning rates rise, fall and step', () => {
    const rate = (kind: 'constant' | 'cosine', step: number): number =>
      learningRateAt({ learningRate: 1, schedule: { kind }, warmUpSteps: 4 }, step, 24, 8);
    assert.deepStrictEqual([0, 1, 3, 4, 20].map((step) => rate('constant', step)), [0.2, 0.4, 0.8, 1, 1]);
    assert.ok(Math.abs(rate('cosine', 14) - 0.5) < 1e-12 && rate('cosine', 24) < 1e-12 && rate('cosine', 4) === 1);
    const steps = [0, 15, 16, 33].map((step) => learningRateAt({ learningRate: 1, schedule: { kind: 'step', every: 2, factor: 0.1 }, warmUpSteps: 0 }, step, 99, 8));
    steps.forEach((value, index) => assert.ok(Math.abs(value - [1, 1, 0.1, 0.01][index]!) < 1e-12));
  });

  it('an order holds every sample once, and depends on seed and epoch', () => {
    const [one, other, same] = [randomOrder(500, 1, 0), randomOrder(500, 1, 1), randomOrder(500, 1, 0)];
    assert.deepStrictEqual([...one].sort((a, b) => a - b), Array.from({ length: 500 }, (_, index) => index));
    assert.deepStrictEqual(one, same);
    assert.notDeepStrictEqual(one, other);
    assert.notDeepStrictEqual(one, randomOrder(500, 2, 0));
    // No place keeps its neighbours: about one in 500 of following pairs would by chance.
    assert.ok([...one].filter((value, index) => one[index + 1] === value + 1).length < 6);
  });

  const losses: readonly (readonly [string, () => Promise<readonly [number, number]>])[] = [
    ['binary', async () => [await lossOf('ranking', 'binary', [1, -2, 0.5], [1, 0, 0]),
      (Math.log1p(Math.exp(-1)) + Math.log1p(Math.exp(-2)) + Math.log1p(Math.exp(0.5))) / 3]],
    ['pairwise', async () => [await lossOf('ranking', 'pairwise', [1, -2, 0.5], [1, 0, 0]), (Math.log1p(Math.exp(-3)) + Math.log1p(Math.exp(-0.5))) / 2]],
    ['squared error', async () => [await lossOf('regression', undefined, [1, -2, 0.5], [1, 0, 0]), (4 + 0.25) / 3]],
  ];
  for (const [name, values] of losses) {
    it(`the ${name} loss is what its definition says`, async () => {
      const [own, wanted] = await values();
      assert.ok(Math.abs(own - wanted) < 1e-6, `${own} is not ${wanted}`);
    });
  }

  it('distillation at alpha 1 is the divergence from the teacher', async () => {
    const graph = await identity(2);
    const aim = aimOf(graph, { task: 'classification', title: '' });
    const training = await trainingGraph(graph, aim, { optimiser: { kind: 'sgd' }, distillation: { temperature: 2, alpha: 1 } });
    const chances = (logits: readonly number[]): number[] => logits.map((logit) => Math.exp(logit / 2)).map((power, _, all) => power / (all[0]! + all[1]!));
    const [own, teacher] = [chances([1, -1]), chances([0, 3])];
    const wanted = 4 * teacher.reduce((sum, chance, index) => sum + chance * Math.log(chance / own[index]!), 0);
    const found = await step(graph, training, [1, -1], 2, int64([0]), new Map([[training.teacher!, { dtype: 'float32', shape: [1, 2], data: Float32Array.of(0, 3) }]]));
    assert.ok(Math.abs(found - wanted) < 1e-5, `${found} is not ${wanted}`);
  });

  async function lossOf(task: 'ranking' | 'regression', loss: 'binary' | 'pairwise' | undefined, outputs: readonly number[], targets: readonly number[]): Promise<number> {
    const graph = await identity(1);
    const training = await trainingGraph(graph, aimOf(graph, { task, title: '' }, loss), { optimiser: { kind: 'sgd' } });
    return step(graph, training, outputs, 1, { dtype: 'float32', shape: [targets.length, 1], data: Float32Array.from(targets) });
  }

  async function step(
    graph: Awaited<ReturnType<typeof graphOf>>, training: Awaited<ReturnType<typeof trainingGraph>>, x: readonly number[], width: number, targets: NdArray,
    more: ReadonlyMap<string, NdArray> = new Map(),
  ): Promise<number> {
    const stepper = await Stepper.create(engine, graph, training);
    const input: NdArray = { dtype: 'float32', shape: [x.length / width, width], data: Float32Array.from(x) };
    const { loss } = await stepper.step([{ feeds: new Map([['x', input], [training.targets, targets], ...more]), samples: 1 }], 0, 1);
    await stepper.dispose();
    return loss;
  }

  /** Gives back what it gets, through a weight. */
  function identity(width: number): ReturnType<typeof graphOf> {
    const data = Float32Array.from({ length: width * width }, (_, at) => Number(at % (width + 1) === 0));
    return graphOf({ inputs: { x: [null, width] }, outputs: ['y'], weights: { w: { dtype: 'float32', shape: [width, width], data } }, nodes: [node('MatMul', ['x', 'w'], 'y')] });
  }
});
