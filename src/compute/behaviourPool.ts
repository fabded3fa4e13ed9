import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { SweepWorkers } from '../core/behaviour/ablation/work';
import { effectCount } from '../core/behaviour/ablation/effects';
import type { SweepPart } from '../core/behaviour/ablation/sweep';
import { ParticlizeError, throwIfCancelled, type Finding, type Task } from '../core/graph/errors';
import { ComputeClient, ProcessEndedError, type ClientSettings } from './client';
import type { ComputeOptions, ModelId, SweepRequest } from './protocol';

/** What the processes need to have the same model and samples as the one that asks. */
export type SweepSource = Omit<SweepRequest, 'model' | 'layer' | 'replacement' | 'particles' | 'run'> & { readonly path: string };

/**
 * Compute processes that share an exact sweep: each with its own engine on one thread, which on small networks is faster than
 * one process with as many threads, and a crash of one costs only what it was at. They start with the first sweep that
 * is worth it, share the memory, and end after a moment of rest.
 */
export interface BehaviourPool {
  readonly count: number;
  workers(source: SweepSource, report: (finding: Finding) => void): SweepWorkers;
  dispose(): void;
}

export type PoolSettings = Partial<Pick<ClientSettings, 'script' | 'execArgv' | 'idleMs' | 'log'>>;

/** Undefined when there would be one process only. */
export function behaviourPool(options: ComputeOptions, settings: PoolSettings = {}): BehaviourPool | undefined {
  const wanted = options.workers ?? (options.threads || availableParallelism());
  const count = Math.min(wanted, mostWorkers, Math.floor(options.memoryMegabytes / leastMegabytes));
  return count > 1 ? new Pool(count, options, settings) : undefined;
}

/** A process with less memory than this runs in very small pieces. */
const leastMegabytes = 64;
const mostWorkers = 16;
const idleMs = 5000;

class Pool implements BehaviourPool {
  private clients: readonly ComputeClient[] | undefined;
  private runs = 0;

  constructor(readonly count: number, private readonly options: ComputeOptions, private readonly settings: PoolSettings) {}

  workers(source: SweepSource, report: (finding: Finding) => void): SweepWorkers {
    return { count: this.count, run: (parts, found, task) => this.run(source, report, parts, found, task) };
  }

  dispose(): void {
    for (const client of this.clients ?? []) client.dispose();
    this.clients = undefined;
  }

  /** Gives every part to a process that is free; the first failure ends all of them. */
  private async run(
    source: SweepSource, report: (finding: Finding) => void, parts: readonly SweepPart[],
    found: Parameters<SweepWorkers['run']>[1], task: Task | undefined,
  ): Promise<void> {
    const clients = (this.clients ??= Array.from({ length: this.count }, () => this.start()));
    const waiting = parts.map((part) => ({ part, tried: 0 }));
    const run = `${++this.runs}`;
    const stop = new AbortController();
    const cancel = (): void => stop.abort();
    task?.signal?.addEventListener('abort', cancel, { once: true });
    const worker = async (client: ComputeClient): Promise<void> => {
      const { signal } = stop;
      throwIfCancelled({ signal });
      let model: ModelId | undefined;
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        throwIfCancelled({ signal });
        const { part, tried } = next;
        try {
          model ??= await openOn(client, source, signal);
          const effects = await sweepOn(client, { ...source, run, model }, part, signal);
          if (effects) found(part, part.particles, effects);
          else report({ severity: 'warning', place: part.group.layer, message: notTold });
        } catch (error) {
          if (!(error instanceof ProcessEndedError)) throw error;
          if (tried > 0) throw crashedTwice(part, error);
          report({ severity: 'warning', place: part.group.layer, message: 'A process that measured part of it ended by itself; that part was measured again.' });
          waiting.push({ part, tried: tried + 1 });
        }
      }
    };
    let failure: { readonly error: unknown } | undefined;
    const ends = clients.map((client) => worker(client).catch((error: unknown) => {
      failure ??= { error };
      stop.abort();
    }));
    try {
      await Promise.all(ends);
      // A part that was given back when the other processes had nothing left to do.
      if (!failure && waiting.length) await worker(clients[0]!);
    } finally {
      task?.signal?.removeEventListener('abort', cancel);
    }
    if (failure) throw failure.error;
  }

  private start(): ComputeClient {
    const { script, execArgv } = entry();
    return new ComputeClient({
      script, execArgv, idleMs, log: () => undefined, ...this.settings,
      options: () => ({ ...this.options, threads: 1, workers: 1, cacheFolder: undefined, memoryMegabytes: Math.floor(this.options.memoryMegabytes / this.count) }),
      // Said as a finding of the sweep.
      crashed: () => undefined,
    });
  }
}

const notTold = 'The size of the axis on which its particles act is not known, so they cannot be ablated.';

async function openOn(client: ComputeClient, { path: file, sha256 }: SweepSource, signal: AbortSignal): Promise<ModelId> {
  const opened = await client.call('open', { path: file }, { signal });
  if (opened.sha256 === sha256) return opened.model;
  throw new ParticlizeError({ file: path.basename(file), cause: 'the file changed while it was being measured', action: 'Open it again' });
}

/** undefined: the particles of this layer cannot be told apart. */
async function sweepOn(
  client: ComputeClient, { path: _, ...source }: SweepSource & { run: string; model: ModelId }, { group, replacement, particles }: SweepPart, signal: AbortSignal,
): Promise<Float32Array | undefined> {
  const { effects } = await client.call('sweep', { ...source, layer: group.layer, replacement, particles }, { signal });
  return effects.length === particles.length * effectCount ? effects : undefined;
}

function crashedTwice({ group }: SweepPart, cause: Error): ParticlizeError {
  return new ParticlizeError({
    place: group.layer, cause: 'the process that measured its particles ended by itself twice',
    action: 'Give it less memory, or measure fewer samples',
  }, { cause });
}

/** The compute process's own bundle; while developing, its source. */
function entry(): { script: string; execArgv: readonly string[] } {
  const built = path.join(__dirname, 'compute.js');
  return existsSync(built) ? { script: built, execArgv: [] } : { script: path.join(__dirname, 'main.ts'), execArgv: ['--require', 'tsx/cjs'] };
}
