import { access } from 'node:fs/promises';
import path from 'node:path';
import type { Format } from '../core/formats/format';
import { ParticlizeError, type Task } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { atomicWrite } from './atomicWrite';

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

async function freeName(original: string, folder: string): Promise<string> {
  const { name, ext } = path.parse(original);
  const elsewhere = path.resolve(folder) !== path.dirname(path.resolve(original));
  // A model of several files keeps its main file's name in a folder of its own, as its loaders expect.
  if (ext === '.json' && elsewhere && !await exists(path.join(folder, `${name}${ext}`))) return `${name}${ext}`;
  const base = name.replace(/\.particlized(-\d+)?$/, '');
  for (let number = 1; ; number++) {
    const candidate = `${base}.particlized${number === 1 ? '' : `-${number}`}${ext}`;
    if (!await exists(path.join(folder, candidate))) return candidate;
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(() => true, () => false);
}
