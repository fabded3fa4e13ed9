import type { Dataset } from '../core/data/dataset';
import { asFloat32 } from '../core/graph/numeric';
import type { NdArray } from '../core/graph/tensor';
import type { Prediction } from './protocol';

/** What a model says of one sample, from its output [1, ..., scores]: of a sequence the last place. */
export function predictionOf({ task, classes }: Pick<Dataset, 'task' | 'classes'>, output: NdArray): Prediction {
  const all = asFloat32(output);
  const width = task === 'nextToken' || (classes !== undefined && all.length > classes.length) ? output.shape[output.shape.length - 1]! : all.length;
  const scores = all.slice(all.length - width);
  const named = classes?.length === width || (classes?.length === 2 && width === 1) ? classes : undefined;
  return {
    classes: named ?? Array.from(scores, (_, index) => String(index)),
    scores: task === 'classification' || task === 'nextToken' ? probabilities(scores) : scores,
  };
}

/** The label of a sample in words, when the recipe has labels. */
export async function labelOf(data: Pick<Dataset, 'labels' | 'classes'>, sample: number): Promise<string | undefined> {
  const found = await data.labels(sample, sample + 1);
  if (!found) return undefined;
  const values = asFloat32(found);
  const number = values[values.length - 1]!;
  return data.classes?.[number] ?? String(number);
}

/** Softmax of logits; one logit is the chance of the second class. */
function probabilities(logits: Float32Array): Float32Array {
  if (logits.length === 1) return Float32Array.of(1 / (1 + Math.exp(-logits[0]!)));
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = logits.map((value) => Math.exp(value - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}
