import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { atomicWrite } from '../../../src/compute/atomicWrite';
import type { SavedFile } from '../../../src/core/formats/format';
import { CancelledError } from '../../../src/core/graph/errors';

function file(name: string, text: string, fail?: () => void): SavedFile {
  return {
    name,
    sizeBytes: text.length,
    async *chunks() {
      const bytes = Buffer.from(text);
      yield bytes.subarray(0, 3);
      fail?.();
      yield bytes.subarray(3);
    },
  };
}

function systemError(code: string): () => never {
  return () => {
    throw Object.assign(new Error(`${code}: write`), { code });
  };
}

describe('atomicWrite', () => {
  let folder: string;
  beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));
  const present = (): string[] => fs.readdirSync(folder).sort();

  it('writes all files, and tells how far it is', async () => {
    const seen: [number, number][] = [];
    const written = await atomicWrite(folder, [file('a.onnx', 'hello world'), file('a.onnx.data', 'weights')], { progress: (done, total) => seen.push([done, total]) });
    assert.deepEqual(written, [path.join(folder, 'a.onnx'), path.join(folder, 'a.onnx.data')]);
    assert.deepEqual(present(), ['a.onnx', 'a.onnx.data']);
    assert.equal(fs.readFileSync(path.join(folder, 'a.onnx'), 'utf8'), 'hello world');
    assert.deepEqual(seen.at(-1), [18, 18]);
  });

  it('never writes over a file unless told to', async () => {
    fs.writeFileSync(path.join(folder, 'b.data'), 'precious');
    await assert.rejects(atomicWrite(folder, [file('b.onnx', 'model'), file('b.data', 'other')]), /^ParticlizeError: b\.data: a file of this name is already there\. Choose another name or folder\.$/);
    assert.deepEqual(present(), ['b.data']);
    assert.equal(fs.readFileSync(path.join(folder, 'b.data'), 'utf8'), 'precious');
    await atomicWrite(folder, [file('b.data', 'other')], { overwrite: true });
    assert.equal(fs.readFileSync(path.join(folder, 'b.data'), 'utf8'), 'other');
  });

  it('does not write over a file that appears meanwhile, and takes back what it placed', async () => {
    const late = file('c.data', 'other', () => fs.writeFileSync(path.join(folder, 'c.data'), 'precious'));
    await assert.rejects(atomicWrite(folder, [file('c.onnx', 'model'), late]), /c\.data: a file of this name is already there/);
    assert.deepEqual(present(), ['c.data']);
    assert.equal(fs.readFileSync(path.join(folder, 'c.data'), 'utf8'), 'precious');
  });

  const failures: [string, RegExp][] = [
    ['ENOSPC', /^ParticlizeError: d\.data: the disk is full\. Free some space/], ['EROFS', /^ParticlizeError: d\.data: the disk is read-only\./],
    ['EACCES', /^ParticlizeError: d\.data: the folder may not be written to\./], ['EIO', /^ParticlizeError: d\.data: the file could not be written \(EIO\)\.$/],
  ];
  for (const [code, message] of failures) {
    it(`${code} in the second file leaves nothing behind and is one sentence`, async () => {
      await assert.rejects(atomicWrite(folder, [file('d.onnx', 'model'), file('d.data', 'weights', systemError(code))]), message);
      assert.deepEqual(present(), []);
    });
  }

  it('a read-only folder and a missing one, for real', async () => {
    await assert.rejects(atomicWrite(path.join(folder, 'none'), [file('e.onnx', 'model')]), /e\.onnx: the folder does not exist/);
    if (process.getuid?.() === 0 || process.platform === 'win32') return; // may write everywhere
    fs.chmodSync(folder, 0o500);
    await assert.rejects(atomicWrite(folder, [file('e.onnx', 'model')]), /e\.onnx: the folder may not be written to/);
    fs.chmodSync(folder, 0o700);
  });

  it('leaves nothing when it is cancelled or a writer gives the wrong number of bytes', async () => {
    const control = new AbortController();
    await assert.rejects(atomicWrite(folder, [file('f.onnx', 'model', () => control.abort())], { signal: control.signal }), CancelledError);
    await assert.rejects(atomicWrite(folder, [{ ...file('f.onnx', 'model'), sizeBytes: 7 }]), /5 bytes instead of 7/);
    assert.deepEqual(present(), []);
  });

  it('refuses names that leave the folder', async () => {
    for (const name of ['../x', '/x', 'a/../../x', '', 'a\\x']) await assert.rejects(atomicWrite(folder, [file(name, 'model')]), /not a name for a file/);
  });
});
