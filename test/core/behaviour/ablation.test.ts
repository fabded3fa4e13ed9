import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ablation } from '../../../src/core/behaviour/ablation/ablation';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { evaluateMasked, openMasked } from '../../../src/core/behaviour/masked';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { CancelledError } from '../../../src/core/graph/errors';
import type { Engine } from '../../../src/core/graph/engine';
import { int, ints } from '../../../src/core/graph/attributes';
import { closeOver } from '../../../src/core/optimise/groups';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, node } from '../support/graphs';
import { digits, openSample, root } from '../support/openSample';

const fixtures = path.join(root, 'test/fixtures/ablation');
const shared = path.join(root, '../shared/models');
const mnist = path.join(root, 'test/fixtures/recipes/mnist.particlize.json');

interface Expected {
  readonly loss: number;
  readonly layers: Readonly<Record<string, readonly number[]>>;
}

describe('exact ablation', function () {
  this.timeout(60_000);

  describe('equals what PyTorch computes by whole new runs', () => {
    const expected = JSON.parse(fs.readFileSync(path.join(fixtures, 'expected.json'), 'utf8')) as Record<string, Expected>;
    for (const [name, { loss, layers }] of Object.entries(expected)) {
      it(name, async () => {
        const context = await openFixture(name);
        const evaluation = await evaluate(context.graph, context.engine, context.data, { memoryBytes: 2 ** 28 });
        close(evaluation.loss, loss, 1e-5);
        const [lossChange] = await ablation.compute(context);
        assert.deepEqual(context.table.groups.map(({ layer }) => layer), Object.keys(layers));
        for (const group of context.table.groups) {
          layers[group.layer]!.forEach((change, particle) => close(lossChange![group.firstRow + particle]!, change, 1e-5, `${group.layer}:${particle}`));
        }
      });
    }

    it('digits, accuracy too', async () => {
      const known = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as {
        particles: Record<string, { ablationLossChange: number[]; ablationAccuracyChange: number[] }>;
      };
      const context = await openDigits();
      const [lossChange, metricChange] = await ablation.compute(context);
      for (const group of context.table.groups) {
        const layer = known.particles[group.layer]!;
        for (let particle = 0; particle < group.count; particle++) {
          close(lossChange![group.firstRow + particle]!, layer.ablationLossChange[particle]!, 1e-5, `${group.layer}:${particle}`);
          close(metricChange![group.firstRow + particle]!, layer.ablationAccuracyChange[particle]!, 1e-6, `${group.layer}:${particle}`);
        }
      }
    });
  });

  describe('equals a full run with the particle masked', () => {
    for (const name of ['branches', 'separable']) {
      it(name, async () => sameAsMasked(await openFixture(name)));
    }

    it('digits', async () => sameAsMasked(await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 40 })));

    it('a wide network, by contributions', async () => sameAsMasked(await openWide(), 9));

    for (const model of ['tfjs-layers/tensorspace-lenet-from-keras/model.json', 'onnx/ort-mnist/mnist.onnx']) {
      it(model, async function () {
        if (!fs.existsSync(shared)) {
          console.log('      skipped: ../shared/models is not here');
          return this.skip();
        }
        await sameAsMasked(await openSample(path.join(shared, model), mnist, { samples: 20 }), 7);
      });
    }
  });

  it('does not depend on how much memory it may take', async () => {
    const roomy = await ablation.compute(await openFixture('residual'));
    const context = await openFixture('residual', 20_000);
    const tight = await ablation.compute(context);
    roomy[0]!.forEach((value, row) => close(tight[0]![row]!, value, 1e-6, context.table.id(row)));
  });

  it('takes the terms of a particle from the next sum instead of running that layer again', async () => {
    const context = await openWide();
    const compiled: (readonly string[])[] = [];
    const engine: Engine = {
      ...context.engine,
      compile: (graph, feeds, fetches) => {
        compiled.push(feeds);
        return context.engine.compile(graph, feeds, fetches);
      },
    };
    await ablation.compute({ ...context, engine, layers: new Set(['c1']) });
    assert.ok(compiled.some((feeds) => feeds.includes('particlize/particles')), 'no contributions were computed');
    // Once: all particles, the prefix, their terms and the suffix.
    assert.equal(compiled.length, 3);
    compiled.length = 0;
    await ablation.compute({ ...context, ...(await openDigits()), engine, layers: new Set(['conv1']) });
    assert.ok(!compiled.some((feeds) => feeds.includes('particlize/particles')), 'a narrow consumer is cheaper run again');
  });

  it('brings values while it goes, and stops when cancelled', async () => {
    const controller = new AbortController();
    const context = await openDigits();
    let arrived = 0;
    const task = { signal: controller.signal, progress: () => undefined };
    const running = ablation.compute({
      ...context, task,
      arrived: (column, values) => {
        if (column !== 'ablationLossChange') return;
        arrived++;
        assert.ok(values.some((value) => !Number.isNaN(value)));
        assert.ok(Number.isNaN(values[context.table.rowCount - 1]!), 'the last layer cannot be there yet');
        controller.abort();
      },
    });
    await assert.rejects(running, CancelledError);
    assert.equal(arrived, 1);
  });

  it('masks several particles at once', async () => {
    const context = await openDigits();
    const none = await evaluateMasked(context, []);
    const all = await evaluateMasked(context, rowsOf(context, 'conv2'));
    const half = await evaluateMasked(context, rowsOf(context, 'conv2').filter((row) => row % 2));
    const before = await evaluate(context.graph, context.engine, context.data, { memoryBytes: 2 ** 28 });
    close(none.loss, before.loss, 1e-7);
    assert.equal(none.metrics['accuracy'], before.metrics['accuracy']);
    assert.ok(all.metrics['accuracy']! < 0.2, 'without any kernel of conv2 the model guesses');
    assert.ok(half.loss > none.loss && half.loss < all.loss);
  });
});

async function sameAsMasked(context: BehaviourContext, everyNth = 1): Promise<void> {
  const [lossChange, metricChange, outputChange] = await ablation.compute(context);
  const masked = await openMasked(context);
  try {
    const before = await masked.evaluate([]);
    let compared = 0;
    for (let row = 0; row < context.table.rowCount; row += everyNth) {
      // What a sum or groups tie to others goes with them when masked; alone it is held against PyTorch above.
      if (closeOver(context.graph, context.table, [row]).length > 1) continue;
      compared++;
      const after = await masked.evaluate([row]);
      close(lossChange![row]!, after.loss - before.loss, 1e-5, context.table.id(row));
      close(metricChange![row]!, after.metrics['accuracy']! - before.metrics['accuracy']!, 1e-6, context.table.id(row));
      close(outputChange![row]!, after.outputChange, 1e-5, context.table.id(row));
    }
    assert.ok(compared > 0, 'some particle can go by itself');
  } finally {
    await masked.dispose();
  }
}

function openFixture(name: string, memoryBytes?: number): ReturnType<typeof openSample> {
  return openSample(path.join(fixtures, `${name}.onnx`), path.join(fixtures, `${name}.particlize.json`), { memoryBytes });
}

function openDigits(): ReturnType<typeof openSample> {
  return openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
}

function rowsOf({ table }: BehaviourContext, layer: string): number[] {
  const { firstRow, count } = table.group(layer)!;
  return Array.from({ length: count }, (_, index) => firstRow + index);
}

function close(actual: number, expected: number, tolerance: number, what = ''): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} instead of ${expected}`);
}

/** Random weights, wide enough that subtracting a kernel's term is cheaper than running the next layer again. */
async function openWide(): Promise<BehaviourContext> {
  const context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 12 });
  const pads = ints([1, 1, 1, 1]);
  const graph = await graphOf({
    inputs: { image: [null, 1, 8, 8] }, outputs: ['y'],
    weights: { w1: [64, 1, 3, 3], b1: [64], w2: [64, 64, 3, 3], b2: [64], w3: [64, 10] },
    nodes: [
      node('Conv', ['image', 'w1', 'b1'], 'c1', { pads }), node('Relu', ['c1'], 'r1'),
      node('Conv', ['r1', 'w2', 'b2'], 'c2', { pads }), node('Relu', ['c2'], 'r2'),
      node('GlobalAveragePool', ['r2'], 'p'), node('Flatten', ['p'], 'f', { axis: int(1) }), node('MatMul', ['f', 'w3'], 'y'),
    ],
  });
  return { ...context, graph, table: decompose(graph) };
}
