import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { throwIfCancelled, type Task } from '../core/graph/errors';

/**
 * What tells a model file from its other versions: its SHA-256 in hexadecimal. Of a file above 64 MiB, opening which
 * should not read all of it: `sampled-` and the SHA-256 of its size, its first and last MiB, and 64 KiB at each of 64
 * places spread evenly between; training changes every weight, so it shows there.
 */
export async function fileDigest(file: string, sizeBytes: number, task?: Task): Promise<string> {
  const hash = createHash('sha256');
  if (sizeBytes <= largestWhole) {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
      throwIfCancelled(task);
      hash.update(chunk as Uint8Array);
    }
    return hash.digest('hex');
  }
  hash.update(String(sizeBytes));
  const handle = await open(file, 'r');
  try {
    const buffer = new Uint8Array(endBytes);
    const add = async (offset: number, length: number): Promise<void> => {
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      hash.update(buffer.subarray(0, bytesRead));
    };
    await add(0, endBytes);
    for (let sample = 1; sample <= samples; sample++) await add(Math.floor((sizeBytes / (samples + 1)) * sample), sampleBytes);
    await add(sizeBytes - endBytes, endBytes);
  } finally {
    await handle.close();
  }
  return `sampled-${hash.digest('hex')}`;
}

const largestWhole = 64 << 20;
const endBytes = 1 << 20;
const samples = 64;
const sampleBytes = 64 << 10;
