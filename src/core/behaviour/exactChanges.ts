import { batchModel, openRunner, type BatchModel, type Runner } from '../evaluate/batching';
import { objectiveFor } from '../evaluate/metrics';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { Cut } from './ablation/cut';
import { divergenceFor } from './ablation/divergence';
import { sweepPart, type SweepModel } from './ablation/sweep';
import type { BehaviourContext } from './behaviour';
import { sampleAxisOf } from './sampleAxis';

export interface ExactChange {
  readonly loss: number;
  readonly metric: number;
}

/** Measures some particles now and others later; what runs in front of all layers is run and compiled once for them together. */
export interface ExactChanges {
  /** Exact ablation by row; one that cannot be measured is missing. `samples`: only the first ones. */
  of(rows: Iterable<number>, samples?: number): Promise<ReadonlyMap<number, ExactChange>>;
  dispose(): Promise<void>;
}

/** Batches of inputs by which what was run on them is found again. */
const rememberedBatches = 16;

/** Exact ablation of some particles only, by row; one that cannot be measured is missing. */
export async function exactChanges(context: BehaviourContext, rows: Iterable<number>): Promise<ReadonlyMap<number, ExactChange>> {
  const changes = await openExactChanges(context);
  try {
    return await changes.of(rows);
  } finally {
    await changes.dispose();
  }
}

export async function openExactChanges(context: BehaviourContext): Promise<ExactChanges> {
  const { table, data, task, graph } = context;
  const model = await batchModel(graph);
  const prefix = new SharedPrefix(context, model);
  const cuts = new Map<ParticleGroup, Promise<Cut>>();
  const inputs = new Map<string, Promise<Map<string, NdArray>>>();
  const sweep: SweepModel = {
    model, objective: objectiveFor(model.graph, data), divergence: divergenceFor(model.graph, data),
    kept: {
      prefix: (fetches) => prefix.runner(fetches),
      cut(group, open) {
        if (!cuts.has(group)) cuts.set(group, open());
        return cuts.get(group)!;
      },
    },
  };
  return {
    async of(rows, samples = data.count) {
      const byGroup = new Map<ParticleGroup, number[]>();
      for (const row of rows) {
        const group = table.groupOf(row);
        byGroup.set(group, [...byGroup.get(group) ?? [], row - group.firstRow]);
      }
      const remembered = {
        ...data, count: samples,
        inputs(from: number, to: number): Promise<Map<string, NdArray>> {
          const key = `${from}:${to}`;
          if (!inputs.has(key)) inputs.set(key, data.inputs(from, to));
          for (const [oldest] of inputs) {
            if (inputs.size <= rememberedBatches) break;
            if (oldest !== key) inputs.delete(oldest);
          }
          return inputs.get(key)!;
        },
        labels: (from: number, to: number) => data.labels(from, to),
      };
      const found = new Map<number, ExactChange>();
      for (const [group, particles] of byGroup) {
        throwIfCancelled(task);
        try {
          await sweepPart({ ...context, data: remembered }, sweep, { group, replacement: 'zero', particles }, {
            found: (particle, [loss, metric]) => found.set(group.firstRow + particle, { loss, metric }),
          });
        } catch (error) {
          if (!(error instanceof ParticlizeError && error.parts.place === group.layer)) throw error;
        }
      }
      return found;
    },
    async dispose() {
      await Promise.all([...cuts.values()].map((opening) => opening.then((cut) => cut.dispose(), () => undefined)));
      await prefix.dispose();
    },
  };
}

/** What lies in front of any layer, run once for all that ask for some of it; what was found is kept as long as it fits. */
class SharedPrefix {
  private readonly wanted = new Set<string>();
  private readonly programs = new Map<string, Promise<Runner>>();
  private readonly found = new Map<ReadonlyMap<string, NdArray>, Map<string, NdArray>>();

  constructor(private readonly context: BehaviourContext, private readonly model: BatchModel) {}

  runner(fetches: readonly string[]): Runner {
    for (const name of fetches) this.wanted.add(name);
    return { run: (inputs) => this.run(inputs), dispose: () => Promise.resolve() };
  }

  async dispose(): Promise<void> {
    this.found.clear();
    await Promise.all([...this.programs.values()].map((opening) => opening.then((program) => program.dispose(), () => undefined)));
  }

  private async run(inputs: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>> {
    const known = this.found.get(inputs) ?? new Map<string, NdArray>();
    const missing = [...this.wanted].filter((name) => !known.has(name));
    if (missing.length) {
      const key = missing.join('\n');
      const { engine } = this.context;
      if (!this.programs.has(key)) this.programs.set(key, openRunner(engine, this.model, this.model.graph.inputs.map(({ name }) => name), missing, undefined, (value) => sampleAxisOf(this.model.graph, value)));
      for (const [name, array] of await (await this.programs.get(key)!).run(inputs)) known.set(name, array);
      this.found.set(inputs, known);
      for (const [oldest] of this.found) {
        if (oldest === inputs || this.bytes() <= this.context.memoryBytes / 2) break;
        this.found.delete(oldest);
      }
    }
    return known;
  }

  private bytes(): number {
    return [...this.found.values()].reduce((sum, values) => sum + [...values.values()].reduce((all, { data }) => all + data.byteLength, 0), 0);
  }
}
