import type { Engine } from '../core/graph/engine';
import type { Finding } from '../core/graph/errors';
import { ParticlizeError } from '../core/graph/errors';
import { findNative, findWeb } from './ort/loadOrt';
import { createOrtEngine, type EngineOrReason } from './ort/ortEngine';
import { withinMemory } from './segmentedEngine';
import { findTfjsNode, findTfjsWasm } from './tfjs/loadTfjs';

export interface EngineOptions {
  /** Threads of one run; 0 or missing: as many as the machine has cores. */
  readonly threads?: number;
  /** Memory for a run; what needs more is run by segments. Missing: no limit. */
  readonly memoryBytes?: number;
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
  /** Looks whether its files are there, without loading them. */
  find(): { readonly folder: string } | { readonly reason: string };
  create(options: EngineOptions): Promise<EngineOrReason> | EngineOrReason;
}

/** Fastest first; a new engine is one folder and one line here. */
const entries: readonly EngineEntry[] = [
  { id: 'ort-native', title: 'ONNX Runtime (native)', find: findNative, create: (options) => createOrtEngine('native', options) },
  { id: 'ort-web', title: 'ONNX Runtime (web)', find: findWeb, create: (options) => createOrtEngine('web', options) },
  { id: 'tfjs-node', title: 'TensorFlow.js (Node)', find: () => findTfjsNode(), create: (options) => createTfjs('tfjs-node', options) },
  { id: 'tfjs-wasm', title: 'TensorFlow.js (WASM)', find: () => findTfjsWasm(), create: (options) => createTfjs('tfjs-wasm', options) },
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
    return { ...withinMemory(made, Math.min(options.memoryBytes ?? Infinity, limits[id] ?? Infinity)), findings };
  }
  throw new ParticlizeError({
    cause: `no engine can run models on this machine: ${findings.map(({ place, message }) => `${place}: ${message}`).join('; ')}`,
    action: 'Install the extension again for this platform',
  });
}

/**
 * Every engine, with the reason where one is not available. Looks for their files only: what is here in the end shows when
 * it is loaded, so what making the `current` engine has found out counts more.
 */
export function availableEngines(current?: ChosenEngine): readonly EngineAvailability[] {
  return entries.map(({ id, title, find }) => {
    if (current?.id === id) return { id, title: current.title, available: true };
    const passedOver = current?.findings.find(({ place }) => place === title)?.message;
    const found = find();
    const reason = passedOver ?? ('reason' in found ? found.reason : undefined);
    return reason === undefined ? { id, title, available: true } : { id, title, available: false, reason };
  });
}

/** WebAssembly has 4 GB of memory, in which ONNX Runtime holds the weights twice while it loads them. */
const limits: Partial<Record<Engine['id'], number>> = { 'ort-web': 1.5e9, 'tfjs-wasm': 2.5e9 };

/** TensorFlow.js is large: loaded when it is asked for. */
async function createTfjs(id: 'tfjs-node' | 'tfjs-wasm', options: EngineOptions): Promise<EngineOrReason> {
  try {
    const { createTfjsEngine } = await import('./tfjs/tfjsEngine');
    return await createTfjsEngine({ ...options, id });
  } catch (error) {
    return { reason: (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200) };
  }
}
