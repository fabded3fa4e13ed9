import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileSetOf, fileSource } from '../../../src/compute/files';

describe('files', () => {
  let folder: string;
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-'));
    fs.mkdirSync(path.join(folder, 'model/parts'), { recursive: true });
    for (const name of ['secret.bin', 'model/model.onnx', 'model/weights.bin', 'model/parts/one.bin']) fs.writeFileSync(path.join(folder, name), name);
  });
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('reads ranges, several at once, and nothing beyond the end', async () => {
    const source = await fileSource(path.join(folder, 'model/model.onnx'));
    assert.equal(source.name, 'model.onnx');
    assert.equal(source.sizeBytes, 16);
    const parts = await Promise.all([source.read(0, 5), source.read(6, 5), source.read(16, 0)]);
    assert.deepEqual(parts.map((part) => Buffer.from(part).toString()), ['model', 'model', '']);
    for (const [offset, length] of [[10, 7], [-1, 2], [17, 0], [0, 2 ** 53], [0.5, 1]] as const) {
      await assert.rejects(source.read(offset, length), /model\.onnx: byte .*: .* the file ends at byte 16/);
    }
  });

  it('says what is wrong with a folder, a missing file, a file that may not be read', async () => {
    fs.mkdirSync(path.join(folder, 'folder.onnx'));
    await assert.rejects(fileSource(path.join(folder, 'folder.onnx')), /^ParticlizeError: folder\.onnx: this is a folder, not a file\.$/);
    await assert.rejects(fileSource(path.join(folder, 'none.onnx')), /^ParticlizeError: none\.onnx: the file does not exist\.$/);
    if (process.getuid?.() === 0 || process.platform === 'win32') return; // may read everything
    fs.chmodSync(path.join(folder, 'secret.bin'), 0);
    await assert.rejects(fileSource(path.join(folder, 'secret.bin')), /secret\.bin: there is no permission/);
  });

  it('notices that a file changed or shrank under it', async () => {
    const file = path.join(folder, 'model/weights.bin');
    const source = await fileSource(file);
    fs.truncateSync(file, 3);
    await assert.rejects(source.read(0, source.sizeBytes), /changed while it was being read/);
  });

  it('opens what lies beside a model', async () => {
    const files = await fileSetOf(path.join(folder, 'model/model.onnx'));
    assert.equal((await files.sibling('weights.bin')).sizeBytes, 17);
    assert.equal(Buffer.from(await (await files.sibling('parts/one.bin')).read(0, 5)).toString(), 'model');
    assert.deepEqual(await files.list(), ['model.onnx', 'parts', 'weights.bin']);
    await assert.rejects(files.sibling('none.bin'), /none\.bin: the file does not exist/);
  });

  it('refuses siblings that leave the folder, by name', async function () {
    const files = await fileSetOf(path.join(folder, 'model/model.onnx'));
    for (const name of ['../secret.bin', 'parts/../../secret.bin', '..\\secret.bin', '', 'a\0b', path.join(folder, 'secret.bin'), 'C:\\secret.bin', '\\\\host\\secret.bin']) {
      await assert.rejects(files.sibling(name), /^ParticlizeError: model\.onnx: data file '/, name);
    }
    if (process.platform === 'win32') return; // links need rights there
    fs.symlinkSync(path.join(folder, 'secret.bin'), path.join(folder, 'model/link.bin'));
    fs.symlinkSync(folder, path.join(folder, 'model/up'));
    fs.symlinkSync(path.join(folder, 'model/weights.bin'), path.join(folder, 'model/inside.bin'));
    await assert.rejects(files.sibling('link.bin'), /'link\.bin': it is a link that leads out/);
    await assert.rejects(files.sibling('up/secret.bin'), /it is a link that leads out/);
    assert.equal((await files.sibling('inside.bin')).sizeBytes, 17);
  });
});
