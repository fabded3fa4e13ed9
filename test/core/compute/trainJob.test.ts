import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runCommandLine } from '../../../src/cli/commandLine';
import { serve, type Channel } from '../../../src/compute/rpc';
import type { MethodTable, Request, Response, TrainingUpdate, TrainRequest } from '../../../src/compute/protocol';
import { createSessions } from '../../../src/compute/session';
import { fineTuneOptions } from '../../../src/compute/trainJob';
import { digits } from '../support/openSample';

const recipe = path.join(digits, 'digits.particlize.json');
const model = path.join(digits, 'model.onnx');

describe('training as a job', function () {
  this.timeout(60_000);
  let folder: string;
  let sessions: MethodTable;
  before(() => (sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256 })));
  beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-train-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  const request = async (more: Partial<TrainRequest> = {}): Promise<TrainRequest> => ({
    model: (await sessions.open({ path: model }, {})).model, recipe, folder, settings: { epochs: 2, steps: 30, optimiser: 'sgd', learningRate: 1e-3 }, ...more,
  });

  it('writes a model that is as good as it says, with curves on the way and nothing else left behind', async () => {
    const updates: TrainingUpdate[] = [];
    const result = await sessions.train(await request(), { training: (_, update) => updates.push(update) });
    assert.deepEqual(updates.flatMap(({ points }) => points.map(({ step }) => step)), Array.from({ length: 30 }, (_, index) => index + 1));
    assert.deepEqual(updates.flatMap(({ rows }) => rows.map(({ epoch }) => epoch)), [0, 1, 2]);
    assert.deepEqual([result.trainingSamples, result.validationSamples, result.stopped], [1294, 143, 'done']);
    assert.deepEqual(fs.readdirSync(folder), [path.basename(result.files[0]!)]);
    const written = await sessions.open({ path: result.files[0]! }, {});
    const { metrics } = await sessions.evaluate({ model: written.model, recipe }, {});
    assert.ok(metrics.accuracy! > 0.97);
  });

  it('a second training does not write over the first', async () => {
    const first = await sessions.train(await request({ settings: { epochs: 1, steps: 1 } }), {});
    const second = await sessions.train(await request({ settings: { epochs: 1, steps: 1 } }), {});
    assert.notEqual(first.files[0], second.files[0]);
    await assert.rejects(sessions.train(await request({ settings: { epochs: 1, steps: 1 }, name: path.basename(first.files[0]!) }), {}), /already there/);
  });

  it('a paused run waits, a resumed one goes on', async () => {
    const { model: id } = await sessions.open({ path: model }, {});
    let steps = 0;
    const run = sessions.train(await request(), { progress: (_, __, message) => {
      if (message?.startsWith('Training') && ++steps === 3) void sessions.pauseTraining({ model: id, paused: true }, {});
    } });
    while (steps < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(steps, 3);
    await sessions.pauseTraining({ model: id, paused: false }, {});
    await run;
    assert.equal(steps, 30);
  });

  it('a paused run can be cancelled', async () => {
    const { model: id } = await sessions.open({ path: model }, {});
    const controller = new AbortController();
    const run = sessions.train(await request(), { signal: controller.signal, progress: (_, __, message) => {
      if (message?.startsWith('Training')) {
        void sessions.pauseTraining({ model: id, paused: true }, {});
        setTimeout(() => controller.abort(), 20);
      }
    } });
    await assert.rejects(run, { name: 'CancelledError' });
    assert.deepEqual(fs.readdirSync(folder), ['model.checkpoint']);
  });

  it('the line between the processes carries the curves', async () => {
    const sent: Response[] = [];
    let listener: ((message: Request) => void) | undefined;
    const channel: Channel<Response, Request> = { send: (message) => sent.push(structuredClone(message)), onMessage: (own) => (listener = own) };
    serve(sessions, channel);
    listener!({ kind: 'call', id: 7, method: 'train', params: await request({ settings: { epochs: 1, steps: 5 } }) });
    while (!sent.some(({ kind }) => kind === 'result' || kind === 'error')) await new Promise((resolve) => setTimeout(resolve, 10));
    const updates = sent.flatMap((message) => (message.kind === 'training' ? [message.update] : []));
    assert.equal(updates.flatMap(({ points }) => points).length, 5);
    assert.equal(sent.at(-1)!.kind, 'result');
  });

  it('the command line trains, is interrupted with exit code 130, and resumes to the same model', async () => {
    const args = ['train', model, '--data', recipe, '--epochs', '2', '--optimiser', 'sgd', '--lr', '0.05', '--distil', model, '--schedule', 'cosine', '--threads', '1', '--json', '--out'];
    const whole = await command([...args, path.join(folder, 'whole')]);
    assert.equal(whole.code, 0, whole.errors);
    const lines = whole.output.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(lines.slice(0, 3).map(({ epoch }) => epoch), [0, 1, 2]);
    assert.equal(lines[3]!['stopped'], 'done');
    const parts = path.join(folder, 'parts');
    const controller = new AbortController();
    const broken = await command([...args, parts], controller.signal, (text) => {
      if (text.includes('"epoch":1')) controller.abort();
    });
    assert.equal(broken.code, 130);
    assert.match(broken.errors, /--resume goes on/);
    const again = await command([...args, parts]);
    assert.equal(again.code, 1);
    assert.match(again.errors, /an earlier training in this folder was interrupted/);
    const resumed = await command([...args, parts, '--resume']);
    assert.equal(resumed.code, 0, resumed.errors);
    const name = fs.readdirSync(parts)[0]!;
    assert.deepEqual(fs.readFileSync(path.join(parts, name)), fs.readFileSync(path.join(folder, 'whole', name)));
  });

  it('says what cannot be', async () => {
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, 'x');
    await assert.rejects(sessions.train(await request({ folder: file }), {}), /this is a file, not a folder/);
    await assert.rejects(sessions.train(await request({ resume: true }), {}), /there is no checkpoint to go on from/);
    const weights = await sessions.open({ path: path.join(digits, 'model.pt') }, {});
    await assert.rejects(sessions.train(await request({ model: weights.model }), {}), /model\.pt: the file has weights but no graph/);
    const unlabelled = path.join(folder, 'x.particlize.json');
    fs.writeFileSync(unlabelled, JSON.stringify({ task: 'classification', data: { d: path.join(digits, 'digits.npz') }, inputs: { '*': { from: 'd.images' } } }));
    await assert.rejects(sessions.train(await request({ recipe: unlabelled }), {}), /there are no labels/);
    for (const settings of [{ epochs: 0 }, { epochs: 1, learningRate: -1 }, { epochs: 1, batch: 0.5 }, { epochs: 1, momentum: 1 }]) {
      assert.throws(() => fineTuneOptions(settings), { name: 'ParticlizeError' });
    }
    for (const wrong of [['--lr', '0'], ['--optimiser', 'best'], ['--epochs', '0']]) {
      const { code } = await command(['train', model, '--data', recipe, '--epochs', '1', '--out', folder, ...wrong]);
      assert.equal(code, 2, wrong.join(' '));
    }
  });
});

async function command(args: readonly string[], signal = new AbortController().signal, seen?: (text: string) => void): Promise<{ code: number; output: string; errors: string }> {
  let [output, errors] = ['', ''];
  const code = await runCommandLine(args, {
    out: (text) => {
      output += text;
      seen?.(text);
    },
    error: (text) => (errors += text), isTerminal: false, showProgress: false, signal,
  });
  return { code, output, errors };
}
