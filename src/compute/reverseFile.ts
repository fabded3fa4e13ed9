import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { deflate, inflate } from 'node:zlib';
import { byteDelta, withDelta } from '../core/formats/byteDelta';
import type { SavedFile } from '../core/formats/format';
import { ParticlizeError, throwIfCancelled, type Task } from '../core/graph/errors';
import { atomicWrite } from './atomicWrite';
import { diskPlace, fileSetOf } from './files';

/** How the original can come back: by what tells it from the new model, or by where it lies. */
export interface ReverseFile {
  /** Absolute. */
  readonly file: string;
  readonly kind: 'difference' | 'reference';
  readonly bytes: number;
  /** Of the original with all its files. */
  readonly originalBytes: number;
}

export interface Reversed {
  /** Absolute paths of the original, its main file first. */
  readonly files: readonly string[];
  /** Whether they lay there, unchanged, so that nothing was written. */
  readonly alreadyThere: boolean;
}

export const reverseEnding = '.reverse';
/** Of originals larger than this only where they lie is kept. */
export const largestOriginal = 256 << 20;

/** Writes `<model>.reverse` beside a new model. `original` and `made` are absolute paths, main files first. Never over a file. */
export async function writeReverse(original: readonly string[], made: readonly string[], task?: Task, largest = largestOriginal): Promise<ReverseFile> {
  const header = { particlizeReverse: 1 as const, original: await entriesOf(original, task), model: await entriesOf(made, task) };
  const originalBytes = total(header.original);
  const name = `${path.basename(made[0]!)}${reverseEnding}`;
  const write = async (rest: Partial<Header>, body: Uint8Array, kind: ReverseFile['kind']): Promise<ReverseFile> => {
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify({ ...header, ...rest })}\n`), body]);
    const [file] = await atomicWrite(path.dirname(made[0]!), [savedFile(name, bytes)], task);
    return { file: file!, kind, bytes: bytes.length, originalBytes };
  };
  if (originalBytes > largest || total(header.model) > 2 * largestOriginal) return write({ reference: path.dirname(original[0]!) }, new Uint8Array(), 'reference');
  const base = await joined(made);
  const { operations, literals } = await byteDelta(base, await joined(original), task);
  throwIfCancelled(task);
  const body = await promisify(deflate)(Buffer.concat([operations, literals]));
  return write({ difference: { operations: operations.length, literals: literals.length } }, body, 'difference');
}

/**
 * Gives back, byte for byte, the model that `model` was made from, out of the reverse file beside it, into a folder (by
 * default the model's own). Never over a file. Rejects with a ParticlizeError: no reverse file, a damaged one, one of
 * another model, a file of that name that is another one.
 */
export async function reverseModel(model: string, folder: string | undefined, task?: Task): Promise<Reversed> {
  const set = await fileSetOf(model);
  const main = diskPlace(set.main)!.path;
  const { header, body } = await readReverse(`${main}${reverseEnding}`, path.basename(main));
  const sources = await Promise.all(header.model.map(async ({ name }, index) => (index === 0 ? main : diskPlace(await set.sibling(name))!.path)));
  const now = await entriesOf(sources, task);
  const wrong = header.model.find(({ size, sha256 }, index) => now[index]!.sha256 !== sha256 || now[index]!.size !== size);
  if (wrong) {
    throw new ParticlizeError({
      file: path.basename(main) + reverseEnding, cause: `it belongs to another model: ${wrong === header.model[0] ? path.basename(main) : wrong.name} has changed since, or is not the one it was written for`,
    });
  }
  const target = path.resolve(folder ?? path.dirname(main));
  const places = header.original.map(({ name }) => path.join(target, ...name.split('/')));
  if (await lieThere(places, header.original, task)) return { files: places, alreadyThere: true };
  const saved = header.difference ? await fromDifference(header, body, sources, path.basename(main)) : await fromReference(header, task);
  const folders = [...new Set(places.map((place) => path.dirname(place)))];
  const made = await Promise.all(folders.map((each) => mkdir(each, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new ParticlizeError({ file: each, cause: `the folder cannot be made (${error.code})` }, { cause: error });
  })));
  try {
    return { files: await atomicWrite(target, saved, task), alreadyThere: false };
  } catch (error) {
    // Folders made for nothing go again.
    for (const [index, first] of made.entries()) if (first !== undefined) await rmdir(folders[index]!).catch(() => undefined);
    throw error;
  }
}

interface Entry {
  /** Beside the main file, with slashes. */
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

interface Header {
  readonly particlizeReverse: 1;
  readonly original: readonly Entry[];
  readonly model: readonly Entry[];
  /** Lengths of the two parts of the body, once inflated. */
  readonly difference?: { readonly operations: number; readonly literals: number };
  /** Folder of the original. */
  readonly reference?: string;
}

async function entriesOf(files: readonly string[], task?: Task): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const file of files) {
    const name = path.relative(path.dirname(files[0]!), file).split(path.sep).join('/');
    entries.push({ name, size: (await stat(file)).size, sha256: await wholeDigest(file, task) });
  }
  return entries;
}

/** Of all bytes, unlike fileDigest. */
async function wholeDigest(file: string, task?: Task): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    throwIfCancelled(task);
    hash.update(chunk as Uint8Array);
  }
  return hash.digest('hex');
}

function total(entries: readonly Entry[]): number {
  return entries.reduce((sum, { size }) => sum + size, 0);
}

async function joined(files: readonly string[]): Promise<Uint8Array> {
  return Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
}

async function lieThere(places: readonly string[], entries: readonly Entry[], task?: Task): Promise<boolean> {
  for (const [index, place] of places.entries()) {
    const found = await stat(place).catch(() => undefined);
    if (!found?.isFile() || found.size !== entries[index]!.size || await wholeDigest(place, task) !== entries[index]!.sha256) return false;
  }
  return true;
}

async function fromDifference(header: Header, body: Uint8Array, sources: readonly string[], main: string): Promise<readonly SavedFile[]> {
  const { operations, literals } = header.difference!;
  const inflated = await promisify(inflate)(body, { maxOutputLength: Math.max(1, operations + literals) }).catch(() => undefined);
  const size = total(header.original);
  const bytes = inflated?.length === operations + literals
    ? withDelta(await joined(sources), { operations: inflated.subarray(0, operations), literals: inflated.subarray(operations) }, size) : undefined;
  if (!bytes) throw damaged(main);
  let offset = 0;
  return header.original.map(({ name, size: length, sha256 }) => {
    const part = bytes.subarray(offset, offset += length);
    if (createHash('sha256').update(part).digest('hex') !== sha256) throw damaged(main);
    return savedFile(name, part);
  });
}

async function fromReference({ reference, original }: Header, task?: Task): Promise<readonly SavedFile[]> {
  const places = original.map(({ name }) => path.join(reference!, ...name.split('/')));
  if (!await lieThere(places, original, task)) {
    throw new ParticlizeError({
      file: places[0]!, cause: 'the original was too large to keep what tells it from the new model, and it is not there any more, or has changed', action: 'Put it back there',
    });
  }
  return original.map(({ name, size }, index) => ({ name, sizeBytes: size, chunks: () => createReadStream(places[index]!, { highWaterMark: 1 << 20 }) }));
}

async function readReverse(file: string, main: string): Promise<{ readonly header: Header; readonly body: Uint8Array }> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    throw new ParticlizeError({ file: main, cause: `there is no ${path.basename(file)} beside it, which tells how the original comes back` });
  }
  if (found.size > 2 * largestOriginal) throw damaged(main);
  const bytes = await readFile(file);
  const end = bytes.subarray(0, 1 << 20).indexOf(10);
  let header: unknown;
  try {
    header = JSON.parse(bytes.subarray(0, Math.max(0, end)).toString('utf8'));
  } catch {
    throw damaged(main);
  }
  if (!isHeader(header)) throw damaged(main);
  return { header, body: bytes.subarray(end + 1) };
}

/** Sizes are bounded, so that nothing large is allocated for a hostile file; names stay in the folder. */
function isHeader(value: unknown): value is Header {
  const { particlizeReverse, original, model, difference, reference } = (value ?? {}) as Partial<Header>;
  const entries = (list: unknown): list is readonly Entry[] => Array.isArray(list) && list.length > 0 && (list as Partial<Entry>[]).every((entry) =>
    isSize(entry?.size) && typeof entry.sha256 === 'string' && typeof entry.name === 'string' && isPlainName(entry.name));
  if (particlizeReverse !== 1 || !entries(original) || !entries(model)) return false;
  if (new Set(original.map(({ name }) => name)).size < original.length) return false;
  if (difference === undefined) return typeof reference === 'string' && path.isAbsolute(reference);
  return isSize(difference?.operations) && isSize(difference.literals)
    && Math.max(total(original), difference.operations, difference.literals) <= largestOriginal && total(model) <= 2 * largestOriginal;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPlainName(name: string): boolean {
  // eslint-disable-next-line no-control-regex -- no name of a file has them
  return !/[\\:\u0000-\u001f]/.test(name) && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function damaged(main: string): ParticlizeError {
  return new ParticlizeError({ file: `${main}${reverseEnding}`, cause: 'this reverse file is damaged, so the original cannot come back from it' });
}

function savedFile(name: string, bytes: Uint8Array): SavedFile {
  return { name, sizeBytes: bytes.length, async* chunks() { yield bytes; } };
}
