import { ParticlizeError } from '../graph/errors';
import type { Shape } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ArraySource } from './arraySource';
import type { FittedInput } from './loadDataset';
import type { Recipe } from './recipe';

/** Classes that the model tells apart: of a sequence the last axis of its output, else all numbers of a sample. */
export function classCount({ task }: Recipe, output: Shape | undefined): number | undefined {
  if (!output) return undefined;
  if (task === 'nextToken') return output[output.length - 1] ?? undefined;
  return output.slice(1).reduce<number | undefined>((product, dim) => (product === undefined || dim === null ? undefined : product * dim), 1);
}

/** The labels of all rows: from the file, by the recipe's class names, or the same text further along. */
export async function openLabels(
  recipe: Recipe, arrays: (from: string, place: string) => Promise<ArraySource>, inputs: readonly FittedInput[], output: Shape | undefined,
): Promise<ArraySource | undefined> {
  const { labels } = recipe;
  const text = recipe.task === 'nextToken' && inputs.find(({ from, tokens }) => tokens && (!labels || labels.from === from));
  if (text && text.tokens) return (output?.length ?? 2) >= 3 ? text.tokens.shifted(labels?.shift ?? 1) : text.tokens.following(labels?.shift ?? 1);
  if (!labels) return undefined;
  const array = await arrays(labels.from, 'labels.from');
  if (array.text?.running) throw new ParticlizeError({ file: recipe.file, place: 'labels.from', cause: `${labels.from} is text; only the task nextToken takes its labels from text` });
  if (recipe.task !== 'classification' || !recipe.classes || !array.categories) return array;
  return byClassName(array, recipe);
}

/** Words in the order of the recipe's classes; unknown ones are counted before anything runs. */
async function byClassName(array: ArraySource, { file, classes, labels }: Recipe): Promise<ArraySource> {
  const place = new Map(classes!.map((name, index) => [name, index]));
  const numbers = array.categories!.map((name) => place.get(name) ?? -1);
  const unknown = array.categories!.filter((_, index) => numbers[index] === -1);
  if (unknown.length) {
    const values = asFloat32(await array.rows(0, array.shape[0]!));
    const rows = values.reduce((count, value) => count + Number(numbers[value] === -1), 0);
    throw new ParticlizeError({
      file, place: 'labels', cause: `${rows} rows of ${labels!.from} have a label that is not among the classes: ${unknown.slice(0, 5).map((name) => `'${name}'`).join(', ')}${unknown.length > 5 ? ', ...' : ''}`,
      action: `Classes are ${classes!.slice(0, 10).join(', ')}`,
    });
  }
  return {
    ...array, categories: classes,
    async rows(from, to) {
      const { shape, data } = await array.rows(from, to);
      return { dtype: 'int32', shape, data: Int32Array.from(data as Int32Array, (value) => numbers[value]!) };
    },
  };
}

/** Targets as the recipe scales them; classes stay as they are. */
export function scaledLabels(labels: NdArray, { labels: steps, task }: Recipe): NdArray {
  if (!steps || task === 'classification' || task === 'nextToken') return labels;
  const { scale, mean, std } = steps;
  if (scale === 1 && mean === 0 && std === 1) return labels;
  return { dtype: 'float32', shape: labels.shape, data: Float32Array.from(asFloat32(labels), (value) => (value * scale - mean) / std) };
}
