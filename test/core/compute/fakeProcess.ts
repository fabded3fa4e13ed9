/** A compute process with a small table of methods that misbehave on demand; run by client.test.ts. */
import { CancelledError, ParticlizeError } from '../../../src/core/graph/errors';
import type { ComputeTask, MethodTable, Request } from '../../../src/compute/protocol';
import { serve } from '../../../src/compute/rpc';

const opened = new Map<string, string>();

const table: Record<string, (params: never, task: ComputeTask) => Promise<unknown>> = {
  engines: async () => ({ current: `pid ${process.pid}`, available: [], notes: [process.argv[2] ?? ''] }),
  open: async ({ path }: { path: string }) => {
    if (path === 'bad.onnx') throw new ParticlizeError({ file: 'bad.onnx', place: 'byte 12', cause: 'it ends too early' });
    if (path === 'bug.onnx') throw new TypeError('x is not a function');
    // Ids of this process alone: a new process gives others.
    const model = `${process.pid}:${opened.size}`;
    opened.set(model, path);
    return { model, path };
  },
  close: async ({ model }: { model: string }) => (opened.delete(model), null),
  columns: async ({ model }: { model: string }) => {
    if (!opened.has(model)) throw new ParticlizeError({ cause: `no model ${model} here` });
    return [{ name: 'l1', values: Float32Array.of(1, NaN, 3) }];
  },
  behaviour: async ({ model }: { model: string }, task) => {
    for (let done = 1; done <= 3; done++) {
      task.progress?.(done, 3, `step ${done}`);
      task.columns?.(model, [{ name: 'mean', values: Float32Array.of(done) } as never]);
    }
    return [];
  },
  evaluate: (_: never, task) => new Promise((_resolve, reject) => {
    task.signal?.addEventListener('abort', () => reject(new CancelledError()));
  }),
  suggest: async () => {
    for (;;); // A loop that never yields: no message is read any more.
  },
  weights: async () => process.exit(7),
  recipes: async () => [() => 'functions cannot be cloned'],
};

serve(table as unknown as MethodTable, {
  send: (message) => void process.send?.(message),
  onMessage: (listener) => void process.on('message', (message) => listener(message as Request)),
});
process.on('disconnect', () => process.exit(0));
