import assert from 'node:assert';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileDigest } from '../../../src/compute/fileDigest';

describe('fileDigest: tells versions of a file apart', () => {
  let folder: string;
  before(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-digest-'))));
  after(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('is the SHA-256 of a file of ordinary size', async () => {
    const file = path.join(folder, 'small.bin');
    fs.writeFileSync(file, 'particles');
    assert.strictEqual(await fileDigest(file, 9), createHash('sha256').update('particles').digest('hex'));
  });

  it('of a large (sparse) file is made of samples: both ends, places between and the size count', async () => {
    const file = path.join(folder, 'large.bin');
    const size = 10 * 2 ** 30;
    const digests = new Set<string>();
    const digestWith = async (at: number | undefined, length = size): Promise<void> => {
      fs.writeFileSync(file, '');
      fs.truncateSync(file, length);
      if (at !== undefined) {
        const descriptor = fs.openSync(file, 'r+');
        fs.writeSync(descriptor, Buffer.alloc(1 << 19, 1), 0, 1 << 19, at);
        fs.closeSync(descriptor);
      }
      digests.add(await fileDigest(file, length));
    };
    await digestWith(undefined);
    await digestWith(undefined);
    assert.strictEqual(digests.size, 1);
    assert.match([...digests][0]!, /^sampled-[0-9a-f]{64}$/);
    await digestWith(0);
    await digestWith(size - (1 << 19));
    await digestWith(Math.floor(size / 65) * 30);
    await digestWith(undefined, size + 1);
    assert.strictEqual(digests.size, 5);
  });
});
