/** Entry of a worker thread that sums weights: reads the file by itself, straight into the memory of its kernel. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { parentPort } from 'node:worker_threads';
import { ParticlizeError } from '../core/graph/errors';
import { PieceSummer, type PieceSums } from '../core/attributes/sums/sumPieces';
import type { WeightPiece } from '../core/attributes/sums/weightPieces';
import { changed, type DiskPlace } from './files';

export interface WorkerBatch {
  /** Of the run; shared. */
  readonly orders: Int32Array;
  readonly jobs: readonly { readonly job: number; readonly piece: WeightPiece; readonly place: DiskPlace; readonly order: number }[];
}

export type WorkerReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'sums'; readonly sums: readonly { readonly job: number; readonly sums: PieceSums }[] }
  | { readonly kind: 'error'; readonly parts?: ParticlizeError['parts']; readonly message: string };

const summer = new PieceSummer();

async function work({ jobs, orders }: WorkerBatch): Promise<WorkerReply> {
  const sums: { job: number; sums: PieceSums }[] = [];
  const files = new Map<string, number>();
  try {
    for (const { job, piece, place, order } of jobs) {
      let file = files.get(place.path);
      if (file === undefined) files.set(place.path, (file = openSync(place.path, 'r')));
      const open = file;
      const name = path.basename(place.path);
      const read = (offset: number, target: Uint8Array): void => {
        for (let filled = 0; filled < target.length; ) {
          const count = readSync(open, target, filled, target.length - filled, place.offset + offset + filled);
          if (count === 0) throw changed(name);
          filled += count;
        }
      };
      sums.push({ job, sums: await summer.sum(piece, { words: orders, index: order }, read) });
      if (fstatSync(open).mtimeMs !== place.mtimeMs) throw changed(name);
    }
  } catch (error) {
    if (error instanceof ParticlizeError) return { kind: 'error', parts: error.parts, message: error.message };
    return { kind: 'error', message: error instanceof Error ? error.message : String(error) };
  } finally {
    for (const file of files.values()) closeSync(file);
  }
  return { kind: 'sums', sums };
}

parentPort?.on('message', (batch: WorkerBatch) => {
  void work(batch).then((reply) => {
    const buffers = reply.kind === 'sums' ? reply.sums.map(({ sums }) => sums.sum.buffer as ArrayBuffer) : [];
    parentPort!.postMessage(reply, buffers);
  });
});
parentPort?.postMessage({ kind: 'ready' } satisfies WorkerReply);
