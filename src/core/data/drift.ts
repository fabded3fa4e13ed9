/** How one feature differs between two samples of it. */
export interface FeatureDrift {
  readonly feature: number;
  /** Two-sample Kolmogorov-Smirnov statistic: the largest distance of the two distribution functions, 0..1. */
  readonly statistic: number;
  /** Chance of such a distance or a larger one when both come from one distribution. */
  readonly pValue: number;
}

/** Both must hold for a feature to be called shifted: hardly chance, and large enough to matter. */
export const driftLevels = { chance: 0.01, distance: 0.1 } as const;

/**
 * Features whose distribution is another one: by the Kolmogorov-Smirnov test, whose level of 0.01 is divided by the number of features
 * tested (Bonferroni), and a distance of at least 0.1, as with enough rows any difference becomes significant.
 */
export function shifted(tested: readonly FeatureDrift[]): readonly FeatureDrift[] {
  const level = driftLevels.chance / Math.max(1, tested.length);
  return tested.filter(({ statistic, pValue }) => pValue < level && statistic >= driftLevels.distance).sort((a, b) => b.statistic - a.statistic);
}

/** Two-sided test of two samples (Smirnov 1948); values that are not numbers are left out. Sorts copies. */
export function kolmogorovSmirnov(left: ArrayLike<number>, right: ArrayLike<number>): Omit<FeatureDrift, 'feature'> {
  const [a, b] = [sorted(left), sorted(right)];
  if (!a.length || !b.length) return { statistic: 0, pValue: 1 };
  let [i, j, statistic] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i]!, b[j]!);
    // Equal values step together, else ties would count as distance.
    while (i < a.length && a[i] === value) i++;
    while (j < b.length && b[j] === value) j++;
    statistic = Math.max(statistic, Math.abs(i / a.length - j / b.length));
  }
  return { statistic, pValue: chanceOf(statistic, (a.length * b.length) / (a.length + b.length)) };
}

function sorted(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).filter((value) => Number.isFinite(value)).sort();
}

/** Kolmogorov's limiting distribution with Stephens' correction for few rows (Stephens 1970). */
function chanceOf(statistic: number, effective: number): number {
  const root = Math.sqrt(effective);
  const scaled = (root + 0.12 + 0.11 / root) * statistic;
  if (scaled < 0.2) return 1;
  let sum = 0;
  for (let term = 1; term <= 100; term++) {
    const part = 2 * (term % 2 ? 1 : -1) * Math.exp(-2 * term * term * scaled * scaled);
    sum += part;
    if (Math.abs(part) < 1e-12) break;
  }
  return Math.max(0, Math.min(1, sum));
}
