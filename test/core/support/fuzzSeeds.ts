import fs from 'node:fs';
import path from 'node:path';
import { formatOf, formats } from '../../../src/core/formats/registry';
import { memorySource, fixtureFolder, sampleFolder, sharedModels } from './memoryFiles';
import type { FileSet } from '../../../src/core/graph/byteSource';
import { ParticlizeError } from '../../../src/core/graph/errors';

/** A sound file that opens, with the files beside it that opening it asks for. */
export interface Seed {
  readonly format: string;
  /** Readable and the same on every machine. */
  readonly name: string;
  readonly main: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Every small file of the fixtures, the sample and (where they are) the shared models, when it is this format that takes it. */
export async function findSeeds(format: string, { shared = false, largestBytes = 260_000 } = {}): Promise<readonly Seed[]> {
  const extensions = formats.find(({ id }) => id === format)?.extensions ?? [];
  const seeds: Seed[] = [];
  for (const root of [fixtureFolder, sampleFolder, ...(shared && fs.existsSync(sharedModels) ? [sharedModels] : [])]) {
    const names = fs.readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
    for (const name of names) {
      const file = path.join(root, name);
      if (!extensions.some((extension) => name.endsWith(extension))) continue;
      const { size } = fs.statSync(file);
      if (size === 0 || size > largestBytes || !fs.statSync(file).isFile()) continue;
      const seed = await seedOf(file, name.split(path.sep).join('/'));
      if (seed?.format === format) seeds.push(seed);
    }
  }
  return seeds;
}

export function filesOf(main: string, files: ReadonlyMap<string, Uint8Array>, list: readonly string[] = [...files.keys()]): FileSet {
  return {
    main: memorySource(main, files.get(main)!),
    sibling: (name) => {
      const bytes = files.get(name);
      return bytes ? Promise.resolve(memorySource(name, bytes)) : Promise.reject(new ParticlizeError({ file: name, cause: 'the file does not exist' }));
    },
    list: () => Promise.resolve(list),
  };
}

async function seedOf(file: string, name: string): Promise<Seed | undefined> {
  const [folder, main] = [path.dirname(file), path.basename(file)];
  const files = new Map([[main, new Uint8Array(fs.readFileSync(file))]]);
  const list = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((one) => one.split(path.sep).join('/')).sort();
  const onDisk: FileSet = {
    ...filesOf(main, files, list),
    sibling: (sibling) => {
      const place = path.join(folder, sibling);
      if (!list.includes(sibling) || fs.statSync(place).size > 1_000_000) return Promise.reject(new ParticlizeError({ file: sibling, cause: 'the file does not exist' }));
      const bytes = new Uint8Array(fs.readFileSync(place));
      files.set(sibling, bytes);
      return Promise.resolve(memorySource(sibling, bytes));
    },
  };
  try {
    const format = await formatOf(onDisk);
    await format.open(onDisk);
    return { format: format.id, name, main, files };
  } catch (error) {
    if (error instanceof ParticlizeError) return undefined;
    throw error;
  }
}
