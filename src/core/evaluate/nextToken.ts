import type { Objective } from './metrics';

/**
 * Next token: cross-entropy of each position, and perplexity, its exponential. The vocabulary is the last axis of the output; a model
 * that answers at every position has several rows of it a sample. Positions whose label is -1 (filling) do not count.
 */
export function nextToken(classes: Objective, vocabulary: number | undefined): Objective {
  const { sums: inner } = classes;
  // Of a model that does not tell its vocabulary the labels say how many positions there are.
  const sizeOf = (width: number, rows: number, labels: Int32Array): number => vocabulary ?? width / (labels.length / rows);
  return {
    ...classes, sums: inner + 1, decisive: { name: 'perplexity', higherIsBetter: false },
    add(sums, outputs, width, from, to, targets) {
      const labels = targets.classes!;
      const size = sizeOf(width, to - from, labels);
      const first = (from * width) / size;
      for (let at = 0; at < labels.length;) {
        let end = at;
        while (end < labels.length && labels[end]! >= 0) end++;
        if (end > at) classes.add(sums, outputs, size, first + at, first + end, { classes: labels.subarray(at, end) });
        sums[inner]! += end - at;
        for (at = end; at < labels.length && labels[at]! < 0;) at++;
      }
    },
    slope(into, outputs, width, targets) {
      const labels = targets.classes!;
      const size = sizeOf(width, into.length / width, labels);
      classes.slope(into, outputs, size, { classes: labels.map((label) => Math.max(0, label)) });
      const positions = width / size;
      labels.forEach((label, position) => {
        for (let at = position * size; at < (position + 1) * size; at++) into[at] = label < 0 ? 0 : into[at]! / positions;
      });
    },
    scatter(into, outputs, width, random) {
      const size = vocabulary ?? width;
      classes.scatter(into, outputs, size, random);
      // A sample's loss is the mean over its positions, so its curvature is a share of each.
      const share = Math.sqrt(size / width);
      for (let at = 0; at < into.length; at++) into[at]! *= share;
    },
    finish(sums) {
      const { loss, metrics } = classes.finish(sums, sums[inner]!);
      return { loss, metrics: { perplexity: Math.exp(loss), ...metrics } };
    },
  };
}
