import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { behaviourPool, type BehaviourPool, type SweepSource } from '../../../src/compute/behaviourPool';
import { fileDigest } from '../../../src/compute/fileDigest';
import type { ComputeOptions } from '../../../src/compute/protocol';
import { createSessions } from '../../../src/compute/session';
import { ablation } from '../../../src/core/behaviour/ablation/ablation';
import type { SweepPart } from '../../../src/core/behaviour/ablation/sweep';
import { CancelledError, type Finding } from '../../../src/core/graph/errors';
import { digits, openSample } from '../support/openSample';

const file = path.join(digits, 'model.onnx');
const recipe = path.join(digits, 'digits.particlize.json');
const options: ComputeOptions = { engine: 'auto', threads: 1, memoryMegabytes: 256, workers: 2 };
const samples = 60;

describe('processes that share an exact sweep', function () {
  this.timeout(60_000);

  const pids: number[] = [];
  let pool: BehaviourPool;
  let source: SweepSource;
  let parts: SweepPart[];
  let truth: Float32Array;
  before(async () => {
    pool = behaviourPool(options, { log: (_, text) => pids.push(...[...text.matchAll(/process (\d+) started/g)].map((match) => Number(match[1]))) })!;
    source = { path: file, recipe, samples, sha256: await fileDigest(file, fs.statSync(file).size) };
    const context = await openSample(file, recipe, { samples });
    [truth] = await ablation.compute(context) as [Float32Array];
    parts = context.table.groups.flatMap((group) => [0, 1].map((half): SweepPart => ({
      group, replacement: 'zero', particles: Array.from({ length: group.count }, (_, at) => at).filter((at) => at % 2 === half),
    })));
  });
  after(() => pool.dispose());

  const sweep = async (signal?: AbortSignal, each?: () => void, from = source): Promise<{ values: Float32Array; findings: Finding[] }> => {
    const values = new Float32Array(truth.length).fill(NaN);
    const findings: Finding[] = [];
    await pool.workers(from, (finding) => findings.push(finding)).run(parts, ({ group }, particles, effects) => {
      particles.forEach((particle, at) => (values[group.firstRow + particle] = effects[at * 4]!));
      each?.();
    }, { signal });
    return { values, findings };
  };

  it('find what one process finds', async () => {
    const { values } = await sweep();
    same(values);
    assert.equal(pids.length, 2);
  });

  it('one that crashes costs one sentence, and its work is done again', async () => {
    let killed = false;
    const { values, findings } = await sweep(undefined, () => {
      if (!killed) process.kill(pids.at(-1)!, 'SIGKILL');
      killed = true;
    });
    same(values);
    assert.deepEqual(findings.map(({ message }) => message), ['A process that measured part of it ended by itself; that part was measured again.']);
  });

  it('stop within a second when cancelled', async () => {
    const controller = new AbortController();
    let cancelled = 0;
    await assert.rejects(sweep(controller.signal, () => {
      cancelled ||= performance.now();
      controller.abort();
    }), CancelledError);
    // Not wall time of work, but the promise to the user.
    assert.ok(performance.now() - cancelled < 1500);
    same((await sweep()).values);
  });

  it('refuse a model that is not the one that was asked about', async () => {
    await assert.rejects(sweep(undefined, undefined, { ...source, sha256: '0'.repeat(64) }), /model\.onnx: the file changed while it was being measured/);
  });

  it('are none where memory or threads are for one', () => {
    assert.equal(behaviourPool({ ...options, workers: 1 }), undefined);
    assert.equal(behaviourPool({ ...options, memoryMegabytes: 100 }), undefined);
    assert.equal(behaviourPool({ ...options, workers: undefined }), undefined);
    assert.equal(behaviourPool({ ...options, workers: 5, memoryMegabytes: 256 })!.count, 4);
  });

  function same(values: Float32Array): void {
    truth.forEach((value, row) => assert.ok(Math.abs(values[row]! - value) < 1e-6, `row ${row}: ${values[row]} instead of ${value}`));
  }
});

describe('a sweep that goes on after a cancel', function () {
  this.timeout(60_000);

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-sweep-'));
  after(() => fs.rmSync(folder, { recursive: true }));
  const columns = ['ablationLossChange'];

  /** How much was there at the first progress, and the values. */
  const run = async (change: { seed?: number; stopAfter?: number } = {}): Promise<{ first: number; values?: Float32Array }> => {
    const sessions = createSessions({ ...options, workers: 1, cacheFolder: folder });
    const { model } = await sessions.open({ path: file }, {});
    const controller = new AbortController();
    let first = NaN;
    let seen = 0;
    const running = sessions.behaviour({ model, recipe, samples, seed: change.seed, columns }, {
      signal: controller.signal,
      progress: (done) => void (first = Number.isNaN(first) ? done : first),
      columns: () => {
        if (++seen === change.stopAfter) controller.abort();
      },
    });
    if (change.stopAfter) {
      await assert.rejects(running, CancelledError);
      return { first };
    }
    const found = await running;
    return { first, values: found.find(({ name }) => name === columns[0])!.values };
  };

  it('computes only what is missing, in a new process too, and gives the same numbers', async () => {
    await run({ stopAfter: 9 });
    const [name] = fs.readdirSync(folder);
    assert.match(name!, /^[0-9a-f]{32}\.sweep\.json$/);
    const { first, values } = await run();
    assert.ok(first > 16 * samples, `${first} of ${122 * samples} were there`);
    const fresh = createSessions({ ...options, workers: 1 });
    const { model } = await fresh.open({ path: file }, {});
    const [column] = await fresh.behaviour({ model, recipe, samples, columns }, {});
    assert.deepEqual(values, column!.values);
    assert.ok(Number.isNaN((await run()).first), 'nothing is left to do');
  });

  it('does not take what other samples or another seed gave', async () => {
    assert.ok((await run({ seed: 7 })).first <= samples * 64);
    assert.equal(fs.readdirSync(folder).length, 2);
  });

  it('takes hostile files for none', async () => {
    const good = (await run()).values!;
    for (const name of fs.readdirSync(folder)) {
      const text = fs.readFileSync(path.join(folder, name), 'utf8');
      const broken = ['', '{', 'null', '[]', '{"particlizeSweep":1}', text.slice(0, text.length / 2), JSON.stringify({ ...JSON.parse(text) as object, layers: [['zero conv1', 'AAA'], ['__proto__', 'x'], 3, null, ['zero conv2', 'AAAAAAAAAAA=']] })];
      for (const content of broken) {
        fs.writeFileSync(path.join(folder, name), content);
        assert.deepEqual((await run()).values, good);
      }
    }
  });
});
