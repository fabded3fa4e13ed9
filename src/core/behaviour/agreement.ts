import type { Provenance } from '../particles/particleTable';

/** How well estimates agree with exact values, both without gaps; undefined for fewer than three. */
export function agreement(estimates: readonly number[], exact: readonly number[]): NonNullable<Provenance['error']> | undefined {
  if (exact.length < 3) return undefined;
  return {
    spearman: pearson(ranks(estimates), ranks(exact)), pearson: pearson(estimates, exact), comparedWith: exact.length,
    absolute: estimates.reduce((sum, value, at) => sum + Math.abs(value - exact[at]!), 0) / exact.length,
  };
}

/** Pearson's correlation; 1 where both are constant alike, 0 where only one of them varies. */
export function pearson(one: ArrayLike<number>, two: ArrayLike<number>): number {
  const count = one.length;
  let [meanOne, meanTwo] = [0, 0];
  for (let at = 0; at < count; at++) {
    meanOne += one[at]! / count;
    meanTwo += two[at]! / count;
  }
  let [both, squaresOne, squaresTwo] = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    const [left, right] = [one[at]! - meanOne, two[at]! - meanTwo];
    both += left * right;
    squaresOne += left * left;
    squaresTwo += right * right;
  }
  if (squaresOne > 0 && squaresTwo > 0) return both / Math.sqrt(squaresOne * squaresTwo);
  return squaresOne === squaresTwo && meanOne === meanTwo ? 1 : 0;
}

/** Ranks from 1; equal values share the mean of theirs. */
export function ranks(values: ArrayLike<number>): number[] {
  const order = Array.from({ length: values.length }, (_, at) => at).sort((one, two) => values[one]! - values[two]!);
  const result = new Array<number>(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let at = start; at < end; at++) result[order[at]!] = (start + end + 1) / 2;
    start = end;
  }
  return result;
}
