import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { SavedFile } from '../core/formats/format';
import { ParticlizeError, throwIfCancelled, type Task } from '../core/graph/errors';

export interface WriteOptions extends Task {
  /** Replace files that are there; without it their presence is an error. */
  readonly overwrite?: boolean;
}

/**
 * Writes the files of a model into a folder, all or none: each goes to a temporary file beside its place and onto the
 * disk, and only when all are there do they get their names. On failure nothing of it is left. Rejects with a
 * ParticlizeError that says which file and why (it exists, the disk is full, the folder may not be written).
 */
export async function atomicWrite(folder: string, files: readonly SavedFile[], options: WriteOptions = {}): Promise<readonly string[]> {
  const targets = files.map(({ name }) => targetOf(folder, name));
  const temporary: string[] = [];
  const placed: string[] = [];
  const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let current = files[0]?.name ?? '';
  let done = 0;
  try {
    if (new Set(targets).size < targets.length) throw new Error('two files of one model have the same name');
    for (const [index, file] of files.entries()) {
      current = file.name;
      if (!options.overwrite && await exists(targets[index]!)) throw taken(file.name);
      const part = `${targets[index]!}.${randomBytes(4).toString('hex')}.part`;
      const handle = await open(part, 'wx');
      temporary.push(part);
      await write(handle, file, options, (bytes) => options.progress?.((done += bytes), total, `writing ${file.name}`));
    }
    for (const [index, target] of targets.entries()) {
      current = files[index]!.name;
      await place(temporary[index]!, target, options.overwrite ?? false);
      placed.push(target);
    }
    await syncFolder(folder);
    return targets;
  } catch (error) {
    // What was replaced cannot come back; what is new goes again.
    if (!options.overwrite) await removeAll(placed);
    throw explain(error, current);
  } finally {
    await removeAll(temporary);
  }
}

async function write(handle: FileHandle, file: SavedFile, task: Task, progress: (bytes: number) => void): Promise<void> {
  try {
    let written = 0;
    for await (const bytes of file.chunks()) {
      throwIfCancelled(task);
      await handle.writeFile(bytes);
      written += bytes.length;
      progress(bytes.length);
    }
    if (written !== file.sizeBytes) throw new Error(`${file.name} has ${written} bytes instead of ${file.sizeBytes}`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Gives a finished file its name. A hard link fails where something is, which a rename does not. */
async function place(temporary: string, target: string, overwrite: boolean): Promise<void> {
  if (!overwrite) {
    try {
      await link(temporary, target);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') throw taken(path.basename(target));
      // Not every file system has links.
      if (await exists(target)) throw taken(path.basename(target));
    }
  }
  await rename(temporary, target);
}

/** So that the names survive a power cut too; not every system can. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function targetOf(folder: string, name: string): string {
  const parts = name.split('/');
  if (name === '' || path.isAbsolute(name) || name.includes('\\') || parts.some((part) => part === '..' || part === '')) {
    throw new ParticlizeError({ file: name, cause: 'this is not a name for a file in the chosen folder' });
  }
  return path.join(folder, ...parts);
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return false;
    throw error;
  });
}

async function removeAll(files: readonly string[]): Promise<void> {
  await Promise.all(files.map((file) => rm(file, { force: true }).catch(() => undefined)));
}

function taken(name: string): ParticlizeError {
  return new ParticlizeError({ file: name, cause: 'a file of this name is already there', action: 'Choose another name or folder' });
}

function explain(error: unknown, name: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  const reason = code === undefined ? undefined : reasons[code];
  if (reason) return new ParticlizeError({ file: name, ...reason }, { cause: error });
  if (code && !(error instanceof ParticlizeError)) return new ParticlizeError({ file: name, cause: `the file could not be written (${code})` }, { cause: error });
  return error;
}

const noSpace = { cause: 'the disk is full', action: 'Free some space, or choose another folder; nothing was written' };
const noRight = { cause: 'the folder may not be written to', action: 'Choose another folder; nothing was written' };
const reasons: Readonly<Record<string, { readonly cause: string; readonly action: string }>> = {
  ENOSPC: noSpace,
  EDQUOT: noSpace,
  EFBIG: { cause: 'the file is larger than the disk allows', action: 'Choose another folder; nothing was written' },
  EACCES: noRight,
  EPERM: noRight,
  EROFS: { cause: 'the disk is read-only', action: 'Choose another folder; nothing was written' },
  ENOENT: { cause: 'the folder does not exist', action: 'Choose another folder' },
  ENOTDIR: { cause: 'the folder does not exist', action: 'Choose another folder' },
};
