import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { FuzzFailure, FuzzReport, FuzzWork } from './fuzzWorker';

export interface FuzzResult {
  readonly format: string;
  readonly files: number;
  readonly seeds: number;
  readonly graphs: number;
  readonly refused: number;
  /** Other errors, hangs and memory; each kind once, with how often it came. */
  readonly failures: readonly (FuzzFailure & { readonly times: number })[];
  readonly slowestMs: number;
  readonly mostMemoryMegabytes: number;
}

export interface FuzzOptions {
  readonly format: string;
  readonly count: number;
  readonly from?: number;
  /** Also mutate the shared models, where they are. */
  readonly shared?: boolean;
}

/**
 * Opens `count` damaged files of a format on a thread of its own, watched from here: one that takes more than 5 s or
 * 1 GB is stopped, noted as a failure, and the next one goes on.
 */
export async function fuzz({ format, count, from = 0, shared = false }: FuzzOptions): Promise<FuzzResult> {
  const failures = new Map<string, FuzzFailure & { times: number }>();
  const total = { graphs: 0, refused: 0, slowestMs: 0, seeds: 0, mostMemory: 0 };
  const note = (failure: FuzzFailure): void => {
    const key = failure.what.replace(/\d+/g, '#');
    const known = failures.get(key);
    failures.set(key, known ? { ...known, times: known.times + 1 } : { ...failure, times: 1 });
  };
  const base = process.memoryUsage.rss();
  for (let start = from; start < from + count;) {
    const now = new Float64Array(new SharedArrayBuffer(16));
    const stopped = await watched({ format, from: start, to: from + count, shared, now }, (report) => {
      total.graphs += report.graphs;
      total.refused += report.refused;
      total.seeds = report.seeds;
      total.slowestMs = Math.max(total.slowestMs, report.slowestMs);
      report.failures.forEach(note);
    }, (memory) => (total.mostMemory = Math.max(total.mostMemory, memory - base)), base);
    if (stopped === undefined) break;
    note({ index: now[0]!, seed: '', what: stopped });
    start = now[0]! + 1;
  }
  const { graphs, refused, slowestMs, seeds } = total;
  return { format, files: count, seeds, graphs, refused, slowestMs, failures: [...failures.values()], mostMemoryMegabytes: total.mostMemory / 1e6 };
}

const longestMs = 5000;
const mostBytes = 1e9;

/** Why it had to be stopped; undefined when it got to its end. */
function watched(work: FuzzWork, report: (report: FuzzReport) => void, memory: (bytes: number) => void, base: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const script = `require('tsx/cjs'); require(${JSON.stringify(path.join(__dirname, 'fuzzWorker.ts'))});`;
    const worker = new Worker(script, { eval: true, workerData: work, resourceLimits: { maxOldGenerationSizeMb: 1000 } });
    const end = (reason: string | undefined): void => {
      clearInterval(watch);
      void worker.terminate().then(() => resolve(reason));
    };
    const watch = setInterval(() => {
      const bytes = process.memoryUsage.rss();
      memory(bytes);
      if (bytes - base > mostBytes) end(`took ${((bytes - base) / 1e6).toFixed(0)} MB`);
      else if (work.now[1]! > 0 && Date.now() - work.now[1]! > longestMs) end(`took more than ${longestMs} ms`);
    }, 25);
    worker.on('message', (message: FuzzReport) => {
      report(message);
      if (message.finished) end(undefined);
    });
    worker.on('error', (error) => end(`the thread ended: ${error.stack ?? error.message}`));
  });
}
