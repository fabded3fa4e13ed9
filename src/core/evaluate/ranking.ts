import { ParticlizeError } from '../graph/errors';
import type { Objective } from './metrics';

export interface RankingRules {
  readonly k: number;
  readonly loss: 'bce' | 'bpr';
}

/**
 * Ranking: of a sample's candidates the first is the right one. HR@k is the share of samples whose right one is among the first k;
 * NDCG@k weighs its place by 1 / log2(place + 1) (Järvelin and Kekäläinen 2002; with one right answer the ideal is 1). Equal scores count
 * as better than the right one's, so that a model that tells nothing apart finds nothing. Losses: binary cross-entropy over all
 * candidates, or Bayesian personalised ranking, the mean of -log sigmoid(right - wrong) (Rendle et al. 2009).
 */
export function ranking(output: string, { k, loss }: RankingRules, candidates: number): Objective {
  const check = (width: number): void => {
    if (width === candidates) return;
    throw new ParticlizeError({ place: 'task', cause: `a ranking needs one score for each candidate, but the model gives ${width} numbers for ${candidates} candidates` });
  };
  return {
    output, sums: 3, decisive: { name: `HR@${k}`, higherIsBetter: true },
    add(sums, outputs, width, from, to) {
      check(width);
      for (let row = from; row < to; row++) {
        const scores = outputs.subarray(row * width, (row + 1) * width);
        const right = scores[0]!;
        let place = 1;
        let cost = loss === 'bce' ? softplus(-right) : 0;
        for (let at = 1; at < width; at++) {
          if (!(scores[at]! < right)) place++;
          cost += softplus(loss === 'bce' ? scores[at]! : scores[at]! - right);
        }
        sums[0]! += cost / (loss === 'bce' ? width : width - 1);
        if (place <= k) {
          sums[1]!++;
          sums[2]! += 1 / Math.log2(place + 1);
        }
      }
    },
    slope(into, outputs, width) {
      check(width);
      for (let start = 0; start < into.length; start += width) {
        if (loss === 'bce') {
          for (let at = 0; at < width; at++) into[start + at] = (sigmoid(outputs[start + at]!) - Number(at === 0)) / width;
          continue;
        }
        into[start] = 0;
        for (let at = 1; at < width; at++) {
          const push = sigmoid(outputs[start + at]! - outputs[start]!) / (width - 1);
          into[start + at] = push;
          into[start]! -= push;
        }
      }
    },
    scatter(into, outputs, width, random) {
      check(width);
      const curvature = (value: number, share: number): number => {
        const chance = sigmoid(value);
        return Math.sqrt((chance * (1 - chance)) / share) * (random() < 0.5 ? -1 : 1);
      };
      for (let start = 0; start < into.length; start += width) {
        if (loss === 'bce') {
          for (let at = 0; at < width; at++) into[start + at] = curvature(outputs[start + at]!, width);
          continue;
        }
        into[start] = 0;
        for (let at = 1; at < width; at++) {
          const step = curvature(outputs[start + at]! - outputs[start]!, width - 1);
          into[start + at] = step;
          into[start]! -= step;
        }
      }
    },
    finish: (sums, samples) => ({
      loss: sums[0]! / samples, metrics: { [`HR@${k}`]: sums[1]! / samples, [`NDCG@${k}`]: sums[2]! / samples },
    }),
  };
}

function softplus(value: number): number {
  return Math.max(0, value) + Math.log1p(Math.exp(-Math.abs(value)));
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
