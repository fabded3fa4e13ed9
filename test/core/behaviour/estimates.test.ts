import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ablation } from '../../../src/core/behaviour/ablation/ablation';
import { agreement } from '../../../src/core/behaviour/agreement';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { estimateLosses } from '../../../src/core/behaviour/lossEstimate';
import { estimateThenVerify } from '../../../src/core/behaviour/estimateThenVerify';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import { digits, openSample, root } from '../support/openSample';

const folder = path.join(root, 'test/fixtures/behaviour');
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as
  Record<string, { readonly loss: number; readonly layers: Readonly<Record<string, readonly number[]>> }>;
/** Layers as PyTorch's side names them, where attention is a layer of its own. */
const names: Readonly<Record<string, string>> = { block1: 'block1.heads', block2: 'block2.heads' };

describe('estimates of the exact ablation', function () {
  this.timeout(60_000);

  // Without measuring small layers: what linearised outputs alone give.
  const linear: Readonly<Record<string, readonly [spearman: number, pearson: number]>> = {
    cnn: [0.99, 0.99], charLstm: [0.75, 0.87], transformer: [0.92, 0.95], factors: [0.99, 0.99],
  };
  for (const [name, least] of Object.entries(linear)) {
    it(`${name}: from backward passes alone, against PyTorch's whole new runs`, async () => {
      const context = await openFixture(name);
      const { loss, measured } = await estimateLosses(context, context.table.groups, { measuring: false, layers: 0 });
      assert.equal(measured.size, 0);
      above(agreed(context, name, loss), least);
    });

    it(`${name}: with small layers measured, Spearman 0.97 and Pearson 0.93`, async () => {
      const context = await openFixture(name);
      const { loss, measured } = await estimateLosses(context, context.table.groups);
      above(agreed(context, name, loss), [0.97, 0.93]);
      above(agreed(context, name, loss, (row) => !measured.has(row)), [0.97, 0.93]);
    });
  }

  it('are exact where only linear operators follow the next layer, through which the change is carried', async () => {
    const context = await openFixture('cnn');
    const { firstRow, count } = context.table.group('conv3')!;
    const known = expected['cnn']!.layers['conv3']!;
    const furthest = async (layers: number): Promise<number> => {
      const { loss } = await estimateLosses(context, context.table.groups, { measuring: false, layers });
      return Math.max(...Array.from({ length: count }, (_, particle) => Math.abs(loss[firstRow + particle]! - known[particle]!)));
    };
    assert.ok(await furthest(1) < 1e-4, `${await furthest(1)}`);
    assert.ok(await furthest(0) > 1e-3, 'gradients alone are off');
  });

  it('follow the steepest outputs and measure the curvature of the rest when there are many', async () => {
    const context = await openFixture('transformer');
    const { loss } = await estimateLosses(context, context.table.groups, { outputs: 8, measuring: false });
    above(agreed(context, 'transformer', loss), [0.85, 0.9]);
  });

  it('say how far they are off, from a sample first and from the exact column when it comes', async () => {
    const context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 120 });
    await addBehaviour(context, new Set(['estimatedLossChange']));
    const { provenance } = context.table.column('estimatedLossChange')!;
    assert.equal(provenance.exact, false);
    assert.equal(provenance.error!.comparedWith, 16);
    assert.ok(provenance.error!.spearman > 0.9, `${provenance.error!.spearman}`);
    assert.ok(provenance.error!.absolute! > 0);
    await addBehaviour(context, new Set(['ablationLossChange']));
    const after = context.table.column('estimatedLossChange')!.provenance.error!;
    assert.ok(after.comparedWith > 60, 'compared with all exact values');
    assert.ok(after.spearman >= 0.97 && after.pearson >= 0.93, JSON.stringify(after));
    const metric = context.table.column('estimatedMetricChange')!;
    assert.ok(metric.provenance.error!.spearman > 0.8);
  });

  it('a column of constants would show', () => {
    const exact = [0.1, 0.5, 0.2, 0.9];
    const flat = agreement([1, 1, 1, 1], exact)!;
    assert.deepEqual([flat.spearman, flat.pearson], [0, 0]);
    assert.equal(agreement([1, 5, 2, 9], exact)!.spearman, 1);
    assert.equal(agreement([4, 2, 3, 1], exact)!.spearman, -1);
    assert.equal(agreement([1], [1]), undefined);
  });

  it('then verified near the boundary give nearly the same lowest 30 % as measuring all', async () => {
    for (const name of ['cnn']) {
      const context = await openFixture(name);
      const found = await estimateThenVerify(context, { lowestShare: 0.3 });
      const [exact] = await ablation.compute(context);
      const all = Array.from(exact!.keys()).sort((one, two) => exact![one]! - exact![two]!);
      const right = new Set(all.slice(0, Math.floor(0.3 * all.length)));
      assert.equal(found.rows.length, right.size);
      const share = found.rows.filter((row) => right.has(row)).length / right.size;
      assert.ok(share >= 0.95, `${name}: ${share}`);
      assert.ok(found.measured.size < 0.5 * all.length, `${found.measured.size} of ${all.length} were measured`);
      for (const row of found.measured) close(found.values[row]!, exact![row]!, 1e-5);
      assert.ok(found.error!.spearman > 0.5);
    }
  });

  it('then verified find all below a threshold', async () => {
    const context = await openFixture('cnn');
    const { rows, values } = await estimateThenVerify(context, { atMost: 0.001 });
    const [exact] = await ablation.compute(context);
    const right = Array.from(exact!.keys()).filter((row) => exact![row]! <= 0.001);
    assert.ok(right.length > 3);
    assert.deepEqual([...rows].sort((one, two) => one - two), right);
    for (let at = 1; at < rows.length; at++) assert.ok(values[rows[at - 1]!]! <= values[rows[at]!]!);
  });
});

function openFixture(name: string): ReturnType<typeof openSample> {
  return openSample(path.join(folder, `${name}.onnx`), path.join(folder, `${name}.particlize.json`));
}

function agreed({ table }: BehaviourContext, name: string, values: Float32Array, which: (row: number) => boolean = () => true): NonNullable<ReturnType<typeof agreement>> {
  const [estimated, exact]: [number[], number[]] = [[], []];
  for (const { layer, firstRow, count } of table.groups) {
    const known = expected[name]!.layers[names[layer] ?? layer]!;
    assert.equal(known.length, count);
    for (let particle = 0; particle < count; particle++) {
      if (!which(firstRow + particle)) continue;
      estimated.push(values[firstRow + particle]!);
      exact.push(known[particle]!);
    }
  }
  return agreement(estimated, exact)!;
}

function above({ spearman, pearson }: { spearman: number; pearson: number }, [least, leastPearson]: readonly [number, number]): void {
  assert.ok(spearman >= least && pearson >= leastPearson, `Spearman ${spearman.toFixed(4)}, Pearson ${pearson.toFixed(4)}`);
}

function close(actual: number, wanted: number, tolerance: number): void {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual} instead of ${wanted}`);
}
