import type { Engine, Program } from '../core/graph/engine';
import { ParticlizeError } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { sliceGraph } from '../core/graph/subgraph';
import type { NdArray } from '../core/graph/tensor';
import { bytesNeeded, planSegments, type Segment } from './segments';

/**
 * The engine, but parts of a model that need more memory than the budget are run by segments, one after the other: slower, as
 * each run loads them again, and the same numbers. Segments that leave room for each of the others stay loaded until the
 * program is disposed of. How many samples a run takes is the caller's choice.
 */
export function withinMemory(engine: Engine, budgetBytes: number): Engine {
  return {
    id: engine.id, title: engine.title,
    unsupported: (graph) => engine.unsupported(graph),
    async compile(graph, feeds, fetches) {
      if (needOf(graph) <= budgetBytes) return engine.compile(graph, feeds, fetches);
      const part = sliceGraph(graph, feeds, fetches);
      if (bytesNeeded(part) <= budgetBytes) return engine.compile(graph, feeds, fetches);
      const { segments, kept } = [1, 1 / 2, 1 / 4].map((share) => residence(part, planSegments(part, fetches, budgetBytes * share), budgetBytes))
        .reduce((best, other) => (other.loadedBytes < best.loadedBytes ? other : best));
      return segments.length <= 1 ? engine.compile(graph, feeds, fetches) : new SegmentedProgram(engine, part, feeds, fetches, segments, kept);
    },
  };
}

const needs = new WeakMap<ModelGraph, number>();

/** Of the whole graph: when that fits, every part of it does. */
function needOf(graph: ModelGraph): number {
  let need = needs.get(graph);
  if (need === undefined) needs.set(graph, (need = bytesNeeded(graph)));
  return need;
}

interface Residence {
  readonly segments: readonly Segment[];
  /** Those that stay loaded. */
  readonly kept: ReadonlySet<Segment>;
  /** What every run loads. */
  readonly loadedBytes: number;
}

/**
 * Keeps the largest segments first, as long as whatever else is loaded beside them fits the budget. Smaller segments leave room
 * for more of them, and each run loads less.
 */
function residence(part: ModelGraph, segments: readonly Segment[], budgetBytes: number): Residence {
  const sizes = new Map(segments.map((segment) => [segment, bytesNeeded(sliceGraph(part, segment.feeds, segment.fetches))]));
  const sorted = [...segments].sort((one, other) => sizes.get(other)! - sizes.get(one)!);
  const kept = new Set<Segment>();
  let keptBytes = 0;
  for (const segment of sorted) {
    const beside = sorted.find((other) => other !== segment && !kept.has(other));
    const bytes = keptBytes + sizes.get(segment)!;
    if (bytes + (beside ? sizes.get(beside)! : 0) > budgetBytes) continue;
    kept.add(segment);
    keptBytes = bytes;
  }
  return { segments, kept, loadedBytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) - keptBytes };
}

class SegmentedProgram implements Program {
  private disposed = false;
  private running = 0;
  private readonly loaded = new Map<Segment, Promise<Program>>();
  /** For each segment the values that nobody wants behind it. */
  private readonly done: readonly (readonly string[])[];

  constructor(
    private readonly engine: Engine, private readonly part: ModelGraph, readonly feeds: readonly string[], readonly fetches: readonly string[],
    private readonly segments: readonly Segment[], private readonly staying: ReadonlySet<Segment>,
  ) {
    const last = new Map<string, number>();
    segments.forEach((segment, index) => {
      for (const name of [...segment.feeds, ...segment.fetches]) last.set(name, index);
    });
    this.done = segments.map((_, index) => [...last].filter(([name, at]) => at === index && !fetches.includes(name)).map(([name]) => name));
  }

  async run(feeds: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>> {
    if (this.disposed) throw new Error('the program has been disposed of');
    const values = new Map<string, NdArray>();
    for (const name of this.feeds) {
      const array = feeds.get(name);
      if (!array) throw new ParticlizeError({ place: name, cause: 'this value must be fed, but is missing' });
      values.set(name, array);
    }
    this.running++;
    try {
      for (const [index, segment] of this.segments.entries()) {
        const program = await this.load(segment);
        try {
          const given = new Map(segment.feeds.map((name) => [name, values.get(name)!]));
          for (const [name, array] of await program.run(given)) values.set(name, array);
        } finally {
          if (!this.staying.has(segment)) await program.dispose();
        }
        for (const name of this.done[index]!) values.delete(name);
      }
    } finally {
      this.running--;
      if (this.disposed && this.running === 0) await this.release();
    }
    const results = new Map<string, NdArray>();
    for (const name of this.fetches) results.set(name, values.get(name) ?? await this.part.tensors.get(name)!.read());
    return results;
  }

  /** Frees what stayed loaded, after what is running has ended. */
  async dispose(): Promise<void> {
    this.disposed = true;
    if (this.running === 0) await this.release();
  }

  private load(segment: Segment): Promise<Program> {
    const known = this.loaded.get(segment);
    if (known) return known;
    const made = this.engine.compile(this.part, segment.feeds, segment.fetches);
    if (this.staying.has(segment)) {
      this.loaded.set(segment, made);
      // What fails may be tried again.
      made.catch(() => this.loaded.delete(segment));
    }
    return made;
  }

  private async release(): Promise<void> {
    const programs = [...this.loaded.values()];
    this.loaded.clear();
    await Promise.all(programs.map(async (program) => (await program).dispose()));
  }
}
