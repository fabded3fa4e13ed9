import assert from 'node:assert/strict';
import path from 'node:path';
import { runCommandLine } from '../../../src/cli/commandLine';
import { createSessions } from '../../../src/compute/session';
import type { MethodTable, ModelSummary } from '../../../src/compute/protocol';
import type { BarsData, DetailData, SamplesData } from '../../../src/core/behaviour/details/detailData';
import { details } from '../../../src/core/behaviour/details/registry';
import { topSamples } from '../../../src/core/behaviour/details/topSamples';
import { responseOf } from '../../../src/core/behaviour/forward';
import { int, ints } from '../../../src/core/graph/attributes';
import { asFloat32, int64Array } from '../../../src/core/graph/numeric';
import { graphOf, int64, node } from '../support/graphs';
import { float32, memoryContext } from '../support/memoryContext';
import { digits, openSample } from '../support/openSample';

const [file, recipe] = [path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json')];

describe('details', function () {
  this.timeout(60_000);
  let sessions: MethodTable;
  let summary: ModelSummary;
  /** Outputs of conv1 behind its activation: [360, 16, 8, 8]. */
  let outputs: Float32Array;
  let labels: Float32Array;

  before(async () => {
    sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256 });
    summary = await sessions.open({ path: file }, {});
    const { graph, table, engine, data } = await openSample(file, recipe);
    const at = responseOf(graph, table.group('conv1')!);
    const program = await engine.compile(graph, graph.inputs.map(({ name }) => name), [at.value]);
    outputs = asFloat32((await program.run(await data.inputs(0, 360))).get(at.value)!);
    labels = asFloat32((await data.labels(0, 360))!);
    await program.dispose();
  });

  const detail = async (name: string, layer = 'conv1', particle?: number): Promise<DetailData> =>
    (await sessions.detail({ model: summary.model, name, layer, particle, recipe }, {})).data;
  const own = (sample: number, kernel: number): Float32Array => outputs.subarray((sample * 16 + kernel) * 64, (sample * 16 + kernel + 1) * 64);

  it('have names of their own and a meaning each', () => {
    assert.equal(new Set(details.map(({ name }) => name)).size, details.length);
    for (const { name, meaning } of details) assert.ok(meaning.endsWith('.'), name);
  });

  it('the histogram counts every output', async () => {
    const { labels: middles, values } = await detail('activationHistogram', 'conv1', 3) as BarsData;
    const all = Array.from({ length: 360 }, (_, sample) => [...own(sample, 3)]).flat();
    assert.equal(values.reduce((sum, count) => sum + count, 0), all.length);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const counts = new Array<number>(40).fill(0);
    for (const value of all) counts[Math.min(39, Math.floor(((value - low) / (high - low)) * 40))]!++;
    assert.ok(counts.every((count, bin) => Math.abs(count - values[bin]!) <= 2));
    assert.ok(Math.abs(Number(middles[39]) - (high - (high - low) / 80)) < 1e-3 * high);
  });

  it('the samples that excite a kernel most come with their pictures and classes', async () => {
    const { samples } = await detail('topSamples', 'conv1', 3) as SamplesData;
    const best = Array.from({ length: 360 }, (_, sample) => ({ sample, score: Math.max(...own(sample, 3)) })).sort((a, b) => b.score - a.score || a.sample - b.sample).slice(0, 16);
    assert.deepEqual(samples.map(({ index }) => index), best.map(({ sample }) => sample));
    samples.forEach(({ score, picture, label, index }, at) => {
      assert.equal(score, best[at]!.score);
      assert.deepEqual(picture!.shape, [8, 8]);
      assert.equal(label, String(labels[index]));
    });
  });

  it('of a text the window around the place that scored is shown', async () => {
    // The factor of token 7 is the largest; it stands at step 20 of sample 1.
    const length = 40;
    const tokens = Array.from({ length: 2 * length }, (_, at) => (at === length + 20 ? 7 : at % 5));
    const graph = await graphOf({
      inputs: { x: [null, length] }, outputs: ['y'],
      nodes: [node('Gather', ['table', 'x'], 'e', { axis: int(0) }), node('Transpose', ['e'], 't', { perm: ints([0, 2, 1]) }), node('ReduceMean', ['t', 'axis'], 's', { keepdims: int(0) }), node('MatMul', ['s', 'w'], 'y')],
      weights: { table: float32(Array.from({ length: 16 }, (_, at) => (at === 14 ? 5 : at / 100)), [8, 2]), axis: int64([2]), w: [2, 2] },
    });
    const input = { ...graph.inputs[0]!, dtype: 'int64' as const };
    const typed = { ...graph, inputs: [input], values: new Map([...graph.values, ['x', input] as const]) };
    const context = await memoryContext(typed, { x: int64Array(tokens, [2, length]) });
    const { samples } = await topSamples.compute(context, { group: context.table.group('e')!, particle: 0, sample: 0 }) as SamplesData;
    const { index, score, text } = samples[0]!;
    assert.deepEqual([index, score, text!.tokens[text!.at], text!.tokens.length], [1, 5, '7', 25]);
    const named = { ...context, data: { ...context.data, tokens: (sample: number) => Promise.resolve(Array.from('abcdefgh'.repeat(5), (letter, at) => (sample === 1 && at === 20 ? '!' : letter))) } };
    const again = await topSamples.compute(named, { group: context.table.group('e')!, particle: 0, sample: 0 }) as SamplesData;
    assert.equal(again.samples[0]!.text!.tokens[again.samples[0]!.text!.at], '!');
  });

  it('the response by class is the mean of its samples', async () => {
    const bars = await detail('responseByClass', 'conv1', 5) as BarsData;
    assert.deepEqual(bars.labels, Array.from({ length: 10 }, (_, label) => String(label)));
    for (const label of [0, 4, 9]) {
      const samples = [...labels.keys()].filter((sample) => labels[sample] === label);
      const mean = samples.reduce((sum, sample) => sum + own(sample, 5).reduce((all, value) => all + value, 0), 0) / (samples.length * 64);
      assert.ok(Math.abs(bars.values[label]! - mean) < 1e-5 * Math.max(1e-6, Math.abs(mean)) + 1e-9);
    }
  });

  it('all that apply to a layer can be computed, cloned and printed', async () => {
    for (const { name, of } of await sessions.details({ model: summary.model, layer: 'dense2' }, {})) {
      if (name === 'effectByGroup') continue; // the digits have no groups
      const found = await sessions.detail({ model: summary.model, name, layer: 'dense2', particle: of === 'particle' ? 0 : undefined, recipe, samples: 60 }, {});
      assert.deepEqual(structuredClone(found), found);
      assert.equal(found.info.name, name);
    }
    const names = (await sessions.details({ model: summary.model, layer: 'conv1' }, {})).map(({ name }) => name);
    assert.ok(names.includes('connectionMatrix') && !names.includes('attentionPattern') && !names.includes('gateSaturation') && !names.includes('separatedItems'));
  });

  it('what cannot be shown is said in one sentence', async () => {
    const ask = (request: object): Promise<unknown> => sessions.detail({ model: summary.model, name: 'topSamples', layer: 'conv1', particle: 0, recipe, ...request }, {});
    await assert.rejects(ask({ name: 'nothing' }), /model\.onnx: conv1: there is no detail 'nothing'. Here are topSamples/);
    await assert.rejects(ask({ name: 'attentionPattern' }), /the detail 'attentionPattern' does not apply to this layer/);
    await assert.rejects(ask({ particle: 16 }), /there is no particle 16; it has 16/);
    await assert.rejects(ask({ sample: 360 }), /there is no sample 360; the recipe gives 360/);
    await assert.rejects(ask({ recipe: undefined }), /topSamples needs a recipe/);
    await assert.rejects(ask({ name: 'effectByGroup' }), /the recipe does not group the samples/);
    await assert.rejects(sessions.detail({ model: summary.model, name: 'topSamples', layer: 'conv1', particle: 0, recipe }, { signal: AbortSignal.abort() }), /cancelled/);
  });

  it('the command line prints them as tables and JSON', async () => {
    const run = async (...args: string[]): Promise<{ code: number; out: string; error: string }> => {
      let [out, error] = ['', ''];
      const code = await runCommandLine(['behaviour', file, '--data', recipe, ...args], {
        out: (text) => (out += text), error: (text) => (error += text), isTerminal: false, showProgress: false, signal: new AbortController().signal,
      });
      return { code, out, error };
    };
    const table = await run('--detail', 'responseByClass', '--particle', 'conv1/kernel:5');
    assert.equal(table.code, 0, table.error);
    assert.match(table.out, /^Response by class: .*\n\nClass +Mean output\n/);
    const json = JSON.parse((await run('--detail', 'componentMap', '--layers', 'dense2', '--json')).out) as { detail: { name: string }; data: { rows: string[]; x: number[] } };
    assert.deepEqual([json.detail.name, json.data.rows[0], json.data.x.length], ['componentMap', 'dense2/neuron:0', json.data.rows.length]);
    assert.match((await run('--detail', 'strongestConnections', '--layers', 'conv1')).out, /conv1\/kernel:\d+ +conv2\/kernel:\d+/);
    for (const wrong of [['--detail', 'topSamples'], ['--detail', 'topSamples', '--layers', 'conv1'], ['--detail', 'topSamples', '--particle', 'conv1']]) {
      assert.equal((await run(...wrong)).code, 2, wrong.join(' '));
    }
  });
});
