import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { ParticlizeError, throwIfCancelled } from '../core/graph/errors';
import { availableEngines, createEngine, type ChosenEngine } from '../engines/registry';
import { behaviourPool } from './behaviourPool';
import { ModelSession, type SessionServices } from './modelSession';
import type { ComputeOptions, EngineStatus, MethodTable, ModelId } from './protocol';
import { evaluateClosely } from './evaluateClosely';
import { addRound, listRounds, loopJob } from './roundsLoop';
import { trainJob } from './trainJob';
import { trainPauses } from './trainPause';
import { weightWorkers } from './weightWorkers';

/** Everything that can be asked about models, for all faces: the compute process serves it, the command line calls it directly. */
export function createSessions(options: ComputeOptions): MethodTable {
  const open = new Map<ModelId, { readonly session: ModelSession; readonly stamp: string }>();
  let engine: Promise<ChosenEngine> | undefined;
  let numbered = 0;
  const memoryBytes = options.memoryMegabytes * 2 ** 20;
  const threads = options.threads || availableParallelism();
  const engineOf = (): Promise<ChosenEngine> => {
    engine ??= createEngine(options.engine, { threads: options.threads, memoryBytes });
    // A failure is not remembered.
    engine.catch(() => (engine = undefined));
    return engine;
  };
  const services: SessionServices = {
    memoryBytes, summer: weightWorkers(options.threads || undefined), engine: engineOf, pool: behaviourPool(options), cacheFolder: options.cacheFolder,
  };
  const session = (id: ModelId): ModelSession => {
    const found = open.get(id)?.session;
    if (!found) throw new ParticlizeError({ cause: 'this model is not open any more', action: 'Open it again' });
    return found;
  };
  const turn = oneAtATime();
  const pauses = trainPauses();

  return {
    engines: async () => engineStatus(await engineOf()),
    async open({ path: file }, task) {
      const stamp = await stampOf(file);
      for (const entry of open.values()) if (entry.stamp === stamp) return entry.session.summary();
      const id = `model${++numbered}`;
      const opened = await ModelSession.open(id, file, services, task);
      open.set(id, { session: opened, stamp });
      return opened.summary();
    },
    async close({ model }) {
      open.delete(model);
      return null;
    },
    columns: ({ model, names }, task) => session(model).columns(names, task),
    details: async ({ model, layer }) => session(model).details(layer),
    weights: ({ model, layer, from, to }) => session(model).weights(layer, from, to),
    activations: ({ model, recipe, layer, sample }, task) => session(model).activations(recipe, layer, sample, task),
    mutedPrediction: ({ model, recipe, sample, rows }, task) => turn(task, () => session(model).mutedPrediction(recipe, sample, rows, task)),
    preview: ({ model, plan }) => session(model).preview(plan),
    recipes: ({ model }) => session(model).recipes(),
    guessRecipe: ({ model, files, out }, task) => session(model).guessRecipe(files, out, task),
    activationDrift: (params, task) => turn(task, () => session(params.model).activationDrift(params, task)),
    // What runs the model many times takes turns, so that the memory budget holds for all of them together.
    behaviour: (params, task) => turn(task, () => session(params.model).behaviour(params, task)),
    detail: (params, task) => turn(task, () => session(params.model).detail(params, task)),
    sweep: (params, task) => turn(task, () => session(params.model).sweep(params, task)),
    suggest: (params, task) => turn(task, () => session(params.model).suggest(params, task)),
    evaluate: ({ model, recipe, samples }, task) => turn(task, () => session(model).evaluate(recipe, samples, task)),
    train: (params, task) => turn(task, () => {
      pauses.set(params.model, false);
      const waitWhilePaused = (): Promise<void> => pauses.wait(params.model, task.signal);
      return trainJob(session(params.model), params, { ...services, waitWhilePaused }, task);
    }),
    loop: (params, task) => turn(task, () => {
      pauses.set(params.model, false);
      const waitWhilePaused = (): Promise<void> => pauses.wait(params.model, task.signal);
      return loopJob(session(params.model), params, { ...services, threads, waitWhilePaused }, task);
    }),
    rounds: async ({ model, folder, maxDrop }) => listRounds(session(model), folder, maxDrop),
    addRound: (params, task) => turn(task, () => addRound(session(params.model), params, { ...services, threads, waitWhilePaused: () => Promise.resolve() }, task)),
    evaluateClosely: (params, task) => turn(task, () => evaluateClosely(session(params.model), params, { ...services, threads }, task)),
    async pauseTraining({ model, paused }) {
      pauses.set(model, paused);
      return null;
    },
    apply: ({ model, plan, folder, name }, task) => turn(task, () => session(model).apply(plan, folder, name, task)),
  };
}

/** Path, size and time: another file at the same place is another model. */
async function stampOf(file: string): Promise<string> {
  const resolved = path.resolve(file);
  const found = await stat(resolved).catch(() => undefined);
  return `${resolved}\0${found?.size ?? ''}\0${found?.mtimeMs ?? ''}`;
}

function oneAtATime(): <T>(task: { readonly signal?: AbortSignal }, run: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task, run) => {
    const result = last.then(() => {
      throwIfCancelled(task);
      return run();
    });
    last = result.catch(() => undefined);
    return result;
  };
}

function engineStatus(current: ChosenEngine): EngineStatus {
  const engines = availableEngines(current);
  return {
    current: current.title,
    available: engines.filter(({ available }) => available).map(({ id, title }) => ({ id, title })),
    notes: engines.filter(({ available }) => !available).map(({ title, reason }) => `${title}: ${reason}`),
  };
}
