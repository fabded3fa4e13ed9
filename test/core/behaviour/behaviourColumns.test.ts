import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { responseOf } from '../../../src/core/behaviour/forward';
import { addBehaviour, behaviourColumns } from '../../../src/core/behaviour/registry';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { digits, openSample, root } from '../support/openSample';

describe('behaviour columns', function () {
  this.timeout(60_000);
  let context: Awaited<ReturnType<typeof openSample>>;

  before(async () => {
    context = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    await addBehaviour(context, new Set(['activationMean', 'classSelectivity', 'contribution']));
  });

  it('have names of their own, a meaning each, and say where they come from', () => {
    assert.equal(new Set(behaviourColumns.map(({ name }) => name)).size, behaviourColumns.length);
    for (const { meaning, name } of behaviourColumns) assert.ok(meaning.endsWith('.'), name);
    const { provenance } = context.table.column('activationMean')!;
    assert.deepEqual(
      { ...provenance, engine: typeof provenance.engine },
      { source: 'data', data: 'digits', samples: 360, engine: 'string', seed: 0, exact: true },
    );
  });

  it('activation means are PyTorch\'s', () => {
    const known = JSON.parse(fs.readFileSync(path.join(digits, 'expected.json'), 'utf8')) as { particles: Record<string, { activationMean: number[] }> };
    for (const group of context.table.groups) {
      const { values } = context.table.column('activationMean')!;
      known.particles[group.layer]!.activationMean.forEach((mean, particle) => close(values[group.firstRow + particle]!, mean, 1e-5));
    }
  });

  it('deviation and share of dead outputs are those of the outputs themselves', async () => {
    const group = context.table.group('dense1')!;
    const outputs = await responses(context, 'dense1');
    const largest = outputs.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    let partly = 0;
    for (let particle = 0; particle < group.count; particle++) {
      const own = Array.from({ length: 360 }, (_, sample) => outputs[sample * group.count + particle]!);
      const mean = own.reduce((sum, value) => sum + value, 0) / 360;
      const deviation = Math.sqrt(own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 360);
      const dead = own.filter((value) => Math.abs(value) < largest * 1e-6).length / 360;
      close(context.table.column('activationDeviation')!.values[group.firstRow + particle]!, deviation, 1e-4);
      close(context.table.column('deadShare')!.values[group.firstRow + particle]!, dead, 0.004);
      if (dead > 0.05 && dead < 0.95) partly++;
    }
    assert.ok(partly > 10, 'the sample has neurons that are sometimes silent');
  });

  it('selectivity is the index of Morcos et al., and names the class', async () => {
    const group = context.table.group('dense1')!;
    const outputs = await responses(context, 'dense1');
    const labels = asFloat32((await context.data.labels(0, 360))!);
    for (const particle of [1, 11, 40]) {
      const means = Array.from({ length: 10 }, (_, label) => {
        const own = Array.from(labels.keys()).filter((sample) => labels[sample] === label).map((sample) => outputs[sample * group.count + particle]!);
        return own.reduce((sum, value) => sum + value, 0) / own.length;
      });
      const best = Math.max(...means);
      const rest = (means.reduce((sum, value) => sum + value, 0) - best) / 9;
      close(context.table.column('classSelectivity')!.values[group.firstRow + particle]!, (best - rest) / (best + rest), 1e-5);
      assert.equal(context.table.column('preferredClass')!.values[group.firstRow + particle], means.indexOf(best));
    }
  });

  it('contribution is the mean magnitude of weight times output, as a share', async () => {
    const group = context.table.group('dense1')!;
    const outputs = await responses(context, 'dense1');
    const weights = asFloat32(await context.graph.tensors.get('dense2.weight')!.read()); // [10, 64]
    const magnitudes = Array.from({ length: group.count }, (_, particle) => {
      let [inputs, sum] = [0, 0];
      for (let sample = 0; sample < 360; sample++) inputs += Math.abs(outputs[sample * group.count + particle]!);
      for (let unit = 0; unit < 10; unit++) sum += Math.abs(weights[unit * group.count + particle]!);
      return inputs * sum;
    });
    const total = magnitudes.reduce((sum, value) => sum + value, 0);
    const { values } = context.table.column('contribution')!;
    magnitudes.forEach((magnitude, particle) => close(values[group.firstRow + particle]!, magnitude / total, 1e-6));
    for (const layer of ['conv1', 'conv2']) {
      const { firstRow, count } = context.table.group(layer)!;
      close(values.subarray(firstRow, firstRow + count).reduce((sum, value) => sum + value, 0), 1, 1e-5);
    }
    assert.ok(Number.isNaN(values[context.table.group('dense2')!.firstRow]!), 'nothing reads the output');
  });

  it('grouped consumers get contributions from masked copies', async () => {
    const fixtures = path.join(root, 'test/fixtures/ablation');
    const separable = await openSample(path.join(fixtures, 'separable.onnx'), path.join(fixtures, 'separable.particlize.json'));
    await addBehaviour(separable, new Set(['contribution']));
    const group = separable.table.group('point')!;
    const outputs = await responses(separable, 'point'); // [24, 8, 6, 6]
    const weights = asFloat32(await separable.graph.tensors.get('grouped.weight')!.read()); // [4, 4, 3, 3], two groups
    const magnitudes = Array.from({ length: 8 }, (_, channel) => termMagnitude(outputs, weights, channel));
    const total = magnitudes.reduce((sum, value) => sum + value, 0);
    magnitudes.forEach((magnitude, particle) => close(separable.table.column('contribution')!.values[group.firstRow + particle]!, magnitude / total, 1e-5));
  });

  it('a run for one layer keeps what other layers had', async () => {
    const own = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'), { samples: 30 });
    await addBehaviour({ ...own, layers: new Set(['conv1']) }, new Set(['activationMean']));
    assert.ok(Number.isNaN(own.table.column('activationMean')!.values[own.table.group('dense1')!.firstRow]!));
    await addBehaviour({ ...own, layers: new Set(['dense1']) }, new Set(['activationMean']));
    const { values } = own.table.column('activationMean')!;
    assert.ok(!Number.isNaN(values[0]!) && !Number.isNaN(values[own.table.group('dense1')!.firstRow]!));
  });

  it('without labels, what needs them is left out and said', async () => {
    const { data } = context;
    const table = (await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'))).table;
    const messages: string[] = [];
    await addBehaviour({
      ...context, table, data: { ...data, labels: () => Promise.resolve(undefined) }, report: ({ message }) => messages.push(message),
    }, new Set(['activationMean', 'ablationLossChange']));
    assert.ok(table.column('activationMean'));
    assert.equal(table.column('ablationLossChange'), undefined);
    assert.match(messages.join(), /Loss without it.*no labels/);
  });
});

/** Magnitude of channel's terms in a convolution 3×3 without padding of two groups, 8 -> 4 channels, on 6×6. */
function termMagnitude(outputs: Float32Array, weights: Float32Array, channel: number): number {
  const group = Math.floor(channel / 4);
  let magnitude = 0;
  for (let sample = 0; sample < 24; sample++) {
    for (let unit = group * 2; unit < group * 2 + 2; unit++) {
      for (let place = 0; place < 16; place++) {
        let term = 0;
        for (let tap = 0; tap < 9; tap++) {
          const [row, column] = [Math.floor(place / 4) + Math.floor(tap / 3), (place % 4) + (tap % 3)];
          term += weights[(unit * 4 + (channel % 4)) * 9 + tap]! * outputs[(sample * 8 + channel) * 36 + row * 6 + column]!;
        }
        magnitude += Math.abs(term);
      }
    }
  }
  return magnitude;
}

async function responses({ graph, table, engine, data }: BehaviourContext, layer: string): Promise<Float32Array> {
  const at = responseOf(graph, table.group(layer)!);
  const program = await engine.compile(graph, graph.inputs.map(({ name }) => name), [at.value]);
  const outputs = await program.run(await data.inputs(0, data.count));
  await program.dispose();
  return asFloat32(outputs.get(at.value)!);
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}
