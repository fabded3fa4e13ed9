import { access, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Format } from '../core/formats/format';
import { ParticlizeError, type Task } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import type { Plan } from '../core/optimise/plan';
import { atomicWrite } from './atomicWrite';
import { reverseEnding, writeReverse, type ReverseFile } from './reverseFile';

export interface SaveTarget {
  /** The file that the original model came from. */
  readonly original: string;
  readonly folder: string;
  /** Name of the main file; by default the original's with `.particlized` before the ending. */
  readonly name?: string;
  readonly task?: Task;
}

/** Writes a changed model, never over a file; returns absolute paths, the main file first. */
export async function saveModel(
  format: Format, original: ModelGraph, graph: ModelGraph, { original: file, folder, name, task }: SaveTarget,
): Promise<readonly string[]> {
  if (!format.save) throw new ParticlizeError({ file: path.basename(file), cause: `${format.title} files cannot be written yet` });
  const mainName = name ?? await freeName(file, folder);
  return atomicWrite(path.resolve(folder), await format.save(original, graph, mainName), task);
}

/**
 * Writes beside a new model what was done (`<model>.plan.json`, unless a file of that name is there) and what gives the
 * original back (`<model>.reverse`). All or nothing: when that fails, the new model goes too.
 */
export async function keepWayBack(
  original: readonly string[], made: readonly string[], plan: Plan, task?: Task,
): Promise<{ readonly files: readonly string[]; readonly reverse: ReverseFile }> {
  const files = [...made];
  try {
    const [main] = made;
    if (!await exists(`${main!}${planEnding}`)) {
      const bytes = new TextEncoder().encode(`${JSON.stringify(plan, null, 2)}\n`);
      const name = `${path.basename(main!)}${planEnding}`;
      files.push(...await atomicWrite(path.dirname(main!), [{ name, sizeBytes: bytes.length, async* chunks() { yield bytes; } }], task));
    }
    const reverse = await writeReverse(original, made, task);
    return { files: [...files, reverse.file], reverse };
  } catch (error) {
    await Promise.all(files.map((file) => rm(file, { force: true })));
    throw error;
  }
}

export const planEnding = '.plan.json';

async function freeName(original: string, folder: string): Promise<string> {
  const { name, ext } = path.parse(original);
  const elsewhere = path.resolve(folder) !== path.dirname(path.resolve(original));
  // A model of several files keeps its main file's name in a folder of its own, as its loaders expect.
  if (ext === '.json' && elsewhere && !await exists(path.join(folder, `${name}${ext}`))) return `${name}${ext}`;
  const base = name.replace(/\.particlized(-\d+)?$/, '');
  for (let number = 1; ; number++) {
    const candidate = `${base}.particlized${number === 1 ? '' : `-${number}`}${ext}`;
    const [taken, wayBack] = await Promise.all(['', reverseEnding].map((ending) => exists(path.join(folder, `${candidate}${ending}`))));
    if (!taken && !wayBack) return candidate;
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(() => true, () => false);
}
