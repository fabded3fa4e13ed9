import { batchModel } from '../../evaluate/batching';
import { objectiveFor } from '../../evaluate/metrics';
import { throwIfCancelled } from '../../graph/errors';
import type { ColumnInfo } from '../../particles/particleTable';
import type { BehaviourContext, BehaviourFamily } from '../behaviour';
import { chosenGroups } from '../forward';
import { NotToldApart } from './cut';
import { divergenceFor } from './divergence';
import { effectCount } from './effects';
import { sweepPart, type Replacement, type SweepModel, type SweepPart } from './sweep';
import { partsOfSweep } from './work';

/**
 * Exact single-particle ablation: what the model loses when all that a particle passes on is zero. What lies in front of the
 * particle runs once for all particles of a layer; the next linear layer is not run again either, but has the particle's
 * term taken from its sum, where it has such a form. Only what follows runs once a particle, many particles at a time.
 */
export const ablation = family('zero', {
  prefix: 'ablation', title: (what) => `${what} without it`, change: 'the particle\'s output is set to zero',
});

/** The same with what a particle says on average in its place, so that only what it says *about a sample* is taken away. */
export const meanAblation = family('mean', {
  prefix: 'meanAblation', title: (what) => `${what} with its mean`,
  change: 'the particle\'s output is replaced by its mean over the samples, position by position',
});

/** The same with what the particle says of another sample in its place, so that every value is one that the model knows. */
export const resampleAblation = family('resample', {
  prefix: 'resampleAblation', title: (what) => `${what} with another sample's`,
  change: 'the particle\'s output is replaced by what it is for another sample, drawn from the seed',
});

function family(
  replacement: Replacement, { prefix, title, change }: { prefix: string; title: (what: string) => string; change: string },
): BehaviourFamily {
  const column = (info: Omit<ColumnInfo, 'unit'> & { unit?: string }): ColumnInfo & { exact: boolean } => ({ unit: '', exact: true, ...info });
  const columns = [
    column({
      name: `${prefix}LossChange`, title: title('Loss'), scale: 'diverging',
      meaning: `Change of the loss when ${change}; above 0 it is needed, below 0 the model is better without it.`,
    }),
    column({
      name: `${prefix}MetricChange`, title: title('Metric'), scale: 'diverging',
      meaning: `Change of the metric that decides (accuracy, or an error such as rmse, where above 0 is worse) when ${change}.`,
    }),
    column({
      name: `${prefix}OutputChange`, title: replacement === 'zero' ? 'Largest change of an output' : title('Largest change of an output'), scale: 'sequential',
      meaning: `Largest change of any output for any sample when ${change}, relative to the largest output; 0 means that it does nothing.`,
    }),
    column({
      name: `${prefix}Divergence`, title: title('Divergence of the outputs'), scale: 'sequential',
      meaning: `How far the answers move when ${change}: mean Kullback-Leibler divergence in nats of the probabilities of classes or tokens, else mean squared change.`,
    }),
  ];
  return {
    needsLabels: true, columns,
    // Each of them takes as long as setting to zero.
    ...(replacement !== 'zero' && { onRequest: true }),
    compute: (context) => compute(context, replacement, columns.map(({ name }) => name)),
  };
}

async function compute(context: BehaviourContext, replacement: Replacement, names: readonly string[]): Promise<readonly Float32Array[]> {
  const { data, task, workers } = context;
  const model = await batchModel(context.graph);
  const sweep: SweepModel = { model, objective: objectiveFor(model.graph, data), divergence: divergenceFor(model.graph, data) };
  const found = new Found(context, replacement, names);
  const missing: SweepPart[] = [];
  for (const group of chosenGroups(context)) {
    const reason = notReplaceable(group.kind, replacement);
    if (reason) context.report({ severity: 'info', place: group.layer, message: reason });
    else missing.push({ group, replacement, particles: await found.restore(group) });
  }
  const { parts, seconds } = partsOfSweep(sweep, missing.filter(({ particles }) => particles.length), { samples: data.count, workers: workers?.count ?? 1 });
  const total = data.count * missing.reduce((sum, { group }) => sum + group.count, 0);
  let done = total - data.count * missing.reduce((sum, { particles }) => sum + particles.length, 0);
  const step = (part: SweepPart, more: number): void => task?.progress?.((done += more), total, `Ablation of ${part.group.layer}`);
  try {
    if (workers && workers.count > 1 && seconds > worthWorkersSeconds) {
      await workers.run(parts, (part, particles, effects) => {
        particles.forEach((particle, at) => found.set(part, particle, effects.subarray(at * effectCount, (at + 1) * effectCount)));
        step(part, particles.length * data.count);
        found.send(part);
      }, task);
    } else {
      for (const part of parts) {
        throwIfCancelled(task);
        await local(context, sweep, part, found, (more) => step(part, more));
      }
    }
  } finally {
    await found.settled();
  }
  return found.columns;
}

/** Below this, starting processes takes longer than it saves. */
const worthWorkersSeconds = 4;

async function local(context: BehaviourContext, sweep: SweepModel, part: SweepPart, found: Found, step: (more: number) => void): Promise<void> {
  let sent = 0;
  try {
    await sweepPart(context, sweep, part, {
      step,
      found: (particle, effects) => {
        found.set(part, particle, effects);
        // Faces draw a few times a second.
        if (Date.now() - sent < sendEveryMs) return;
        sent = Date.now();
        found.send(part);
      },
    });
  } catch (error) {
    // What cannot be told apart is left out, and the rest goes on.
    if (!(error instanceof NotToldApart)) throw error;
    context.report({ severity: 'warning', place: part.group.layer, message: `${error.parts.cause[0]!.toUpperCase()}${error.parts.cause.slice(1)}.` });
  }
  found.send(part);
}

const sendEveryMs = 200;

/** The columns as they fill. */
class Found {
  readonly columns: readonly Float32Array[];
  private storing: Promise<void> = Promise.resolve();

  constructor(private readonly context: BehaviourContext, private readonly replacement: Replacement, private readonly names: readonly string[]) {
    this.columns = names.map(() => context.table.emptyValues());
  }

  /** Takes what an earlier sweep has kept; returns the particles that are still to be done. */
  async restore({ layer, firstRow, count }: SweepPart['group']): Promise<readonly number[]> {
    const kept = await this.context.store?.read(layer, this.replacement);
    const all = Array.from({ length: count }, (_, particle) => particle);
    if (kept?.length !== count * effectCount) return all;
    return all.filter((particle) => {
      const effects = kept.subarray(particle * effectCount, (particle + 1) * effectCount);
      if (effects.includes(NaN)) return true;
      this.columns.forEach((values, column) => (values[firstRow + particle] = effects[column]!));
      return false;
    });
  }

  set({ group }: SweepPart, particle: number, effects: ArrayLike<number>): void {
    this.columns.forEach((values, column) => (values[group.firstRow + particle] = effects[column]!));
  }

  send({ group }: SweepPart): void {
    const { arrived, store } = this.context;
    this.names.forEach((name, column) => arrived?.(name, this.columns[column]!));
    if (!store) return;
    const effects = new Float32Array(group.count * effectCount);
    for (let particle = 0; particle < group.count; particle++) {
      this.columns.forEach((values, column) => (effects[particle * effectCount + column] = values[group.firstRow + particle]!));
    }
    // What cannot be kept is computed again, nothing worse.
    this.storing = this.storing.then(() => store.write(group.layer, this.replacement, effects)).catch(() => undefined);
  }

  async settled(): Promise<void> {
    await this.storing;
    await this.context.store?.flush().catch(() => undefined);
  }
}

/** Why the particles of a kind have no such column, in the user's words; undefined when they have. */
export function notReplaceable(kind: SweepPart['group']['kind'], replacement: Replacement): string | undefined {
  return kind === 'unit' && replacement !== 'zero'
    ? 'a recurrent unit is measured by taking it out: in its own gates no other value can take its place' : undefined;
}
