import type { Dataset } from '../../data/dataset';
import { asFloat32, asNumbers, isInteger } from '../../graph/numeric';

/** The tokens of a sample in words, or the numbers that go into the first input of whole numbers; undefined when it is no sequence. */
export async function sampleTokens(data: Dataset, index: number): Promise<readonly string[] | undefined> {
  if (data.tokens) return data.tokens(index);
  const inputs = await data.inputs(index, index + 1);
  for (const [, array] of inputs) {
    if (isInteger(array.dtype) && array.shape.length === 2 && array.shape[1]! > 1) return asNumbers(array).map(String);
  }
  return undefined;
}

/** A sample in words: its user and item, or its class; undefined where labels are something else. */
export async function sampleLabel(data: Dataset, index: number): Promise<string | undefined> {
  if (data.caption) return data.caption(index);
  if (data.task !== 'classification') return undefined;
  const labels = await data.labels(index, index + 1);
  if (!labels) return undefined;
  const values = asFloat32(labels);
  const label = values.length === 1 ? values[0]! : values.indexOf(values.reduce((most, value) => Math.max(most, value), -Infinity));
  return data.classes?.[label] ?? String(label);
}
