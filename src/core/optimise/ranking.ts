import type { ParticleGroup } from '../particles/particle';

/** Share of a layer that always stays. */
const keptShare = 0.1;

/** What a particle is worth; small is little. */
export interface Measure {
  /** Behind 'whose removal'. */
  readonly words: string;
  of(row: number): number;
}

export interface Ranking {
  readonly measure: Measure;
  /** Whether worth was divided by cost. */
  readonly forCost: boolean;
  readonly rows: readonly number[];
}

export function rank(rows: readonly number[], worth: (row: number) => number): number[] {
  return rows.filter((row) => !Number.isNaN(worth(row))).sort((one, two) => worth(one) - worth(two) || one - two);
}

export function rowsOf(group: ParticleGroup): number[] {
  return Array.from({ length: group.count }, (_, particle) => group.firstRow + particle);
}

export function leastKept({ count }: ParticleGroup, mayGo = 1): number {
  return Math.max(1, Math.ceil(keptShare * count), count - Math.floor(mayGo * count));
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** 'The 63 particles', 'The kernel'. */
export function theOnes(count: number, noun: string): string {
  return count === 1 ? `The ${noun}` : `The ${count} ${noun}s`;
}

export function figure(value: number): string {
  return Number(value.toPrecision(4)).toString();
}
