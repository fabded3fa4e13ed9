import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ParticlizeError, type Finding } from '../core/graph/errors';
import { largestRoundText, parseRound, type Round } from '../core/loop/round';
import { atomicWrite } from './atomicWrite';

/** A round and where it is. */
export interface KeptRound extends Round {
  /** Absolute. */
  readonly folder: string;
  /** Absolute; may be gone. */
  readonly modelPath: string;
}

/** Where the rounds of a model are kept when nobody says otherwise: beside it. */
export function roundsFolderOf(model: string): string {
  return path.join(path.dirname(path.resolve(model)), '.particlize', path.basename(model));
}

/**
 * The rounds that are in a folder, in their order: the folders are the only record. What cannot be read, because somebody
 * edited it, is left out with a finding, and so is all that came of it.
 */
export async function readRounds(folder: string): Promise<{ readonly rounds: readonly KeptRound[]; readonly findings: readonly Finding[] }> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ParticlizeError({ file: folder, cause: `the rounds cannot be read (${error.code})`, action: 'Choose another folder' }, { cause: error });
  });
  const findings: Finding[] = [];
  const found: KeptRound[] = [];
  const names = entries.filter((entry) => entry.isDirectory() && roundName.test(entry.name)).map(({ name }) => name);
  for (const name of names.sort((one, two) => numberOf(one) - numberOf(two))) {
    try {
      found.push(await readRound(path.join(folder, name), numberOf(name)));
    } catch (error) {
      if (!(error instanceof ParticlizeError)) throw error;
      findings.push({ severity: 'warning', place: name, message: error.message });
    }
  }
  // Each goes back to the original through rounds that are there.
  const rounds: KeptRound[] = [];
  for (const round of found) {
    if (round.round === 0 || rounds.some(({ round: number }) => number === round.parent)) rounds.push(round);
    else findings.push({ severity: 'warning', place: roundFolder(round.round), message: `Round ${round.parent}, which it came from, is not there, so that it is left out.` });
  }
  return { rounds, findings };
}

export function roundFolder(round: number): string {
  return `round-${String(round).padStart(2, '0')}`;
}

/** Numbers are not given again, also where a folder cannot be read. */
export async function nextRoundNumber(folder: string): Promise<number> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => roundName.test(name));
  return Math.max(-1, ...names.map(numberOf)) + 1;
}

/** Writes small files of text, all or none. */
export async function writeTexts(folder: string, texts: Readonly<Record<string, string>>, write: typeof atomicWrite = atomicWrite): Promise<void> {
  await write(folder, Object.entries(texts).map(([name, text]) => {
    const bytes = new TextEncoder().encode(text);
    return { name, sizeBytes: bytes.length, async* chunks() { yield bytes; } };
  }), { overwrite: true });
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Gives a finished folder its name: from then on the round exists. Rejects with a ParticlizeError when there is one. */
export async function placeRound(working: string, folder: string, round: number): Promise<string> {
  const target = path.join(folder, roundFolder(round));
  for (let attempt = 0; ; attempt++) {
    try {
      if (await exists(target)) throw new ParticlizeError({ file: target, cause: 'this round is there already', action: 'Start again' });
      await rename(working, target);
      return target;
    } catch (error) {
      // Virus scanners hold files open for a moment on Windows.
      if (!['EPERM', 'EBUSY', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '') || attempt >= 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 << attempt));
    }
  }
}

/** Takes away what a process that was killed in the middle of writing has left. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (partial.test(name)) await rm(path.join(folder, name), { recursive: true, force: true });
  }
}

/** A folder that is not a round until it is renamed, and is taken for a leftover when its process is killed. */
export async function makePartialFolder(folder: string): Promise<string> {
  const made = path.join(folder, `${randomBytes(4).toString('hex')}.part`);
  await mkdir(made, { recursive: true });
  return made;
}

export async function sizeOf(files: readonly string[]): Promise<number> {
  let sum = 0;
  for (const file of files) sum += (await stat(file)).size;
  return sum;
}

export async function makeRoundsFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EEXIST' || code === 'ENOTDIR' ? 'this is a file, not a folder' : code === 'ENOSPC' ? 'the disk is full' : `the folder cannot be made (${code})`;
    throw new ParticlizeError({ file: folder, cause, action: 'Choose another folder' }, { cause: error });
  }
}

const roundName = /^round-\d{2,4}$/;
const partial = /(^|\.)[0-9a-f]{8}\.part$/;

function numberOf(name: string): number {
  return Number(name.slice('round-'.length));
}

async function readRound(folder: string, number: number): Promise<KeptRound> {
  const file = path.join(folder, 'metrics.json');
  const place = `${path.basename(folder)}/metrics.json`;
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) throw new ParticlizeError({ file: place, cause: 'the file is missing', action: 'Delete the folder of this round' });
  if (found.size > largestRoundText) throw new ParticlizeError({ file: place, cause: 'this is too large for the record of a round', action: 'Delete the folder of this round' });
  const round = parseRound(await readFile(file, 'utf8'), place);
  if (round.round !== number) throw new ParticlizeError({ file: place, place: 'round', cause: `this is ${round.round} in the folder of round ${number}`, action: 'Repair the file, or delete the folder of this round' });
  return { ...round, folder, modelPath: path.resolve(folder, round.model.file) };
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(() => true, () => false);
}
