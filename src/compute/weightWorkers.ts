import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { pieceElementCount, elementBytes } from '../core/attributes/sums/weightPieces';
import { summerInThread, type SumJob, type WeightSummer } from '../core/attributes/sums/weightSummer';
import { CancelledError, ParticlizeError, throwIfCancelled, type Task } from '../core/graph/errors';
import { diskPlace } from './files';
import type { WorkerBatch, WorkerReply } from './weightWorker';

/**
 * Sums weights on several threads, each of which reads its own ranges of the file. Threads start at the first run that
 * is worth it and end when nothing came for a moment. What is not a range of a file on disk (unpacked, in several
 * shards) is summed on the calling thread. Rejects with a ParticlizeError when the file changes or cannot be read.
 */
export function weightWorkers(threads = availableParallelism()): WeightSummer {
  const pool = new Pool(Math.max(1, threads));
  return {
    async run(jobs, orders, done, task) {
      const onDisk = jobs.map(({ source }) => diskPlace(source));
      const bytes = jobs.reduce((sum, job, index) => sum + (onDisk[index] ? bytesOf(job) : 0), 0);
      if (bytes < leastBytes || !(orders.buffer instanceof SharedArrayBuffer)) return summerInThread.run(jobs, orders, done, task);
      const batches: BatchJob[][] = [];
      let filled = Infinity;
      for (const [job, { piece, order }] of jobs.entries()) {
        const place = onDisk[job];
        if (!place) continue;
        if (filled >= batchBytes) {
          batches.push([]);
          filled = 0;
        }
        batches.at(-1)!.push({ job, piece, place, order });
        filled += bytesOf(jobs[job]!);
      }
      await pool.run(batches.map((batch) => ({ jobs: batch, orders })), (reply) => {
        for (const { job, sums } of reply.sums) done(job, sums);
      }, task);
      const rest = jobs.flatMap((job, index) => (onDisk[index] ? [] : [{ job, index }]));
      await summerInThread.run(rest.map(({ job }) => job), orders, (job, sums) => done(rest[job]!.index, sums), task);
    },
  };
}

type BatchJob = WorkerBatch['jobs'][number];
type SumsReply = Extract<WorkerReply, { kind: 'sums' }>;

/** Below this, starting threads takes longer than the work. */
const leastBytes = 64 << 20;
const batchBytes = 12 << 20;
const idleMs = 5000;

class Pool {
  private readonly idle: Worker[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly threads: number) {}

  /** Gives every batch to a thread that is free. */
  async run(batches: readonly WorkerBatch[], done: (reply: SumsReply) => void, task: Task | undefined): Promise<void> {
    clearTimeout(this.timer);
    const waiting = batches.values();
    let failed = false;
    const thread = async (): Promise<void> => {
      const worker = this.idle.pop() ?? startWorker();
      worker.ref();
      try {
        for (const batch of waiting) {
          throwIfCancelled(task);
          if (failed) break;
          done(await answer(worker, batch));
        }
      } catch (error) {
        failed = true;
        if (!(error instanceof ParticlizeError || error instanceof CancelledError)) {
          void worker.terminate();
          throw error;
        }
        this.rest(worker);
        throw error;
      }
      this.rest(worker);
    };
    const ends = await Promise.allSettled(Array.from({ length: Math.min(this.threads, batches.length) }, thread));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  private rest(worker: Worker): void {
    worker.unref();
    this.idle.push(worker);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      for (const one of this.idle.splice(0)) void one.terminate();
    }, idleMs).unref();
  }
}

/** Beside the bundle; while developing, the source itself. */
function startWorker(): Worker {
  const built = path.join(__dirname, 'weightWorker.js');
  const worker = existsSync(built)
    ? new Worker(built)
    : new Worker(`require('tsx/cjs'); require(${JSON.stringify(path.join(__dirname, 'weightWorker.ts'))});`, { eval: true });
  worker.setMaxListeners(0);
  return worker;
}

function answer(worker: Worker, batch: WorkerBatch): Promise<SumsReply> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void): void => {
      worker.off('message', message).off('error', error).off('exit', exit);
      run();
    };
    const message = (reply: WorkerReply): void => {
      if (reply.kind === 'ready') return;
      settle(() => {
        if (reply.kind === 'sums') resolve(reply);
        else reject(reply.parts ? new ParticlizeError(reply.parts) : new Error(reply.message));
      });
    };
    const error = (reason: Error): void => settle(() => reject(reason));
    const exit = (code: number): void => settle(() => reject(new Error(`a thread that summed weights ended with code ${code}`)));
    worker.on('message', message).on('error', error).on('exit', exit);
    worker.postMessage(batch);
  });
}

function bytesOf({ piece }: SumJob): number {
  return pieceElementCount(piece) * elementBytes(piece.dtype);
}
