import assert from 'node:assert';
import path from 'node:path';
import { fileSetOf, fileSource } from '../../../src/compute/files';
import { openDataFile } from '../../../src/core/data/dataFormats';
import { batchModel, rowsOf } from '../../../src/core/evaluate/batching';
import { openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { NdArray } from '../../../src/core/graph/tensor';
import { aimOf } from '../../../src/core/train/aim';
import type { OptimiserOptions } from '../../../src/core/train/optimisers';
import { Stepper } from '../../../src/core/train/stepper';
import { trainingGraph, type TrainingGraphOptions } from '../../../src/core/train/trainingGraph';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { createTfjsEngine } from '../../../src/engines/tfjs/tfjsEngine';
import { int, ints } from '../../../src/core/graph/attributes';
import { graphOf, int64, node, randomArray, relativeError, seededRandom } from '../support/graphs';

const folder = path.resolve(__dirname, '../../fixtures/training');
const batches = 4;

const optimisers: Readonly<Record<string, { readonly optimiser: OptimiserOptions; readonly rate: number; readonly clipNorm?: number }>> = {
  sgd: { optimiser: { kind: 'sgd', momentum: 0.9, weightDecay: 1e-3 }, rate: 0.05 },
  nesterov: { optimiser: { kind: 'sgd', momentum: 0.9, nesterov: true }, rate: 0.05 },
  adam: { optimiser: { kind: 'adam' }, rate: 1e-2 },
  adamw: { optimiser: { kind: 'adamw', weightDecay: 0.05 }, rate: 1e-2 },
  clipped: { optimiser: { kind: 'sgd' }, rate: 0.1, clipNorm: 0.5 },
};

/** What PyTorch has after the same steps from the same weights: test/fixtures/make/trainingSteps.py. */
describe('training steps against PyTorch', function () {
  this.timeout(60_000);
  const native = createOrtEngine('native', { threads: 1 });
  for (const model of ['convolutional', 'recurrent', 'attentive']) {
    for (const name of Object.keys(optimisers)) {
      it(`${model}, ${name}`, async () => {
        if ('reason' in native) assert.fail(native.reason);
        await compare(native, model, name);
      });
    }
    it(`${model}: pieces of a batch add up to the batch`, async function () {
      if ('reason' in native) assert.fail(native.reason);
      // The statistics of a batch are not those of its pieces.
      if (model === 'convolutional') await compare(native, model, 'sgd', { accumulate: true }, 6);
      else await compare(native, model, 'sgd', { accumulate: true }, 4);
    });
  }
  it('ONNX Runtime for the web takes the same steps', async () => {
    const web = createOrtEngine('web', { threads: 1 });
    if ('reason' in web) assert.fail(web.reason);
    await compare(web, 'convolutional', 'sgd');
    await compare(web, 'attentive', 'adam');
  });
  it('TensorFlow.js takes the same steps', async () => {
    const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
    if ('reason' in tfjs) assert.fail(tfjs.reason);
    if ('reason' in native) assert.fail(native.reason);
    const graph = await graphOf({
      inputs: { x: [null, 2, 6, 6] }, outputs: ['y'],
      weights: { k: [4, 2, 3, 3], scale: [4], shift: [4], mean: [4], variance: ones(4), w: [3, 4], b: [3] },
      nodes: [
        node('Conv', ['x', 'k'], 'c', { pads: ints([1, 1, 1, 1]) }), node('BatchNormalization', ['c', 'scale', 'shift', 'mean', 'variance'], 'n'),
        node('Relu', ['n'], 'r'), node('GlobalAveragePool', ['r'], 'p'), node('Flatten', ['p'], 'f'), node('Gemm', ['f', 'w', 'b'], 'y', { transB: int(1) }),
      ],
    });
    const training = await trainingGraph(graph, aimOf(graph, { task: 'classification', title: 'small' }), { optimiser: { kind: 'adam' }, clipNorm: 1 });
    const feeds = new Map([['x', randomArray([5, 2, 6, 6], seededRandom(3))], [training.targets, int64([0, 1, 2, 1, 0])]]);
    const [one, other] = await Promise.all([native, tfjs].map(async (engine) => {
      const stepper = await Stepper.create(engine, graph, training);
      const losses: number[] = [];
      for (let step = 1; step <= 5; step++) losses.push((await stepper.step([{ feeds, samples: 5 }], 0.05, step)).loss);
      return [...losses, ...[...stepper.weights().values()].flatMap((values) => [...values])];
    }));
    assert.ok(one![4]! < one![0]!);
    assert.ok(relativeError(other!, one!) < 1e-4, String(relativeError(other!, one!)));
  });
});

function ones(count: number): NdArray {
  return { dtype: 'float32', shape: [count], data: new Float32Array(count).fill(1) };
}

async function compare(engine: Engine, name: string, kind: string, options: Partial<TrainingGraphOptions> = {}, piece = 6): Promise<void> {
  const { graph } = await batchModel(await openModel(await fileSetOf(path.join(folder, `${name}.onnx`))));
  const { optimiser, rate, clipNorm } = optimisers[kind]!;
  const truth = await openDataFile(await fileSource(path.join(folder, 'steps.npz')), 2 ** 26);
  const whole = async (key: string): Promise<NdArray> => {
    const source = await truth.array(key);
    return source.rows(0, source.shape[0]!);
  };
  const aim = aimOf(graph, { task: 'classification', title: name });
  const training = await trainingGraph(graph, aim, { optimiser, clipNorm, ...options });
  const stepper = await Stepper.create(engine, graph, training);
  try {
    const [x, labels] = [await whole(`${name}.x`), await whole(`${name}.labels`)];
    const places = await placesOf(stepper.weights(), truth.arrays.filter((key) => key.startsWith(`${name}.start.0.`)), whole);
    for (let step = 1; step <= 20; step++) {
      const [inputs, targets] = [x, labels].map((array) => {
        const row = rowsOf(array, (step - 1) % batches, ((step - 1) % batches) + 1);
        return { ...row, shape: row.shape.slice(1) };
      });
      const pieces = [];
      for (let from = 0; from < 6; from += piece) {
        const to = Math.min(6, from + piece);
        pieces.push({ feeds: new Map([['x', rowsOf(inputs!, from, to)], [training.targets, rowsOf(targets!, from, to)]]), samples: to - from });
      }
      await stepper.step(pieces, rate, step);
      if (step !== 1 && step !== 20) continue;
      const weights = stepper.weights();
      for (const { key, name: own, transposed } of places) {
        const wanted = await whole(`${name}.${kind}.${step}.${key}`);
        const values = transposed ? turned(wanted) : wanted.data as Float32Array;
        const worst = weights.get(own)!.reduce((most, value, index) => Math.max(most, Math.abs(value - values[index]!)), 0);
        assert.ok(worst <= (step === 1 ? 1e-5 : 1e-4), `${key} is off by ${worst} after ${step} steps`);
      }
    }
  } finally {
    await stepper.dispose();
  }
}

interface Place {
  readonly key: string;
  readonly name: string;
  readonly transposed: boolean;
}

/** Which trained tensor is which of PyTorch's: by name, else by its numbers before training, as they are or transposed. */
async function placesOf(weights: ReadonlyMap<string, Float32Array>, keys: readonly string[], read: (key: string) => Promise<NdArray>): Promise<readonly Place[]> {
  const places: Place[] = [];
  for (const full of keys) {
    const array = await read(full);
    const key = full.split('.').slice(3).join('.');
    const equal = (one: Float32Array, other: Float32Array): boolean => one.length === other.length && one.every((value, index) => value === other[index]);
    const named = weights.has(key) && equal(weights.get(key)!, array.data as Float32Array) ? key : undefined;
    const direct = named ?? [...weights].find(([, values]) => equal(values, array.data as Float32Array))?.[0];
    const other = direct ?? [...weights].find(([, values]) => array.shape.length === 2 && equal(values, turned(array)))?.[0];
    assert.ok(other, `${key} is not trained`);
    places.push({ key, name: other, transposed: direct === undefined });
  }
  return places;
}

function turned({ shape: [rows = 1, columns = 1], data }: NdArray): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, at) => (data as Float32Array)[(at % rows) * columns + Math.floor(at / rows)]!);
}
