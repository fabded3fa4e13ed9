/** For each planted factor, the found one that correlates with it most, and by how much (in magnitude). */
export function bestCorrelations(
  planted: readonly ArrayLike<number>[], found: readonly ArrayLike<number>[],
): readonly { readonly factor: number; readonly correlation: number }[] {
  return planted.map((one) => found
    .map((two, factor) => ({ factor, correlation: Math.abs(pearson(one, two)) }))
    .reduce((best, next) => (next.correlation > best.correlation ? next : best)));
}

function pearson(one: ArrayLike<number>, two: ArrayLike<number>): number {
  const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b] = [mean(one), mean(two)];
  let [products, left, right] = [0, 0, 0];
  for (let at = 0; at < one.length; at++) {
    products += (one[at]! - a) * (two[at]! - b);
    left += (one[at]! - a) ** 2;
    right += (two[at]! - b) ** 2;
  }
  return products / Math.sqrt(left * right);
}
