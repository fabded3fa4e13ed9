/** Which models' training is paused; runs ask between steps. */
export interface TrainPauses {
  set(model: string, paused: boolean): void;
  /** Resolves when training of the model may go on, or when it is cancelled. */
  wait(model: string, signal?: AbortSignal): Promise<void>;
}

export function trainPauses(): TrainPauses {
  const waiting = new Map<string, Set<() => void>>();
  return {
    set(model, paused) {
      if (paused) {
        if (!waiting.has(model)) waiting.set(model, new Set());
        return;
      }
      for (const resume of waiting.get(model) ?? []) resume();
      waiting.delete(model);
    },
    wait(model, signal) {
      const paused = waiting.get(model);
      if (!paused || signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = (): void => {
          paused.delete(done);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        paused.add(done);
        signal?.addEventListener('abort', done, { once: true });
      });
    },
  };
}
