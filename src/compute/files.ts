import { existsSync } from 'node:fs';
import { open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { ByteSource, FileSet } from '../core/graph/byteSource';
import { ParticlizeError } from '../core/graph/errors';

/**
 * A file on disk, read by ranges. Rejects with a ParticlizeError when it is missing, a folder or not readable. The
 * file is opened for each batch of reads and closed when nobody has read for a moment, so that nothing has to close it.
 */
export async function fileSource(file: string): Promise<ByteSource> {
  const name = path.basename(file);
  const { size, mtimeMs } = await inspect(file);
  const lease = new Lease(file);
  const check = (offset: number, length: number): void => {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0 || offset + length > size) {
      throw new ParticlizeError({
        file: name, place: `byte ${offset}`, cause: `${length} bytes are wanted, but the file ends at byte ${size}`,
        action: 'The file may be cut off',
      });
    }
  };
  const fill = (offset: number, bytes: Uint8Array): Promise<void> => lease.use(async (handle) => {
    for (let filled = 0; filled < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, filled, Math.min(bytes.length - filled, maxReadBytes), offset + filled);
      if (bytesRead === 0) throw changed(name);
      filled += bytesRead;
    }
    if ((await handle.stat()).mtimeMs !== mtimeMs) throw changed(name);
  });
  const source: ByteSource = {
    name,
    sizeBytes: size,
    read: async (offset, length) => {
      check(offset, length);
      const bytes = new Uint8Array(length);
      await fill(offset, bytes);
      return bytes;
    },
    readInto: async (offset, target) => {
      check(offset, target.length);
      await fill(offset, target);
    },
  };
  onDisk.set(source, { path: path.resolve(file), mtimeMs });
  return source;
}

/** A place on disk, for threads that read by themselves. */
export interface DiskPlace {
  readonly path: string;
  /** When the file was written last, as of its opening. */
  readonly mtimeMs: number;
  /** Where the source begins in the file. */
  readonly offset: number;
}

/** Where a source lies on disk, when it is a file or a part of one. */
export function diskPlace(source: ByteSource): DiskPlace | undefined {
  let offset = 0;
  let outer = source;
  for (; outer.within; outer = outer.within.source) offset += outer.within.offset;
  const file = onDisk.get(outer);
  return file && { ...file, offset };
}

/** A model file and what lies beside it. Siblings that would leave its folder, by name or by link, are refused. */
export async function fileSetOf(file: string): Promise<FileSet> {
  // A SavedModel is a folder; its graph is the file that the others belong to.
  const inside = path.join(file, 'saved_model.pb');
  if (existsSync(inside)) return fileSetOf(inside);
  const folder = path.dirname(path.resolve(file));
  const main = await fileSource(file);
  return {
    main,
    sibling: async (relativeName) => fileSource(await siblingPath(folder, relativeName, main.name)),
    list: async () => (await readdir(folder)).sort(),
  };
}

const onDisk = new WeakMap<ByteSource, { readonly path: string; readonly mtimeMs: number }>();

/** Node reads less than 2 GiB at a time. */
const maxReadBytes = 1 << 30;
const idleMs = 2000;

async function inspect(file: string): Promise<{ size: number; mtimeMs: number }> {
  const name = path.basename(file);
  try {
    const found = await stat(file);
    if (found.isDirectory()) throw new ParticlizeError({ file: name, cause: 'this is a folder, not a file' });
    if (!found.isFile()) throw new ParticlizeError({ file: name, cause: 'this is not an ordinary file' });
    await (await open(file, 'r')).close();
    return found;
  } catch (error) {
    throw readable(error, name);
  }
}

async function siblingPath(folder: string, relativeName: string, main: string): Promise<string> {
  const refuse = (reason: string): never => {
    throw new ParticlizeError({ file: main, place: `data file '${relativeName.slice(0, 200)}'`, cause: reason });
  };
  const parts = relativeName.split(/[/\\]/);
  if (relativeName === '' || relativeName.includes('\0')) refuse('its name is not a file name');
  if (path.isAbsolute(relativeName) || path.win32.isAbsolute(relativeName) || /^[a-z]:/i.test(relativeName)) {
    refuse('its name is absolute; only files beside the model are read');
  }
  if (parts.includes('..')) refuse("its name leads out of the model's folder");
  const wanted = path.join(folder, ...parts);
  try {
    const [base, actual] = await Promise.all([realpath(folder), realpath(wanted)]);
    const inside = path.relative(base, actual);
    if (inside.startsWith('..') || path.isAbsolute(inside)) refuse("it is a link that leads out of the model's folder");
    return wanted;
  } catch (error) {
    throw readable(error, path.basename(wanted));
  }
}

/** One open handle for all reads that overlap or follow closely. */
class Lease {
  private handle: Promise<FileHandle> | undefined;
  private users = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly file: string) {}

  async use(run: (handle: FileHandle) => Promise<void>): Promise<void> {
    clearTimeout(this.timer);
    this.users++;
    try {
      this.handle ??= open(this.file, 'r');
      await run(await this.handle);
    } catch (error) {
      throw readable(error, path.basename(this.file));
    } finally {
      if (--this.users === 0) this.timer = setTimeout(() => this.close(), idleMs).unref();
    }
  }

  private close(): void {
    const { handle } = this;
    this.handle = undefined;
    handle?.then((open) => open.close()).catch(() => undefined);
  }
}

export function changed(name: string): ParticlizeError {
  return new ParticlizeError({ file: name, cause: 'the file changed while it was being read', action: 'Open it again' });
}

function readable(error: unknown, name: string): unknown {
  if (error instanceof ParticlizeError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const cause = code === undefined ? undefined : reasons[code] ?? `the file cannot be read (${code})`;
  return cause ? new ParticlizeError({ file: name, cause }, { cause: error }) : error;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'the file does not exist',
  ENOTDIR: 'the file does not exist',
  EACCES: 'there is no permission to read the file',
  EPERM: 'there is no permission to read the file',
  ELOOP: 'the file is a link that leads to itself',
  EIO: 'the disk could not read the file',
  EMFILE: 'too many files are open',
};
