import type { Engine } from '../core/graph/engine';
import type { Finding } from '../core/graph/errors';
import { ParticlizeError } from '../core/graph/errors';
import { createOrtEngine, type EngineOrReason } from './ort/ortEngine';

export interface EngineOptions {
  /** Threads of one run; 0 or missing: as many as the machine has cores. */
  readonly threads?: number;
}

export type EnginePreference = 'auto' | Engine['id'];

/** An engine, with what was tried before it and why that is not available. */
export interface ChosenEngine extends Engine {
  readonly findings: readonly Finding[];
}

export interface EngineAvailability {
  readonly id: Engine['id'];
  readonly title: string;
  readonly available: boolean;
  /** Why not, in the user's words. */
  readonly reason?: string;
}

interface EngineEntry {
  readonly id: Engine['id'];
  readonly title: string;
  create(options: EngineOptions): Promise<EngineOrReason> | EngineOrReason;
}

/** Fastest first; a new engine is one folder and one line here. */
const entries: readonly EngineEntry[] = [
  { id: 'ort-native', title: 'ONNX Runtime (native)', create: (options) => createOrtEngine('native', options) },
  { id: 'ort-web', title: 'ONNX Runtime (web)', create: (options) => createOrtEngine('web', options) },
  { id: 'tfjs-node', title: 'TensorFlow.js (Node)', create: (options) => createTfjs('tfjs-node', options) },
  { id: 'tfjs-wasm', title: 'TensorFlow.js (WASM)', create: (options) => createTfjs('tfjs-wasm', options) },
];

/**
 * The preferred engine, or else the fastest that works on this machine; `findings` say what was passed over and why.
 * Rejects with a ParticlizeError when there is none at all.
 */
export async function createEngine(preference: EnginePreference, options: EngineOptions = {}): Promise<ChosenEngine> {
  const order = [...entries.filter(({ id }) => id === preference), ...entries.filter(({ id }) => id !== preference)];
  const findings: Finding[] = [];
  for (const { id, title, create } of order) {
    const made = await create(options);
    if ('reason' in made) {
      findings.push({ severity: id === preference ? 'warning' : 'info', place: title, message: made.reason });
      continue;
    }
    return {
      id: made.id, title: made.title, findings,
      unsupported: (graph) => made.unsupported(graph),
      compile: (graph, feeds, fetches) => made.compile(graph, feeds, fetches),
    };
  }
  throw new ParticlizeError({
    cause: `no engine can run models on this machine: ${findings.map(({ place, message }) => `${place}: ${message}`).join('; ')}`,
    action: 'Install the extension again for this platform',
  });
}

/** Every engine, with the reason where one is not available. Loads them, so ask when the answer is shown. */
export async function availableEngines(options: EngineOptions = {}): Promise<readonly EngineAvailability[]> {
  const results: EngineAvailability[] = [];
  for (const { id, title, create } of entries) {
    const made = await create(options);
    results.push('reason' in made ? { id, title, available: false, reason: made.reason } : { id, title: made.title, available: true });
  }
  return results;
}

/** TensorFlow.js is large: loaded when it is asked for. */
async function createTfjs(id: 'tfjs-node' | 'tfjs-wasm', options: EngineOptions): Promise<EngineOrReason> {
  try {
    const { createTfjsEngine } = await import('./tfjs/tfjsEngine');
    return await createTfjsEngine({ ...options, id });
  } catch (error) {
    return { reason: (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200) };
  }
}
