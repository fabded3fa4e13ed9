/** One line of a bench: ours beside a peer or a limit, measured in turn in the same run. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** What it is held against: 'ONNX Runtime, whole model once a particle'. */
  readonly against: string;
  readonly theirs: string;
  /** How to read it: '12.3 times faster', '1.05 times the limit'. */
  readonly ratio: string;
}

export interface Bench {
  readonly title: string;
  run(): Promise<readonly Row[]>;
}

export interface Pair {
  /** Medians in milliseconds. */
  readonly oursMs: number;
  readonly theirsMs: number;
  /** theirs / ours, median over the pairs: above 1 we are faster. */
  readonly ratio: number;
}

/** Runs the two in turn (A B A B ...) after one warm-up each, so that a machine that changes speed changes both. */
export async function inTurn(ours: () => Promise<unknown>, theirs: () => Promise<unknown>, rounds = 5): Promise<Pair> {
  await ours();
  await theirs();
  const pairs: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < rounds; round++) pairs.push({ ours: await timed(ours), theirs: await timed(theirs) });
  return {
    oursMs: median(pairs.map((pair) => pair.ours)),
    theirsMs: median(pairs.map((pair) => pair.theirs)),
    ratio: median(pairs.map((pair) => pair.theirs / pair.ours)),
  };
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function milliseconds(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

export function faster(ratio: number): string {
  return ratio >= 1 ? `${ratio.toFixed(ratio < 10 ? 2 : 0)} times faster` : `${(1 / ratio).toFixed(2)} times slower`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
