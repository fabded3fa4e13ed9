import { decidingOutput, closingActivation } from '../../evaluate/metrics';
import type { Dataset } from '../../data/dataset';
import type { ModelGraph } from '../../graph/modelGraph';

/** How far one answer of the model is from another: a sum over the outputs of one row. */
export interface Divergence {
  /** Numbers that make one distribution, or all of a sample. */
  of(before: Float32Array, beforeStart: number, after: Float32Array, afterStart: number, width: number, last: number): number;
}

/**
 * Kullback-Leibler divergence of the answer without a particle from the answer with it, in nats (mean over a sample's positions
 * where it gives several answers): Kullback & Leibler, "On information and sufficiency", 1951. Mean squared change for
 * outputs that are no distribution.
 */
export function divergenceFor(graph: ModelGraph, data: Pick<Dataset, 'task' | 'title' | 'classes' | 'output'>): Divergence {
  const { kind } = closingActivation(graph, decidingOutput(graph, data).name);
  const answers = data.task === 'classification' || data.task === 'nextToken';
  return {
    of(before, beforeStart, after, afterStart, width, last) {
      if (!answers || last < 1) return meanSquare(before, beforeStart, after, afterStart, width);
      if (kind === 'sigmoid' || last === 1) return yesOrNo(before, beforeStart, after, afterStart, width) / (width / last);
      let sum = 0;
      for (let at = 0; at < width; at += last) sum += softmaxed(before, beforeStart + at, after, afterStart + at, last);
      return sum / (width / last);
    },
  };
}

function meanSquare(before: Float32Array, beforeStart: number, after: Float32Array, afterStart: number, width: number): number {
  let sum = 0;
  for (let at = 0; at < width; at++) sum += (after[afterStart + at]! - before[beforeStart + at]!) ** 2;
  return sum / width;
}

function softmaxed(before: Float32Array, beforeStart: number, after: Float32Array, afterStart: number, width: number): number {
  const [p, q] = [logSum(before, beforeStart, width), logSum(after, afterStart, width)];
  let sum = 0;
  for (let at = 0; at < width; at++) {
    const log = before[beforeStart + at]! - p;
    if (log > -700) sum += Math.exp(log) * (log - (after[afterStart + at]! - q));
  }
  return Math.max(0, sum);
}

function logSum(values: Float32Array, start: number, width: number): number {
  let largest = -Infinity;
  for (let at = start; at < start + width; at++) largest = Math.max(largest, values[at]!);
  let sum = 0;
  for (let at = start; at < start + width; at++) sum += Math.exp(values[at]! - largest);
  return largest + Math.log(sum);
}

/** Of as many yes-or-no answers, from their logits. */
function yesOrNo(before: Float32Array, beforeStart: number, after: Float32Array, afterStart: number, width: number): number {
  let sum = 0;
  for (let at = 0; at < width; at++) {
    const [one, two] = [before[beforeStart + at]!, after[afterStart + at]!];
    const yes = 1 / (1 + Math.exp(-one));
    sum += yes * (softplus(-two) - softplus(-one)) + (1 - yes) * (softplus(two) - softplus(one));
  }
  return Math.max(0, sum);
}

/** log(1 + e^x). */
function softplus(x: number): number {
  return Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x)));
}
