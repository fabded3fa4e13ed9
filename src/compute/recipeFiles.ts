import { createHash, type Hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { idLimits } from '../core/data/idLimits';
import { guessRecipe, type GuessedRecipe } from '../core/data/guessRecipe';
import { loadDataset, type DataFiles, type LoadedDataset, type LoadOptions } from '../core/data/loadDataset';
import { parseRecipe, type Recipe } from '../core/data/recipe';
import { syntheticProbe } from '../core/data/syntheticProbe';
import { ParticlizeError } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { decidingOutput } from '../core/evaluate/metrics';
import { fileSource } from './files';
import type { RecipeMatch } from './protocol';
import { syntheticRecipe } from './syntheticRecipe';

export const recipeEnding = '.particlize.json';

/** A recipe is written by hand: anything longer is another kind of file. */
const longestRecipeBytes = 4 * 2 ** 20;

export interface OpenedRecipe {
  readonly recipe: Recipe;
  /** Paths relative to the recipe; it may name data elsewhere, since the user chose it. */
  readonly files: DataFiles;
}

export async function openRecipe(file: string): Promise<OpenedRecipe> {
  const source = await fileSource(file);
  if (source.sizeBytes > longestRecipeBytes) throw new ParticlizeError({ file: source.name, cause: 'this is too large to be a recipe' });
  const recipe = parseRecipe(await readFile(file, 'utf8'), path.basename(file));
  const folder = path.dirname(path.resolve(file));
  return { recipe, files: dataFiles(recipe.file, folder) };
}

/** A path that ends so and does not exist stands for it: faces resolve what users name. */
export function isSynthetic(file: string): boolean {
  return path.basename(file) === syntheticRecipe && !existsSync(file);
}

/** Writes what joins a model and data files, with paths relative to the folder that the recipe will be in. */
export function guessRecipeFor(graph: ModelGraph, paths: readonly string[], folder: string, memoryBytes: number): Promise<GuessedRecipe> {
  const relative = paths.map((file) => path.relative(folder, path.resolve(file)).split(path.sep).join('/'));
  const target = { inputs: graph.inputs, output: decidingOutput(graph, { title: 'the new recipe' }).shape, idLimits: idLimits(graph) };
  return guessRecipe(relative, target, dataFiles('the new recipe', folder), memoryBytes);
}

/** The samples of a recipe for a model. */
export async function loadRecipe(file: string, graph: ModelGraph, options: Omit<LoadOptions, 'output' | 'idLimits'>): Promise<LoadedDataset> {
  if (isSynthetic(file)) {
    const dataset = syntheticProbe(graph.inputs, idLimits(graph), { count: options.samples });
    return { dataset, findings: [{ severity: 'info', place: dataset.title, message: 'The samples are made up, so results tell how the model is built, not what it does on real data.' }] };
  }
  const { recipe, files } = await openRecipe(file);
  return loadDataset(recipe, files, graph.inputs, { ...options, output: decidingOutput(graph, recipe).shape, idLimits: idLimits(graph) });
}

/** Recipes beside the model and in the folder above, those that fit first. */
export async function findRecipes(model: string, graph: ModelGraph, memoryBytes: number): Promise<readonly RecipeMatch[]> {
  const folder = path.dirname(path.resolve(model));
  const matches: RecipeMatch[] = [];
  for (const place of new Set([folder, path.dirname(folder)])) {
    const names = (await readdir(place).catch(() => [])).filter((name) => name.endsWith(recipeEnding)).sort();
    for (const name of names) matches.push(await match(path.join(place, name), graph, memoryBytes));
  }
  return [...matches.filter(({ fits }) => fits), ...matches.filter(({ fits }) => !fits)];
}

async function match(file: string, graph: ModelGraph, memoryBytes: number): Promise<RecipeMatch> {
  try {
    await loadRecipe(file, graph, { memoryBytes, samples: 1 });
    return { path: file, fits: true };
  } catch (error) {
    if (error instanceof ParticlizeError) return { path: file, fits: false, reason: error.message };
    throw error;
  }
}

/** Data by paths relative to a folder. `asker` stands in messages. */
export function dataFiles(asker: string, folder: string): DataFiles {
  const found = async (relative: string): Promise<{ file: string; isFolder: boolean }> => {
    const file = path.resolve(folder, relative);
    const kind = await stat(file).catch(() => undefined);
    if (kind) return { file, isFolder: kind.isDirectory() };
    throw new ParticlizeError({ file: asker, place: 'data', cause: `the data file ${relative} does not exist`, action: 'Paths are relative to the recipe' });
  };
  return {
    open: async (relative) => fileSource((await found(relative)).file),
    async list(relative) {
      const { file, isFolder } = await found(relative);
      return isFolder ? filesInside(file, asker) : undefined;
    },
  };
}

/** A folder with more files is no data set of pictures that could be looked at in time. */
const mostFiles = 2_000_000;
const deepestFolder = 8;

/** Links are not followed: they could lead in a circle or out of the folder. */
async function filesInside(folder: string, asker: string): Promise<readonly string[]> {
  const files: string[] = [];
  const visit = async (inside: string, depth: number): Promise<void> => {
    for (const entry of await readdir(path.join(folder, inside), { withFileTypes: true })) {
      const name = inside ? `${inside}/${entry.name}` : entry.name;
      if (entry.isFile()) files.push(name);
      else if (entry.isDirectory() && depth < deepestFolder && !entry.name.startsWith('.')) await visit(name, depth + 1);
      if (files.length > mostFiles) throw new ParticlizeError({ file: asker, place: 'data', cause: `the folder ${path.basename(folder)} has more than ${mostFiles} files` });
    }
  };
  await visit('', 0);
  return files.sort();
}

/** Says whether two runs read the same data: the recipe's text, with size and time of every file and folder that it names. */
export async function recipeStamp(file: string): Promise<string> {
  if (isSynthetic(file)) return syntheticRecipe;
  const text = await readFile(file, 'utf8');
  const folder = path.dirname(path.resolve(file));
  const hash = createHash('sha256').update(text);
  for (const name of [...new Set(textsIn(JSON.parse(text)))].sort()) await stampFile(hash, path.resolve(folder, name), name);
  return hash.digest('hex');
}

async function stampFile(hash: Hash, file: string, name: string, depth = 0): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (!found) return;
  hash.update(`\0${name}\0${found.size}\0${found.mtimeMs}`);
  if (!found.isDirectory() || depth > 2) return;
  for (const entry of (await readdir(file).catch(() => [])).sort()) await stampFile(hash, path.join(file, entry), `${name}/${entry}`, depth + 1);
}

/** Every text in the recipe: which of them are paths, the file system says. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length < 1000 && !value.includes('\0') ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
