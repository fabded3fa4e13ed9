import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { SweepStore } from '../core/behaviour/ablation/work';
import { atomicWrite } from './atomicWrite';

/**
 * Effects of an exact sweep in a small file of a folder, so that after a cancel, a crash or a restart only the rest is
 * computed. `key` says of what they are: model, recipe, data, options. What is not a file of this sweep, or is damaged, is as
 * if it were not there; a folder that cannot be written keeps nothing.
 */
export function sweepCache(folder: string, key: readonly unknown[]): SweepStore {
  const digest = createHash('sha256').update(JSON.stringify([version, ...key])).digest('hex');
  const name = `${digest.slice(0, 32)}${ending}`;
  const kept = readKept(path.join(folder, name), digest);
  let written = 0;
  let dirty = false;
  const save = async (): Promise<void> => {
    dirty = false;
    written = Date.now();
    const layers = [...await kept].map(([place, effects]) => [place, Buffer.from(effects.buffer, effects.byteOffset, effects.byteLength).toString('base64')]);
    const bytes = Buffer.from(JSON.stringify({ particlizeSweep: digest, layers }));
    await mkdir(folder, { recursive: true });
    await atomicWrite(folder, [{ name, sizeBytes: bytes.length, chunks: () => once(bytes) }], { overwrite: true });
    await removeOldest(folder);
  };
  return {
    read: async (layer, replacement) => (await kept).get(`${replacement} ${layer}`),
    async write(layer, replacement, effects) {
      (await kept).set(`${replacement} ${layer}`, effects.slice());
      dirty = true;
      if (Date.now() - written >= everyMs) await save();
    },
    flush: async () => (dirty ? save() : undefined),
  };
}

/** Numbers of an older way of computing are not taken up. */
const version = 1;
const ending = '.sweep.json';
const everyMs = 1000;
const longestBytes = 256 * 2 ** 20;
const mostFiles = 50;

async function readKept(file: string, digest: string): Promise<Map<string, Float32Array>> {
  const kept = new Map<string, Float32Array>();
  try {
    const { size } = await stat(file);
    if (size > longestBytes) return kept;
    const found = JSON.parse(await readFile(file, 'utf8')) as { particlizeSweep?: unknown; layers?: unknown };
    if (found.particlizeSweep !== digest || !Array.isArray(found.layers)) return kept;
    for (const entry of found.layers as unknown[]) {
      if (!Array.isArray(entry)) continue;
      const [place, text] = entry as unknown[];
      if (typeof place !== 'string' || typeof text !== 'string') continue;
      const bytes = Buffer.from(text, 'base64');
      if (bytes.length % 4 === 0) kept.set(place, new Float32Array(Uint8Array.from(bytes).buffer));
    }
  } catch {
    // Not there, or not readable: nothing is kept.
  }
  return kept;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function removeOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(ending));
  if (names.length <= mostFiles) return;
  const times = await Promise.all(names.map(async (name) => ({ name, time: (await stat(path.join(folder, name))).mtimeMs })));
  times.sort((one, two) => one.time - two.time);
  for (const { name } of times.slice(0, names.length - mostFiles)) await rm(path.join(folder, name), { force: true });
}
