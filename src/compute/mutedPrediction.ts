import path from 'node:path';
import type { BehaviourContext } from '../core/behaviour/behaviour';
import { openMasked, type MaskedModel } from '../core/behaviour/masked';
import { ParticlizeError } from '../core/graph/errors';
import { labelOf, predictionOf } from './prediction';
import type { MutedPrediction } from './protocol';

/** Predictions of one model with particles switched off, fast enough to follow a pointer: the masked model stays compiled. */
export interface MutedPredictions {
  predict(recipe: string, sample: number, rows: readonly number[], open: () => Promise<BehaviourContext>): Promise<MutedPrediction>;
}

export function mutedPredictions(idleMs = 60_000): MutedPredictions {
  let current: { readonly recipe: string; readonly opened: Promise<Opened> } | undefined;
  let timer: NodeJS.Timeout | undefined;
  const close = (): void => {
    const closing = current;
    current = undefined;
    void closing?.opened.then(({ masked }) => masked.dispose()).catch(() => undefined);
  };
  return {
    async predict(recipe, sample, rows, open) {
      clearTimeout(timer);
      if (current?.recipe !== recipe) {
        close();
        // What is cancelled is the first request, not the model that later ones use.
        const opened = open().then(async (context) => ({ context, masked: await openMasked({ ...context, task: undefined }) }));
        current = { recipe, opened };
        opened.catch(() => (current = undefined));
      }
      try {
        const { context: { data }, masked } = await current.opened;
        if (!(Number.isInteger(sample) && sample >= 0 && sample < data.count)) {
          throw new ParticlizeError({ file: path.basename(data.title), cause: `there is no sample ${sample}; the recipe gives ${data.count}` });
        }
        const before = predictionOf(data, await masked.outputs([], sample, sample + 1));
        const after = rows.length === 0 ? before : predictionOf(data, await masked.outputs(rows, sample, sample + 1));
        return { ...before, muted: after.scores.slice(), label: await labelOf(data, sample), samples: data.count };
      } finally {
        clearTimeout(timer);
        timer = setTimeout(close, idleMs);
        // Nothing but this waits: the process may end.
        timer.unref();
      }
    },
  };
}

interface Opened {
  readonly context: BehaviourContext;
  readonly masked: MaskedModel;
}
