import { CancelledError, ParticlizeError } from '../core/graph/errors';
import type { MethodTable, Method, RemoteError, Request, Response } from './protocol';

/** One end of a line between two processes; messages are structured-cloned. */
export interface Channel<Out, In> {
  send(message: Out): void;
  onMessage(listener: (message: In) => void): void;
}

/**
 * Answers calls that arrive on a channel from a table of methods. Every call is answered exactly once, with a result or
 * an error; an unforeseen error becomes one sentence, its stack travels along for the log.
 */
export function serve(table: MethodTable, channel: Channel<Response, Request>): void {
  const running = new Map<number, AbortController>();

  const call = async (id: number, method: Method, params: unknown): Promise<Response> => {
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    // A method that finishes late, after its answer, must not send progress about a call that nobody remembers.
    const live = (): boolean => running.get(id) === controller && !signal.aborted;
    try {
      if (!Object.hasOwn(table, method)) throw new ParticlizeError({ cause: `the compute process has no method '${method}'` });
      const run = table[method] as (params: unknown, task: unknown) => Promise<unknown>;
      const result = await run(params, {
        signal,
        progress: (done: number, total: number, message?: string) => {
          if (live()) channel.send({ kind: 'progress', id, done, total, message });
        },
        columns: (model: string, columns: Extract<Response, { kind: 'columns' }>['columns']) => {
          if (live()) channel.send({ kind: 'columns', id, model, columns });
        },
        training: (model: string, update: Extract<Response, { kind: 'training' }>['update']) => {
          if (live()) channel.send({ kind: 'training', id, model, update });
        },
        round: (model: string, round: Extract<Response, { kind: 'round' }>['round']) => {
          if (live()) channel.send({ kind: 'round', id, model, round });
        },
      });
      return { kind: 'result', id, result };
    } catch (error) {
      return { kind: 'error', id, error: remoteError(error, method, signal.aborted) };
    } finally {
      running.delete(id);
    }
  };

  channel.onMessage((message) => {
    if (message.kind === 'cancel') {
      running.get(message.id)?.abort();
      return;
    }
    void call(message.id, message.method, message.params).then((response) => {
      try {
        channel.send(response);
      } catch (error) {
        // A result that cannot be cloned is a bug, and still has to be answered.
        channel.send({ kind: 'error', id: message.id, error: remoteError(error, message.method, false) });
      }
    });
  });
  channel.send({ kind: 'ready' });
}

/** What the user may read of an error, and what only the log gets. */
export function remoteError(error: unknown, method: Method, aborted: boolean): RemoteError {
  if (error instanceof CancelledError || (aborted && !(error instanceof ParticlizeError))) {
    return { message: 'Cancelled.', cancelled: true };
  }
  if (error instanceof ParticlizeError) return { message: error.message };
  return {
    message: `Something unexpected happened while ${activity(method)}; details are in the Particlize output.`,
    stack: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}

/** What a method does, to complete a sentence: 'while opening the model'. */
export function activity(method: string): string {
  return Object.hasOwn(activities, method) ? activities[method as Method] : 'working';
}

const activities: Readonly<Record<Method, string>> = {
  engines: 'looking for engines',
  open: 'opening the model',
  close: 'closing the model',
  columns: 'measuring the weights',
  behaviour: 'running the model',
  details: 'looking for details',
  detail: 'looking closely at a layer',
  weights: 'reading weights',
  activations: 'computing activations',
  mutedPrediction: 'muting particles',
  suggest: 'looking for suggestions',
  preview: 'previewing the plan',
  apply: 'applying the plan',
  sweep: 'measuring particles',
  evaluate: 'evaluating the model',
  recipes: 'looking for recipes',
  guessRecipe: 'looking at the data',
  activationDrift: 'comparing activations',
  train: 'training the model',
  pauseTraining: 'pausing the training',
  evaluateClosely: 'evaluating the model',
  loop: 'making smaller models',
  rounds: 'looking for rounds',
  addRound: 'keeping a round',
};
