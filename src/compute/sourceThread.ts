import { existsSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { ParticlizeError } from '../core/graph/errors';
import type { FoundDefinitions, FoundEdits, SourceQuestion, SourceReply } from './sourceWorker';

type Found<Q extends SourceQuestion> = Q['kind'] extends 'find' ? FoundDefinitions : FoundEdits;

interface Waiting {
  readonly resolve: (found: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Grammars and what the engine compiled stay warm while somebody is writing code. */
const idleMs = 60_000;

/**
 * Reads source code on a thread of its own, because a file of 2,000 lines takes longer than a caller may be held up. The
 * thread starts with the first question and ends when none came for a while.
 */
export class SourceThread {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private timer: NodeJS.Timeout | undefined;

  /** Rejects with a ParticlizeError when the grammars are missing or the text is too long. */
  ask<Q extends SourceQuestion>(question: Q): Promise<Found<Q>> {
    clearTimeout(this.timer);
    const worker = (this.worker ??= this.start());
    const id = this.next++;
    return new Promise<Found<Q>>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      worker.postMessage({ id, question });
    }).finally(() => {
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.timer = setTimeout(() => this.stop(), idleMs).unref();
    });
  }

  stop(): void {
    clearTimeout(this.timer);
    void this.worker?.terminate();
    this.worker = undefined;
  }

  private start(): Worker {
    const built = path.join(__dirname, 'sourceWorker.js');
    const worker = existsSync(built)
      ? new Worker(built)
      : new Worker(`require('tsx/cjs'); require(${JSON.stringify(path.join(__dirname, 'sourceWorker.ts'))});`, { eval: true });
    worker.unref();
    worker.on('message', (reply: SourceReply) => {
      const call = this.waiting.get(reply.id);
      if (reply.kind === 'error') call?.reject(reply.parts ? new ParticlizeError(reply.parts) : new Error(reply.message));
      else call?.resolve(reply.found as never);
    });
    const ended = (error: Error): void => {
      if (this.worker === worker) this.worker = undefined;
      for (const call of this.waiting.values()) call.reject(error);
    };
    worker.on('error', ended);
    worker.on('exit', (code) => ended(new Error(`the thread that reads code ended with code ${code}`)));
    return worker;
  }
}
