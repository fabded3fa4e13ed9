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

/** What one run takes: time on the clock, and of the processor on all threads, which other programs do not lengthen. */
export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

export async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const before = process.cpuUsage();
  const wallMs = await timed(work);
  const { user, system } = process.cpuUsage(before);
  return { wallMs, cpuMs: (user + system) / 1000 };
}

/** The lower quartile of each: what a run takes when it is left alone, without trusting the luckiest one. */
export function quietCost(costs: readonly Cost[]): Cost {
  const quartile = (values: readonly number[]): number => [...values].sort((one, two) => one - two)[values.length >> 2] ?? NaN;
  return { wallMs: quartile(costs.map(({ wallMs }) => wallMs)), cpuMs: quartile(costs.map(({ cpuMs }) => cpuMs)) };
}

export function shownCost({ wallMs, cpuMs }: Cost): string {
  return `${milliseconds(wallMs)} (CPU ${milliseconds(cpuMs)})`;
}

/** How much faster ours is, on the clock and in processor time. */
export function costRatio(ours: Cost, theirs: Cost): string {
  return `${faster(theirs.wallMs / ours.wallMs)} (CPU ${faster(theirs.cpuMs / ours.cpuMs)})`;
}

/** Lets threads of a run before come to rest, which would take the processor from the next one. */
export function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 25));
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
