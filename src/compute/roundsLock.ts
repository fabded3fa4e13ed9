import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ParticlizeError } from '../core/graph/errors';

/** A lock whose holder has shown no sign of life for so long is nobody's. */
const staleMs = 60_000;
const beatMs = 10_000;

/**
 * Two loops in one folder would take each other's rounds for their own. Rejects with a ParticlizeError while another one runs; the
 * lock of a process that is gone is taken over. Resolves to what gives it back.
 */
export async function lockRounds(folder: string): Promise<() => Promise<void>> {
  const file = path.join(folder, 'lock');
  const own = JSON.stringify({ process: process.pid, host: os.hostname(), id: randomBytes(8).toString('hex') });
  for (let attempt = 0; attempt < 3; attempt++) {
    if (await create(file, own)) {
      const beat = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), beatMs);
      beat.unref();
      return async () => {
        clearInterval(beat);
        if (await readFile(file, 'utf8').catch(() => '') === own) await rm(file, { force: true });
      };
    }
    const holder = await readFile(file, 'utf8').catch(() => '');
    if (await isAlive(file, holder)) {
      throw new ParticlizeError({ file: folder, cause: 'another loop is running in this folder', action: 'Wait for its end, cancel it, or choose another folder' });
    }
    // Renamed first, so that of two that find a dead lock only one takes it away; and looked at again, since it may be a new one by now.
    const dead = `${file}.${randomBytes(4).toString('hex')}.part`;
    if (!await rename(file, dead).then(() => true, () => false)) continue;
    if (await readFile(dead, 'utf8').catch(() => '') !== holder) await rename(dead, file).catch(() => undefined);
    else await rm(dead, { force: true });
  }
  throw new ParticlizeError({ file: folder, cause: 'another loop has just started in this folder', action: 'Wait for its end, or choose another folder' });
}

async function create(file: string, text: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx');
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    const cause = code === 'ENOSPC' ? 'the disk is full' : `the folder cannot be written to (${code})`;
    throw new ParticlizeError({ file: path.dirname(file), cause, action: 'Choose another folder' }, { cause: error });
  }
}

async function isAlive(file: string, holder: string): Promise<boolean> {
  const age = await stat(file).then(({ mtimeMs }) => Date.now() - mtimeMs, () => Infinity);
  if (age > staleMs) return false;
  let parsed: { process?: unknown; host?: unknown };
  try {
    parsed = JSON.parse(holder) as typeof parsed;
  } catch {
    // Between being made and being written.
    return age < 2000;
  }
  if (parsed.host !== os.hostname() || !Number.isSafeInteger(parsed.process)) return true;
  try {
    process.kill(parsed.process as number, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
