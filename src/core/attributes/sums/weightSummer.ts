import type { ByteSource } from '../../graph/byteSource';
import { throwIfCancelled, type Task } from '../../graph/errors';
import { PieceSummer, type PieceSums, type ReadInto } from './sumPieces';
import type { WeightPiece } from './weightPieces';

export interface SumJob {
  readonly piece: WeightPiece;
  readonly source: ByteSource;
  /** Index of its layer in the orders. */
  readonly order: number;
}

/** Sums pieces of files: here one after the other, in the compute process on all cores. */
export interface WeightSummer {
  /** Calls `done` once for each job, in any order. `orders` hold a word a layer, see LargestOrder. */
  run(jobs: readonly SumJob[], orders: Int32Array, done: (job: number, sums: PieceSums) => void, task?: Task): Promise<void>;
}

export const summerInThread: WeightSummer = {
  async run(jobs, orders, done, task) {
    const summer = new PieceSummer();
    for (const [index, { piece, source, order }] of jobs.entries()) {
      throwIfCancelled(task);
      done(index, await summer.sum(piece, { words: orders, index: order }, readerOf(source)));
    }
  },
};

/** Words that threads can share. */
export function newOrders(count: number): Int32Array {
  const bytes = Math.max(count, 1) * Int32Array.BYTES_PER_ELEMENT;
  return new Int32Array(typeof SharedArrayBuffer === 'function' ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
}

function readerOf(source: ByteSource): ReadInto {
  return async (offset, target) => {
    if (source.readInto) await source.readInto(offset, target);
    else target.set(await source.read(offset, target.length));
  };
}
