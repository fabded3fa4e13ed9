import { ParticlizeError } from '../graph/errors';
import type { ArraySource } from './arraySource';
import type { DataFiles } from './loadDataset';
import type { InputRecipe, Recipe } from './recipe';
import { resizedArray } from './resizePictures';
import { textWindows, type TextFiles, type TokenWindows } from './textWindows';

export interface OpenedSamples {
  readonly array: ArraySource;
  readonly tokens?: TokenWindows;
}

/** A vocabulary or a tokenizer.json: anything longer is another kind of file. */
const longestJsonBytes = 128 * 2 ** 20;

/** What an input is fed from, as an array of numbers: text cut into tokens, pictures unpacked and brought to a size. */
export function openSamples(
  recipe: Recipe, files: DataFiles, arrays: (from: string, place: string) => Promise<ArraySource>, memoryBytes: number,
): (steps: InputRecipe, place: string) => Promise<OpenedSamples> {
  const textFiles: TextFiles = {
    async readJson(path) {
      const source = await files.open(path);
      if (source.sizeBytes > longestJsonBytes) throw new ParticlizeError({ file: path, cause: 'it is too large to be a vocabulary' });
      try {
        return JSON.parse(new TextDecoder().decode(await source.read(0, source.sizeBytes)).replace(/^\uFEFF/, '')) as unknown;
      } catch (error) {
        throw new ParticlizeError({ file: path, cause: 'this is not valid JSON' }, { cause: error });
      }
    },
  };
  return async (steps, place) => {
    const array = await arrays(steps.from, `${place}.from`);
    const fail = (field: string, cause: string, action?: string): never => {
      throw new ParticlizeError({ file: recipe.file, place: `${place}.${field}`, cause, action });
    };
    if (steps.text) {
      if (!array.text) fail('tokenise', `${steps.from} holds numbers, not text`, 'Leave out tokenise and window');
      const shift = recipe.task === 'nextToken' && (!recipe.labels || recipe.labels.from === steps.from) ? recipe.labels?.shift ?? 1 : 0;
      const tokens = await textWindows(array.text!, array.shape[0]!, steps.text, textFiles, { recipe: recipe.file, place, memoryBytes, reserve: shift });
      return { array: tokens.array, tokens };
    }
    if (array.text?.running) fail('tokenise', `${steps.from} is text, and the recipe does not say how it is cut`, 'Add "tokenise": "characters" and "window"');
    if (array.pictures) return { array: await array.pictures.sized(steps.resize, steps.channels) };
    if (steps.channels !== undefined) fail('channels', `${steps.from} is an array, whose channels are what they are`);
    if (!steps.resize) return { array };
    const shaped = steps.shape ? reshaped(array, steps.shape) : array;
    const sized = resizedArray(shaped, steps.resize) ?? fail('resize', `samples of ${steps.from} are no pictures`, 'Give their shape: "shape": [height, width]');
    return { array: sized };
  };
}

function reshaped(array: ArraySource, shape: readonly number[]): ArraySource {
  return {
    ...array, shape: [array.shape[0]!, ...shape],
    rows: async (from, to) => ({ ...await array.rows(from, to), shape: [to - from, ...shape] }),
  };
}
