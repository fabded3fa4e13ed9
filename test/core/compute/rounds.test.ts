import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runCommandLine } from '../../../src/cli/commandLine';
import { atomicWrite } from '../../../src/compute/atomicWrite';
import { fileSetOf } from '../../../src/compute/files';
import type { LoopRequest, LoopResult, MethodTable, RoundSummary } from '../../../src/compute/protocol';
import { readRounds, roundsFolderOf } from '../../../src/compute/rounds';
import { lockRounds } from '../../../src/compute/roundsLock';
import { loopJob } from '../../../src/compute/roundsLoop';
import { createSessions } from '../../../src/compute/session';
import { formatOf } from '../../../src/core/formats/registry';
import { createEngine } from '../../../src/engines/registry';
import { digits } from '../support/openSample';

const recipe = path.join(digits, 'digits.particlize.json');
const model = path.join(digits, 'model.onnx');
const root = path.resolve(__dirname, '../../..');

describe('rounds: remove, train, evaluate, again', function () {
  this.timeout(120_000);
  let folder: string;
  let sessions: MethodTable;
  before(() => (sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256 })));
  beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-rounds-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  const request = async (more: Partial<LoopRequest> = {}): Promise<LoopRequest> => ({
    model: (await sessions.open({ path: model }, {})).model, recipe, folder, target: { macs: 0.6 }, maxDrop: 0.02, settings: { epochs: 1 }, samples: 128, ...more,
  });

  it('digits, unattended: at least 4x fewer MACs at half a point of accuracy or less', async () => {
    const seen: number[] = [];
    const result = await sessions.loop(await request({ target: { macs: 0.25 }, maxDrop: 0.005, settings: { epochs: 6 }, samples: 512 }), { round: (_, { round }) => seen.push(round) });
    assert.equal(result.status, 'met', result.message);
    assert.deepEqual(seen, result.rounds.map(({ round }) => round));
    // Measured anew, on the file that the user gets.
    const opened = await sessions.open({ path: result.model }, {});
    const [before, after] = [await sessions.evaluate({ model: (await request()).model, recipe }, {}), await sessions.evaluate({ model: opened.model, recipe }, {})];
    assert.ok(after.macs * 4 <= before.macs, `${before.macs} -> ${after.macs}`);
    assert.ok(before.metrics['accuracy']! - after.metrics['accuracy']! <= 0.005, `${after.metrics['accuracy']}`);
    const best = path.join(folder, `round-0${result.best}`);
    assert.deepEqual(fs.readdirSync(best).sort(), ['log.txt', 'metrics.json', 'model.onnx', 'plan.json']);
    assert.deepEqual(fs.readdirSync(folder).sort(), result.rounds.map(({ round }) => `round-0${round}`));
    const found = await sessions.rounds({ model: (await request()).model, folder, maxDrop: 0.005 }, {});
    assert.deepEqual([found.rounds.length, found.rounds.find(({ best: isBest }) => isBest)!.round, found.findings], [result.rounds.length, result.best, []]);
  });

  it('cancelled in the middle of training, it goes on to the same model', async () => {
    const whole = await sessions.loop(await request({ folder: path.join(folder, 'whole') }), {});
    const parts = path.join(folder, 'parts');
    const controller = new AbortController();
    let steps = 0;
    await assert.rejects(sessions.loop(await request({ folder: parts }), { signal: controller.signal, progress: (_, __, message) => {
      if (message?.includes('Training') && ++steps === 8) controller.abort();
    } }), { name: 'CancelledError' });
    assert.deepEqual(fs.readdirSync(parts).sort(), ['round-00', 'working']);
    assert.deepEqual(fs.readdirSync(path.join(parts, 'working')).sort(), ['log.txt', 'model.checkpoint', 'plan.json', 'removed', 'working.json']);
    let trained = 0;
    const resumed = await sessions.loop(await request({ folder: parts }), { training: (_, { points }) => (trained += points.length) });
    const log = fs.readFileSync(path.join(parts, 'round-01', 'log.txt'), 'utf8');
    assert.match(log, /Going on with round 1/);
    assert.ok(trained > 0);
    assert.deepEqual(fs.readFileSync(resumed.model), fs.readFileSync(whole.model));
    assert.equal(resumed.model, path.join(parts, 'round-01', 'model.onnx'));
  });

  it('killed (-9) in the middle of a round, the same command ends with the same model', async () => {
    const args = (out: string): string[] => ['loop', model, '--data', recipe, '--target', 'macs=0.6', '--max-drop', '0.02', '--epochs-per-round', '1', '--samples', '128', '--threads', '1', '--json', '--out', out];
    const parts = path.join(folder, 'parts');
    const child = spawn(process.execPath, ['--require', 'tsx/cjs', path.join(root, 'src/cli.ts'), ...args(parts)], { cwd: root, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const marker = path.join(parts, 'working', 'working.json');
    while (!fs.existsSync(marker) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGKILL');
    await ended;
    assert.ok(fs.existsSync(path.join(parts, 'lock')));
    fs.writeFileSync(path.join(parts, 'working', 'model.onnx.0badf00d.part'), 'half of it');
    const again = await command(args(parts));
    assert.equal(again.code, 0, again.errors);
    const lines = again.output.trim().split('\n').map((line) => JSON.parse(line) as Omit<LoopResult, 'best'> & Pick<RoundSummary, 'round'>);
    assert.deepEqual(lines.slice(0, -1).map(({ round }) => round), [0, 1]);
    assert.equal(lines.at(-1)!.status, 'met');
    const whole = await sessions.loop(await request({ folder: path.join(folder, 'whole') }), {});
    assert.deepEqual(fs.readFileSync(lines.at(-1)!.model), fs.readFileSync(whole.model));
    assert.deepEqual(fs.readdirSync(parts).sort(), ['round-00', 'round-01']);
    assert.deepEqual(fs.readdirSync(path.join(parts, 'round-01')).sort(), ['log.txt', 'metrics.json', 'model.onnx', 'plan.json']);
  });

  it('a target that cannot be reached: says the best that can, and a larger drop goes on from there', async () => {
    const wanted = { target: { macs: 0.05 }, maxDrop: 0, rounds: 1, settings: { epochs: 1, steps: 1 } };
    const result = await sessions.loop(await request(wanted), {});
    assert.equal(result.status, 'roundsUsed');
    assert.match(result.message, /^5 % of the MACs is not reached after 1 rounds; the smallest model within a drop of 0 is /);
    const more = await sessions.loop(await request({ ...wanted, target: { macs: 0.5 }, maxDrop: 0.9 }), {});
    assert.deepEqual([more.status, more.rounds.length], ['met', 2]);
  });

  it('training that diverges keeps the best weights, and the next round is slower', async () => {
    const result = await sessions.loop(await request({ target: { macs: 0.3 }, maxDrop: 0, rounds: 2, settings: { epochs: 1, steps: 20, learningRate: 1e30, optimiser: 'sgd', schedule: 'constant' } }), {});
    const [, first, second] = result.rounds;
    assert.equal(first!.training!.stopped, 'diverged');
    assert.match(first!.training!.message!, /diverged/);
    assert.ok(first!.evaluation.metrics['accuracy']! >= first!.untrained! - 0.02);
    assert.ok(second!.training!.learningRate < 2e29);
  });

  it('a full disk is one sentence, and earlier rounds stay as they are', async () => {
    await sessions.loop(await request(), {});
    const contents = (): string => JSON.stringify(fs.readdirSync(folder, { recursive: true }).sort());
    const record = fs.readFileSync(path.join(folder, 'round-01', 'metrics.json'));
    const before = contents();
    const files = await fileSetOf(model);
    const format = await formatOf(files);
    const opened = { id: 'm', file: model, format, graph: await format.open(files), sha256: (await sessions.open({ path: model }, {})).sha256 };
    const services = { engine: () => createEngine('auto', { threads: 1 }), memoryBytes: 2 ** 28, threads: 1, waitWhilePaused: () => Promise.resolve() };
    let room = 60_000;
    const write: typeof atomicWrite = (target, all, options) => atomicWrite(target, all.map((file) => ({
      ...file, async* chunks() {
        for await (const chunk of file.chunks()) {
          if ((room -= chunk.length) < 0) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
          yield chunk;
        }
      },
    })), options);
    await assert.rejects(loopJob(opened, await request({ target: { macs: 0.4 } }), { ...services, write }, {}), { name: 'ParticlizeError', message: /the disk is full/ });
    fs.rmSync(path.join(folder, 'working'), { recursive: true, force: true });
    assert.equal(contents(), before);
    assert.deepEqual(fs.readFileSync(path.join(folder, 'round-01', 'metrics.json')), record);
    assert.equal((await sessions.loop(await request({ target: { macs: 0.5 } }), {})).status, 'met');
  });

  it('two loops in one folder: the second is told so, and the lock of a dead process is taken over', async () => {
    const unlock = await lockRounds(folder);
    await assert.rejects(sessions.loop(await request(), {}), /another loop is running in this folder/);
    await unlock();
    fs.writeFileSync(path.join(folder, 'lock'), JSON.stringify({ process: 2 ** 22 - 1, host: os.hostname(), id: 'x' }));
    const own = await lockRounds(folder);
    await own();
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it('rounds of another model, edited records and missing rounds are said, not obeyed', async () => {
    const result = await sessions.loop(await request(), {});
    const record = path.join(folder, 'round-01', 'metrics.json');
    const good = fs.readFileSync(record, 'utf8');
    fs.writeFileSync(record, good.replace('"file": "model.onnx"', '"file": "../../../secret"'));
    const { rounds, findings } = await readRounds(folder);
    assert.deepEqual([rounds.map(({ round }) => round), findings.map(({ place }) => place)], [[0], ['round-01']]);
    fs.writeFileSync(record, good);
    // Its model was exchanged behind the loop's back.
    fs.appendFileSync(result.model, ' ');
    await assert.rejects(sessions.loop(await request({ target: { macs: 0.3 } }), {}), /the model of round 1 has changed since/);
    const original = path.join(folder, 'round-00', 'metrics.json');
    fs.writeFileSync(original, fs.readFileSync(original, 'utf8').replace(/"sha256": "\w+"/, '"sha256": "00"'));
    await assert.rejects(sessions.loop(await request(), {}), /made from another version of the model/);
  });

  it('a weight file of one\'s own becomes the next round', async () => {
    const beside = path.join(folder, 'model.onnx');
    fs.copyFileSync(model, beside);
    const opened = await sessions.open({ path: beside }, {});
    const round = await sessions.addRound({ model: opened.model, recipe, file: model, title: 'My training' }, {});
    assert.deepEqual([round.round, round.parent, round.action, round.drop, round.title], [1, 0, 'ownTraining', 0, 'My training']);
    assert.equal(round.folder, path.join(roundsFolderOf(beside), 'round-01'));
    assert.ok(fs.existsSync(round.modelPath));
  });

  it('wrong usage is exit code 2', async () => {
    const wrong = await command(['loop', model, '--data', recipe, '--target', 'macs=0.5', '--criterion', 'luck', '--out', folder]);
    assert.deepEqual([wrong.code, /--criterion is compensated or ablation/.test(wrong.errors)], [2, true]);
    assert.equal((await command(['loop', model, '--data', recipe, '--out', folder])).code, 2);
  });

  async function command(args: readonly string[]): Promise<{ code: number; output: string; errors: string }> {
    let [output, errors] = ['', ''];
    const code = await runCommandLine(args, {
      out: (text) => (output += text), error: (text) => (errors += text), isTerminal: false, showProgress: false, signal: new AbortController().signal,
    });
    return { code, output, errors };
  }
});
