import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import { reverseModel, writeReverse } from '../../../src/compute/reverseFile';
import { createSessions } from '../../../src/compute/session';
import type { MethodTable } from '../../../src/compute/protocol';
import type { Plan } from '../../../src/core/optimise/plan';
import { digits, root } from '../support/openSample';

const fixtures = path.join(root, 'test/fixtures/digits');
const remove = ['conv1/kernel:3', 'conv1/kernel:7', 'dense1/neuron:0', 'dense1/neuron:40'];

describe('the way back to the original', function () {
  this.timeout(30_000);
  let sessions: MethodTable;
  let folder: string;
  before(() => (sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 256 })));
  beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-reverse-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  async function applied(name: string, particles = remove) {
    // Files without a graph do not say what reads a layer's channels: only weights change.
    const weightsOnly = /\.(pt|safetensors)$/.test(name);
    const { model, path: file } = await sessions.open({ path: path.join(name.endsWith('.safetensors') ? fixtures : digits, name) }, {});
    const plan: Plan = { version: 1, model: { file: '', sha256: '' }, steps: [weightsOnly ? { action: 'maskConnections', layer: 'conv1', share: 0.5 } : { action: 'remove', particles }] };
    return { file, plan, ...await sessions.apply({ model, plan, folder: fs.mkdtempSync(path.join(folder, 'made-')) }, {}) };
  }

  for (const name of ['model.onnx', 'model.keras', 'model.pt', 'model.safetensors', 'tfjs/model.json']) {
    it(`${name}: apply, then reverse, gives the same bytes`, async () => {
      const { file, plan, files, reverse } = await applied(name);
      assert.notEqual(digest(files[0]!), digest(file));
      assert.equal(reverse.kind, 'difference');
      assert.ok(reverse.bytes < reverse.originalBytes, `${reverse.bytes} of ${reverse.originalBytes}`);
      const kept = JSON.parse(fs.readFileSync(`${files[0]!}.plan.json`, 'utf8')) as { model: { file: string }; steps: unknown };
      assert.deepEqual([kept.model.file, kept.steps], [path.basename(file), plan.steps]);
      const out = path.join(folder, 'back');
      const back = await reverseModel(files[0]!, out);
      assert.equal(back.alreadyThere, false);
      assert.equal(path.basename(back.files[0]!), path.basename(file));
      for (const each of back.files) assert.equal(digest(each), digest(path.join(path.dirname(file), path.relative(out, each))));
      assert.equal(back.files.length > 1, name.endsWith('.json'));
      // What is there is the original: nothing to do. What is there and is another file stays.
      assert.equal((await reverseModel(files[0]!, out)).alreadyThere, true);
      fs.writeFileSync(back.files[0]!, 'mine');
      await assert.rejects(reverseModel(files[0]!, out), /a file of this name is already there/);
      assert.equal(fs.readFileSync(back.files[0]!, 'utf8'), 'mine');
    });
  }

  it('a missing, damaged or hostile reverse file, and one of another model, are told in one sentence', async () => {
    const { files } = await applied('model.onnx');
    const other = await applied('model.onnx', ['dense1/neuron:1']);
    const made = files[0]!;
    const file = `${made}.reverse`;
    const good = fs.readFileSync(file);
    const fails = async (bytes: Uint8Array | string, pattern: RegExp): Promise<void> => {
      fs.writeFileSync(file, bytes);
      await assert.rejects(reverseModel(made, path.join(folder, 'back')), (error: Error) => {
        assert.equal(error.name, 'ParticlizeError');
        assert.match(error.message, pattern);
        return true;
      });
      assert.equal(fs.existsSync(path.join(folder, 'back')), false);
    };
    await fails(fs.readFileSync(`${other.files[0]!}.reverse`), /belongs to another model/);
    const end = good.indexOf(10);
    const header = JSON.parse(good.subarray(0, end).toString()) as { original: { name: string; size: number }[]; difference: { operations: number; literals: number } };
    const changed = (change: (copy: typeof header) => void, body: Uint8Array = good.subarray(end + 1)): Uint8Array => {
      const copy = structuredClone(header);
      change(copy);
      return Buffer.concat([Buffer.from(`${JSON.stringify(copy)}\n`), body]);
    };
    const hostile: (Uint8Array | string)[] = [
      '', 'x', '{}\n', 'null\n', good.subarray(0, end), good.subarray(0, good.length - 40),
      changed((copy) => (copy.original[0]!.name = '../escaped.onnx')), changed((copy) => (copy.original[0]!.name = 'C:escaped.onnx')),
      changed((copy) => (copy.original[0]!.size = 2 ** 50)), changed((copy) => (copy.original[0]!.size += 1)),
      changed((copy) => (copy.difference.literals = 2 ** 40)), changed((copy) => (copy.difference = { operations: 4, literals: 0 }), deflateSync(Buffer.from([0, 0xff, 0xff, 0xff]))),
      changed((copy) => (copy.difference = { operations: 1, literals: 0 }), deflateSync(Buffer.alloc(50_000_000))),
    ];
    for (const bytes of hostile) await fails(bytes, /this reverse file is damaged/);
    // A literal byte that is another one: only the digest tells.
    const { inflateSync } = await import('node:zlib');
    const inside = inflateSync(good.subarray(end + 1));
    inside[inside.length - 1]! ^= 1;
    await fails(changed(() => undefined, deflateSync(inside)), /damaged/);
    fs.rmSync(file);
    await assert.rejects(reverseModel(made, undefined), /there is no model\.particlized\.onnx\.reverse beside it/);
  });

  it('of a large original only the place is kept, and checked', async () => {
    const [original, made] = ['model.bin', 'made.bin'].map((name) => path.join(folder, name));
    fs.writeFileSync(original!, Buffer.alloc(5000, 3));
    fs.writeFileSync(made!, Buffer.alloc(4000, 3));
    const reverse = await writeReverse([original!], [made!], {}, 4999);
    assert.deepEqual([reverse.kind, reverse.originalBytes], ['reference', 5000]);
    const { files } = await reverseModel(made!, path.join(folder, 'back'));
    assert.equal(digest(files[0]!), digest(original!));
    fs.writeFileSync(original!, Buffer.alloc(5000, 4));
    await assert.rejects(reverseModel(made!, path.join(folder, 'again')), /not there any more, or has changed/);
  });

  it('cutting an inner axis costs little more than what was cut', async () => {
    const values = Float32Array.from({ length: 200 * 64 }, (_, index) => Math.sin(index * 1.7));
    const kept = values.filter((_, index) => index % 64 % 5 !== 0);
    const [original, made] = ['wide.bin', 'thin.bin'].map((name) => path.join(folder, name));
    fs.writeFileSync(original!, new Uint8Array(values.buffer));
    fs.writeFileSync(made!, new Uint8Array(kept.buffer, 0, kept.byteLength));
    const { bytes } = await writeReverse([original!], [made!]);
    assert.ok(bytes < 1.5 * (values.byteLength - kept.byteLength) + 500, `${bytes}`);
    assert.equal(digest((await reverseModel(made!, path.join(folder, 'back'))).files[0]!), digest(original!));
  });
});

function digest(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}
