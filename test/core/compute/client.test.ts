import assert from 'node:assert/strict';
import path from 'node:path';
import { ComputeClient, ProcessEndedError, type ClientSettings } from '../../../src/compute/client';
import type { ModelSummary } from '../../../src/compute/protocol';
import { CancelledError, ParticlizeError } from '../../../src/core/graph/errors';

describe('compute client, with a real process behind it', function () {
  this.timeout(30_000);

  const log: string[] = [];
  const crashes: string[] = [];
  const reopened: ModelSummary[] = [];
  const clients: ComputeClient[] = [];

  const client = (settings: Partial<ClientSettings> = {}): ComputeClient => {
    const made = new ComputeClient({
      script: path.join(__dirname, 'fakeProcess.ts'),
      execArgv: ['--require', 'tsx/cjs'],
      options: () => ({ engine: 'ort-web', threads: 1, memoryMegabytes: 64 }),
      log: (level, text) => log.push(`${level}: ${text}`),
      crashed: (sentence) => crashes.push(sentence),
      reopened: (_model, summary) => reopened.push(summary),
      ...settings,
    });
    clients.push(made);
    return made;
  };

  beforeEach(() => {
    for (const list of [log, crashes, reopened]) list.length = 0;
  });
  afterEach(() => {
    for (const each of clients.splice(0)) each.dispose();
  });

  it('starts the process at the first call, with its options, and keeps it', async () => {
    const compute = client();
    assert.equal(compute.pid, undefined);
    const first = await compute.call('engines', {});
    assert.deepEqual(JSON.parse(first.notes[0]!), { engine: 'ort-web', threads: 1, memoryMegabytes: 64 });
    assert.equal(first.current, `pid ${compute.pid}`);
    assert.equal((await compute.call('engines', {})).current, first.current);
  });

  it('passes typed arrays, progress and partial columns', async () => {
    const compute = client();
    const { model } = await compute.call('open', { path: 'a.onnx' });
    const [column] = await compute.call('columns', { model });
    assert.ok(column!.values instanceof Float32Array);
    assert.deepEqual([...column!.values], [1, NaN, 3]);
    const steps: unknown[] = [];
    const arrived: number[] = [];
    await compute.call('behaviour', { model, recipe: 'r' }, {
      progress: (...step) => steps.push(step),
      columns: (columns) => arrived.push(columns[0]!.values[0]!),
    });
    assert.deepEqual(steps, [[1, 3, 'step 1'], [2, 3, 'step 2'], [3, 3, 'step 3']]);
    assert.deepEqual(arrived, [1, 2, 3]);
  });

  it('gives the sentence of a known error, and one sentence for an unforeseen one with its stack in the log', async () => {
    const compute = client();
    await assert.rejects(compute.call('open', { path: 'bad.onnx' }), (error: Error) =>
      error instanceof ParticlizeError && error.message === 'bad.onnx: byte 12: it ends too early.');
    await assert.rejects(compute.call('open', { path: 'bug.onnx' }), {
      message: 'Something unexpected happened while opening the model; details are in the Particlize output.',
    });
    assert.ok(log.some((line) => line.includes('TypeError: x is not a function') && line.includes('fakeProcess')), log.join('\n'));
    const { model } = await compute.call('open', { path: 'a.onnx' });
    await assert.rejects(compute.call('recipes', { model }), /looking for recipes/);
    assert.deepEqual(crashes, []);
  });

  it('cancels a call that listens, and the process lives on', async () => {
    const compute = client();
    await compute.call('engines', {});
    const { pid } = compute;
    const controller = new AbortController();
    const call = compute.call('evaluate', { model: 'm', recipe: 'r' }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(call, CancelledError);
    assert.equal((await compute.call('engines', {})).current, `pid ${pid}`);
  });

  it('kills a process that does not answer a cancel; the caller heard before, and models open again', async () => {
    const compute = client({ answerMs: 20, killMs: 150 });
    const { model } = await compute.call('open', { path: 'a.onnx' });
    const { pid } = compute;
    const controller = new AbortController();
    const hanging = compute.call('suggest', { model, recipe: 'r', maxDrop: 0 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await assert.rejects(hanging, CancelledError);
    const waiting = compute.call('columns', { model });
    await assert.rejects(waiting, /stopped by force/);
    assert.equal((await compute.call('columns', { model })).length, 1);
    assert.notEqual(compute.pid, pid);
    assert.deepEqual(reopened.map(({ path: file, model: id }) => [file, id]), [['a.onnx', model]]);
    assert.deepEqual(crashes, []);
  });

  it('says a crash in one sentence, rejects what waited, and goes on in a new process with the same ids', async () => {
    const compute = client();
    const a = await compute.call('open', { path: 'a.onnx' });
    const b = await compute.call('open', { path: 'b.onnx' });
    await assert.rejects(
      compute.call('weights', { model: a.model, layer: 'conv1', from: 0, to: 1 }),
      (error: Error) => error instanceof ProcessEndedError && /ended \(exit code 7\) while reading weights/.test(error.message),
    );
    assert.equal(crashes.length, 1);
    assert.match(crashes[0]!, /^The compute process ended \(exit code 7\) while reading weights; it starts again/);
    assert.equal((await compute.call('columns', { model: b.model })).length, 1);
    assert.equal((await compute.call('columns', { model: a.model })).length, 1);
    assert.deepEqual(reopened.map((summary) => summary.path), ['b.onnx', 'a.onnx']);
  });

  it('says a crash at rest too', async () => {
    const compute = client();
    await compute.call('engines', {});
    process.kill(compute.pid!, 'SIGKILL');
    while (crashes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.match(crashes[0]!, /SIGKILL/);
    assert.equal(compute.pid, undefined);
  });

  it('ends the process after a while of rest, without calling that a crash', async () => {
    const compute = client({ idleMs: 10 });
    const { model } = await compute.call('open', { path: 'a.onnx' });
    while (compute.pid !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((await compute.call('columns', { model })).length, 1);
    assert.deepEqual(crashes, []);
  });

  it('says that a missing script cannot run', async () => {
    const compute = client({ script: path.join(__dirname, 'nowhere.js'), execArgv: [] });
    await assert.rejects(compute.call('engines', {}), ProcessEndedError);
  });

  it('rejects everything when disposed', async () => {
    const compute = client();
    const call = compute.call('evaluate', { model: 'm', recipe: 'r' });
    compute.dispose();
    await assert.rejects(call, CancelledError);
    await assert.rejects(compute.call('engines', {}), CancelledError);
  });
});
