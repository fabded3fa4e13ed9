import type { Engine, Program } from '../core/graph/engine';
import { ParticlizeError } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { sliceGraph } from '../core/graph/subgraph';
import type { NdArray } from '../core/graph/tensor';
import { bytesNeeded, planSegments, type Segment } from './segments';

/**
 * The engine, but parts of a model that need more memory than the budget are run by segments, of which only one is loaded at a
 * time: slower, as each run loads them all again, and the same numbers. How many samples a run takes is the caller's choice.
 */
export function withinMemory(engine: Engine, budgetBytes: number): Engine {
  return {
    id: engine.id, title: engine.title,
    unsupported: (graph) => engine.unsupported(graph),
    async compile(graph, feeds, fetches) {
      if (needOf(graph) <= budgetBytes) return engine.compile(graph, feeds, fetches);
      const part = sliceGraph(graph, feeds, fetches);
      if (bytesNeeded(part) <= budgetBytes) return engine.compile(graph, feeds, fetches);
      const segments = planSegments(part, fetches, budgetBytes);
      return segments.length <= 1 ? engine.compile(graph, feeds, fetches) : new SegmentedProgram(engine, part, feeds, fetches, segments);
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

class SegmentedProgram implements Program {
  private disposed = false;
  /** For each segment the values that nobody wants behind it. */
  private readonly done: readonly (readonly string[])[];

  constructor(
    private readonly engine: Engine, private readonly part: ModelGraph, readonly feeds: readonly string[], readonly fetches: readonly string[],
    private readonly segments: readonly Segment[],
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
    for (const [index, segment] of this.segments.entries()) {
      const program = await this.engine.compile(this.part, segment.feeds, segment.fetches);
      try {
        const given = new Map(segment.feeds.map((name) => [name, values.get(name)!]));
        for (const [name, array] of await program.run(given)) values.set(name, array);
      } finally {
        await program.dispose();
      }
      for (const name of this.done[index]!) values.delete(name);
    }
    const results = new Map<string, NdArray>();
    for (const name of this.fetches) results.set(name, values.get(name) ?? await this.part.tensors.get(name)!.read());
    return results;
  }

  dispose(): Promise<void> {
    this.disposed = true;
    return Promise.resolve();
  }
}
