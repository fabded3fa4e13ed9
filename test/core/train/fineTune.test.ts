import assert from 'node:assert';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { loadRecipe } from '../../../src/compute/recipeFiles';
import type { Dataset } from '../../../src/core/data/dataset';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { openModel } from '../../../src/core/formats/registry';
import type { ByteSource } from '../../../src/core/graph/byteSource';
import type { Engine } from '../../../src/core/graph/engine';
import { CancelledError } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { int } from '../../../src/core/graph/attributes';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import type { CheckpointPort } from '../../../src/core/train/checkpoint';
import { fineTune, type CurvePoint, type FineTuneContext, type FineTuned, type FineTuneOptions } from '../../../src/core/train/fineTune';
import { subset } from '../../../src/core/train/samples';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { graphOf, node, seededRandom } from '../support/graphs';
import { digits } from '../support/openSample';

const plain: FineTuneOptions = {
  optimiser: { kind: 'sgd', momentum: 0.9 }, learningRate: 0.05, schedule: { kind: 'constant' }, warmUpSteps: 0, epochs: 3, batch: 16, seed: 1,
};

describe('fine-tuning', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(() => {
    const made = createOrtEngine('native', { threads: 1 });
    if ('reason' in made) assert.fail(made.reason);
    engine = made;
  });

  /** Two classes that a line through the origin cannot part, with a small net that can. */
  const small = (): Promise<ModelGraph> => graphOf({
    inputs: { x: [null, 2] }, outputs: ['y'], weights: { w1: [8, 2], b1: [8], w2: [2, 8], b2: [2] },
    nodes: [node('Gemm', ['x', 'w1', 'b1'], 'h', { transB: int(1) }), node('Relu', ['h'], 'r'), node('Gemm', ['r', 'w2', 'b2'], 'y', { transB: int(1) })],
  });
  const context = async (more: Partial<FineTuneContext> = {}): Promise<FineTuneContext> => ({
    model: await small(), engine, train: ring(100, 5), validation: ring(40, 6), memoryBytes: 2 ** 26, digest: 'a', ...more,
  });

  it('a model with half of its particles removed gets its accuracy back', async () => {
    const graph = await openModel(await fileSetOf(path.join(digits, 'model.onnx')));
    const load = async (split: string): Promise<Dataset> => (await loadRecipe(path.join(digits, 'digits.particlize.json'), graph, { split })).dataset;
    const [train, test] = [await load('train'), await load('test')];
    const table = decompose(graph);
    const last = table.groups.at(-1)!;
    const particles = table.groups.filter((group) => group !== last).flatMap((group) =>
      Array.from({ length: group.count }, (_, index) => index).filter((index) => index % 2).map((index) => table.id(group.firstRow + index)));
    const halved = (await applyPlan(graph, table, { version: 1, model: { file: '', sha256: '' }, steps: [{ action: 'remove', particles }] })).graph;
    const accuracy = async (model: ModelGraph): Promise<number> => (await evaluate(model, engine, test, { memoryBytes: 2 ** 27 })).metrics.accuracy!;
    const [original, broken] = [await accuracy(graph), await accuracy(halved)];
    const { graph: trained, rows } = await fineTune({
      model: halved, engine, train, validation: subset(train, Uint32Array.from({ length: 100 }, (_, index) => index)), teacher: graph, memoryBytes: 2 ** 27,
    }, { ...plain, optimiser: { kind: 'adam' }, learningRate: 3e-3, schedule: { kind: 'cosine' }, epochs: 6, batch: 32 });
    const after = await accuracy(trained);
    assert.ok(broken < original - 0.1, `removing should have hurt: ${original} to ${broken}`);
    assert.ok(after > original - 0.03, `${original} fell to ${broken} and came back to ${after} only`);
    assert.strictEqual(rows.length, 7);
    assert.ok(rows[6]!.learningRate! < 1e-4);
  });

  it('a run that is cancelled and goes on ends with the numbers of one that was not', async () => {
    for (const optimiser of [{ kind: 'sgd', momentum: 0.9 }, { kind: 'adamw' }] as const) {
      const options = { ...plain, optimiser, learningRate: 0.01 };
      const whole = await fineTune(await context(), options);
      const port = memoryPort();
      for (const stopAt of [3, 9]) {
        const controller = new AbortController();
        const curve = (points: readonly CurvePoint[]): void => {
          if (points.at(-1)!.step >= stopAt) controller.abort();
        };
        await assert.rejects(fineTune(await context({ checkpoint: port, resume: stopAt > 3, task: { signal: controller.signal, curve } }), options), CancelledError);
      }
      const resumed = await fineTune(await context({ checkpoint: port, resume: true }), options);
      assert.deepStrictEqual(resumed.rows, whole.rows);
      assert.deepStrictEqual(await numbers(resumed), await numbers(whole));
      assert.ok(whole.rows.at(-1)!.loss! < whole.rows[1]!.loss!);
    }
  });

  it('a killed run goes on from what it wrote last', async () => {
    const whole = await fineTune(await context(), plain);
    const port = memoryPort();
    // Dies without a word after its second write.
    const dying: CheckpointPort = { ...port, write: async (file) => {
      if (port.writes === 2) throw new Error('killed');
      await port.write(file);
    } };
    await assert.rejects(fineTune(await context({ checkpoint: dying }), { ...plain, checkpointMs: 0 }), /killed/);
    assert.deepStrictEqual(await numbers(await fineTune(await context({ checkpoint: port, resume: true }), plain)), await numbers(whole));
  });

  it('another seed gives other weights, the same seed the same', async () => {
    const [one, same, other] = [await fineTune(await context(), plain), await fineTune(await context(), plain), await fineTune(await context(), { ...plain, seed: 2 })];
    assert.deepStrictEqual(await numbers(one), await numbers(same));
    assert.notDeepStrictEqual(await numbers(one), await numbers(other));
  });

  it('less memory means smaller pieces and the same steps', async () => {
    const [whole, pieces] = [await fineTune(await context(), plain), await fineTune(await context({ memoryBytes: 1200 }), plain)];
    const [a, b] = [await numbers(whole), await numbers(pieces)];
    a.forEach((value, index) => assert.ok(Math.abs(value - b[index]!) < 1e-4));
    assert.notDeepStrictEqual(a, b);
  });

  it('what diverges stops in one sentence and keeps the best', async () => {
    const start = await context();
    const { stopped, message, graph, bestEpoch } = await fineTune(start, { ...plain, learningRate: 1e6 });
    assert.strictEqual(stopped, 'diverged');
    assert.match(message!, /^Training diverged at step \d+: .*; the weights of epoch 0 are kept\. Try a smaller learning rate than 1000000$/);
    assert.strictEqual(bestEpoch, 0);
    assert.deepStrictEqual(await weightsOf(graph), await weightsOf(start.model));
  });

  it('stops early when nothing gets better, with the best weights', async () => {
    const { stopped, rows, bestEpoch, message } = await fineTune(await context(), { ...plain, learningRate: 1e-12, patience: 2, epochs: 50 });
    assert.strictEqual(stopped, 'early');
    assert.ok(rows.length < 20 && bestEpoch === rows.length - 3, message);
  });

  it('layers that are to stay keep their weights', async () => {
    const start = await context();
    const { graph } = await fineTune(start, { ...plain, frozenLayers: ['h'] });
    const [before, after] = [await weightsOf(start.model), await weightsOf(graph)];
    assert.deepStrictEqual(after.get('w1'), before.get('w1'));
    assert.notDeepStrictEqual(after.get('w2'), before.get('w2'));
  });

  it('says what cannot be done', async () => {
    const fails = async (more: Partial<FineTuneContext>, message: RegExp, options: Partial<FineTuneOptions> = {}): Promise<void> => {
      await assert.rejects(fineTune(await context(more), { ...plain, ...options }), { name: 'ParticlizeError', message });
    };
    const unlabelled = { ...ring(10, 1), labels: () => Promise.resolve(undefined) };
    await fails({ train: unlabelled }, /there are no labels/);
    const holed = ring(10, 1);
    await fails({ train: { ...holed, async inputs(from, to) {
      const inputs = await holed.inputs(from, to);
      if (from <= 7 && to > 7) inputs.get('x')!.data[2 * (7 - from)] = NaN;
      return inputs;
    } } }, /sample 7 holds a value that is not a number/);
    await fails({}, /no weights that can be trained/, { frozenLayers: ['h', 'y'] });
    await fails({ resume: true, checkpoint: memoryPort() }, /there is no checkpoint to go on from/);
    const port = memoryPort();
    await fineTune(await context({ checkpoint: port }), { ...plain, epochs: 1 });
    await fails({ resume: true, checkpoint: port, digest: 'b' }, /the checkpoint was made with another model/);
    await fails({ resume: true, checkpoint: port }, /made with learning rate 0.05, not 0.1/, { learningRate: 0.1 });
    await fails({ resume: true, checkpoint: port, train: ring(90, 5) }, /made with 100 training samples, but there are 90/);
    for (const length of [0, 5, 300, port.bytes.length - 1]) {
      const cut = memoryPort(port.bytes.subarray(0, length));
      await fails({ resume: true, checkpoint: cut }, /the checkpoint is damaged/);
    }
    // As it was, it goes on for another epoch.
    assert.strictEqual((await fineTune(await context({ resume: true, checkpoint: port }), { ...plain, epochs: 2 })).rows.length, 3);
  });

  it('weights in front of an operator without a gradient stay, and a finding says so', async () => {
    const model = await graphOf({
      inputs: { x: [null, 2] }, outputs: ['y'], weights: { w1: [8, 2], w2: [2, 8], axis: { dtype: 'int64', shape: [], data: BigInt64Array.of(1n) } },
      nodes: [node('Gemm', ['x', 'w1'], 'h', { transB: int(1) }), node('CumSum', ['h', 'axis'], 'r'), node('Gemm', ['r', 'w2'], 'y', { transB: int(1) })],
    });
    const { graph, findings } = await fineTune(await context({ model, validation: undefined }), plain);
    assert.match(findings.map(({ message }) => message).join(), /1 weights in front of here are not trained: there is no gradient rule for CumSum/);
    const [before, after] = [await weightsOf(model), await weightsOf(graph)];
    assert.deepStrictEqual(after.get('w1'), before.get('w1'));
    assert.notDeepStrictEqual(after.get('w2'), before.get('w2'));
  });

  async function numbers({ graph }: FineTuned): Promise<number[]> {
    return [...(await weightsOf(graph)).values()].flatMap((values) => [...values]);
  }
});

async function weightsOf(graph: ModelGraph): Promise<Map<string, Float32Array>> {
  const entries = [...graph.tensors.values()].filter(({ dtype }) => dtype === 'float32');
  return new Map(await Promise.all(entries.map(async (tensor) => [tensor.name, (await tensor.read()).data as Float32Array] as const)));
}

/** Points inside a circle, or outside. */
function ring(count: number, seed: number): Dataset {
  const random = seededRandom(seed);
  const points = Float32Array.from({ length: 2 * count }, () => random() * 4 - 2);
  return {
    title: 'ring.particlize.json', task: 'classification', count, seed: 0, synthetic: true, classes: ['in', 'out'],
    inputs: (from, to) => Promise.resolve(new Map([['x', { dtype: 'float32', shape: [to - from, 2], data: points.slice(2 * from, 2 * to) }]])),
    labels: (from, to) => Promise.resolve({
      dtype: 'int32', shape: [to - from], data: Int32Array.from({ length: to - from }, (_, at) => Number(Math.hypot(points[2 * (from + at)]!, points[2 * (from + at) + 1]!) > 1.4)),
    }),
  };
}

function memoryPort(start?: Uint8Array): CheckpointPort & { bytes: Uint8Array; writes: number } {
  const port = {
    bytes: start ?? new Uint8Array(), writes: 0, there: start !== undefined,
    read: (): Promise<ByteSource | undefined> => Promise.resolve(port.there
      ? { name: 'checkpoint.safetensors', sizeBytes: port.bytes.length, read: (offset: number, length: number) => Promise.resolve(port.bytes.slice(offset, offset + length)) } : undefined),
    write: async ({ chunks, sizeBytes }: { chunks(): AsyncIterable<Uint8Array>; sizeBytes: number }): Promise<void> => {
      const parts: Uint8Array[] = [];
      for await (const part of chunks()) parts.push(part);
      port.bytes = new Uint8Array(Buffer.concat(parts));
      assert.strictEqual(port.bytes.length, sizeBytes);
      port.writes++;
      port.there = true;
    },
  };
  return port;
}
