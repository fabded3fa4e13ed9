import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ablation, meanAblation, resampleAblation } from '../../../src/core/behaviour/ablation/ablation';
import { otherSamples } from '../../../src/core/behaviour/ablation/otherSamples';
import { gatherRows, replaceIndices, changedSamples } from '../../../src/core/behaviour/ablation/replacedRows';
import { particleIndices } from '../../../src/core/behaviour/consumers';
import { forEachBatch } from '../../../src/core/behaviour/forward';
import { addBehaviour } from '../../../src/core/behaviour/registry';
import type { Engine } from '../../../src/core/graph/engine';
import type { NdArray } from '../../../src/core/graph/tensor';
import { digits, openSample, root } from '../support/openSample';

const fixtures = path.join(root, 'test/fixtures/ablation');
const read = <T>(name: string): T => JSON.parse(fs.readFileSync(path.join(fixtures, name), 'utf8')) as T;

type Rows = Readonly<Record<string, readonly (readonly [loss: number, divergence: number])[]>>;
const replacements = read<Record<string, { readonly mean: Rows; readonly resample: Rows; readonly captumZero: Readonly<Record<string, readonly number[]>> }>>('replacements.json');

describe('exact ablation by something else than zero', function () {
  this.timeout(60_000);

  for (const name of Object.keys(replacements)) {
    for (const memoryBytes of [2 ** 28, 30_000]) {
      it(`${name}: mean and another sample, as PyTorch computes them by whole new runs, with ${memoryBytes} bytes`, async () => {
        const context = await open(name, memoryBytes);
        for (const [family, expected] of [[meanAblation, replacements[name]!.mean], [resampleAblation, replacements[name]!.resample]] as const) {
          const [loss, , output, divergence] = await family.compute(context);
          for (const group of context.table.groups) {
            expected[group.layer]!.forEach(([change, nats], particle) => {
              const row = group.firstRow + particle;
              close(loss![row]!, change, 1e-5, `${family.columns[0]!.name} ${group.layer}:${particle}`);
              close(divergence![row]!, nats, 1e-5, `${family.columns[3]!.name} ${group.layer}:${particle}`);
              assert.ok(output![row]! >= 0);
            });
          }
        }
      });
    }

    it(`${name}: zero, as Captum's LayerFeatureAblation says`, async () => {
      const context = await open(name);
      const [loss] = await ablation.compute(context);
      for (const group of context.table.groups) {
        // Captum cuts one module at a time, and the depthwise channel belongs to two layers here.
        replacements[name]!.captumZero[group.layer]!.forEach((change, particle) => close(loss![group.firstRow + particle]!, change, 1e-4, `${group.layer}:${particle}`));
      }
    });
  }

  it('recurrent units go with all that they tell their own layer, as PyTorch does with those weights at zero', async () => {
    const { layers } = read<{ layers: Record<string, number[]> }>('sequences.json');
    for (const memoryBytes of [2 ** 28, 40_000]) {
      const context = await open('sequences', memoryBytes);
      const units = context.table.groups.filter(({ kind }) => kind === 'unit');
      assert.deepEqual(units.map(({ count }) => count), [5, 4, 6]);
      const [loss] = await ablation.compute(context);
      Object.values(layers).forEach((changes, at) => changes.forEach((change, unit) => {
        assert.ok(Math.abs(change) > 1e-4, 'a unit that does nothing would prove nothing');
        close(loss![units[at]!.firstRow + unit]!, change, 1e-5, `${Object.keys(layers)[at]}:${unit}`);
      }));
      assert.ok(context.table.groups.every(({ firstRow }) => !Number.isNaN(loss![firstRow]!)), 'every layer has values');
    }
  });

  it('recurrent units have no mean in their place, and that is said', async () => {
    const context = await open('sequences');
    const [loss] = await meanAblation.compute(context);
    const unit = context.table.groups.find(({ kind }) => kind === 'unit')!;
    assert.ok(Number.isNaN(loss![unit.firstRow]!));
    assert.match(context.findings.map(({ message }) => message).join(), /a recurrent unit is measured by taking it out/);
    const dense = context.table.groups.find(({ kind }) => kind !== 'unit')!;
    assert.ok(!Number.isNaN(loss![dense.firstRow]!));
  });

  it('heads and embedding factors, as PyTorch does with their weights at zero', async () => {
    const { kinds } = read<{ kinds: Record<string, number[]> }>('attention.json');
    const context = await open('attention');
    const [loss] = await ablation.compute(context);
    for (const [kind, changes] of Object.entries(kinds)) {
      const group = context.table.groups.find((one) => one.kind === kind)!;
      assert.equal(group.count, changes.length, kind);
      changes.forEach((change, particle) => close(loss![group.firstRow + particle]!, change, 1e-5, `${kind}:${particle}`));
    }
  });

  it('what is asked for by name alone costs nothing by default', async () => {
    const context = await open('branches');
    await addBehaviour({ ...context, layers: new Set(['head']) });
    assert.ok(context.table.column('ablationDivergence'));
    assert.equal(context.table.column('meanAblationLossChange'), undefined);
    await addBehaviour(context, new Set(['resampleAblationLossChange']));
    assert.equal(context.table.column('resampleAblationLossChange')!.provenance.exact, true);
  });

  it('runs only the samples for which a particle says anything', async () => {
    const context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 100 });
    let rows = 0;
    const engine: Engine = {
      ...context.engine,
      async compile(graph, feeds, fetches) {
        const program = await context.engine.compile(graph, feeds, fetches);
        const behind = !feeds.includes(graph.inputs[0]!.name) && !feeds.includes('particlize/particles');
        return {
          ...program, dispose: () => program.dispose(),
          run: (arrays) => {
            if (behind) rows += [...arrays.values()][0]!.shape[0]!;
            return program.run(arrays);
          },
        };
      },
    };
    const group = context.table.group('conv2')!;
    await ablation.compute({ ...context, engine, layers: new Set(['conv2']) });
    let speaking = 0;
    const act = group.acts[0]!;
    await forEachBatch(context, [act.value], '', (values) => {
      const array = values.get(act.value)!;
      for (let kernel = 0; kernel < group.count; kernel++) {
        const indices = particleIndices(context.graph, act, group.count)![kernel]!;
        speaking += changedSamples(array, { sampleAxis: 0, axis: act.axis }, indices).reduce((sum, flag) => sum + flag, 0);
      }
    });
    assert.equal(rows, speaking);
    assert.ok(speaking < group.count * 100, 'a fixture in which everybody always speaks proves nothing');
  });
});

describe('rows with a particle replaced', () => {
  const array: NdArray = { dtype: 'float32', shape: [2, 3, 2], data: Float32Array.from([1, 0, 2, 0, 3, 4, 5, 0, 6, 0, 7, 0]) };

  it('samples on any axis, in front of the particles or behind', () => {
    // [time 2, samples 3, units 2]
    const rows = gatherRows(array, 1, [2, 0]);
    assert.deepEqual([rows.shape, [...rows.data]], [[2, 2, 2], [3, 4, 1, 0, 7, 0, 5, 0]]);
    replaceIndices(rows, { sampleAxis: 1, axis: 2 }, [0], { first: 1, rows: [0] });
    assert.deepEqual([...rows.data], [3, 4, 0, 0, 7, 0, 0, 0]);
    replaceIndices(rows, { sampleAxis: 1, axis: 2 }, [0], { first: 0, rows: [1], instead: array });
    assert.deepEqual([...rows.data], [2, 4, 0, 0, 6, 0, 0, 0]);
    assert.deepEqual([...changedSamples(array, { sampleAxis: 1, axis: 2 }, [1])], [0, 0, 1]);
    assert.deepEqual([...changedSamples(array, { sampleAxis: 2, axis: 1 }, [0])], [1, 0]);
  });

  it('another sample is never the same one, each is used once, and the seed decides', () => {
    for (const count of [2, 3, 50]) {
      const order = otherSamples(count, 4);
      assert.deepEqual([...order].sort((one, two) => one - two), Array.from({ length: count }, (_, index) => index));
      assert.ok(order.every((other, sample) => other !== sample));
    }
    assert.deepEqual(otherSamples(50, 4), otherSamples(50, 4));
    assert.notDeepEqual(otherSamples(50, 4), otherSamples(50, 5));
    assert.deepEqual([...otherSamples(1, 0)], [0]);
  });
});

function open(name: string, memoryBytes?: number): ReturnType<typeof openSample> {
  return openSample(path.join(fixtures, `${name}.onnx`), path.join(fixtures, `${name}.particlize.json`), { memoryBytes });
}

function close(actual: number, expected: number, tolerance: number, what = ''): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} instead of ${expected}`);
}
