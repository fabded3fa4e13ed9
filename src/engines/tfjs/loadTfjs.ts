import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { TfModule } from './value';

export type LoadedTfjs =
  | { readonly tf: TfModule; readonly backend: 'tensorflow' | 'wasm'; readonly title: string }
  | { readonly reason: string };

const require_ = createRequire(__filename);

/** TensorFlow.js on the TensorFlow library, where the user has installed @tensorflow/tfjs-node (at `folder`, or on the way up). */
export async function loadTfjsNode(folder?: string): Promise<LoadedTfjs> {
  restoreRemovedFunctions();
  let tf: TfModule & { readonly version?: { readonly tfjs?: string } };
  try {
    tf = require_(folder ?? '@tensorflow/tfjs-node') as typeof tf;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'
      && /tfjs-node'/.test(error.message);
    return { reason: missing ? '@tensorflow/tfjs-node is not installed' : `@tensorflow/tfjs-node does not load on this machine (${firstLine(error)})` };
  }
  if (!(await tf.setBackend('tensorflow'))) return { reason: '@tensorflow/tfjs-node does not start on this machine' };
  return { tf, backend: 'tensorflow', title: `TensorFlow.js ${short(tf.version_core)} (Node)` };
}

/** TensorFlow.js compiled to WebAssembly, which runs everywhere; never the plain JavaScript backend, fifty times slower. */
export async function loadTfjsWasm(wasmFolder?: string): Promise<LoadedTfjs> {
  const folder = wasmFolder ?? findWasm();
  if (!folder) return { reason: 'the WebAssembly files of TensorFlow.js are missing' };
  const tf = await import('@tensorflow/tfjs-core');
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  // Only before the backend starts; later engines of the same process share it.
  if (!tf.engine().registryFactory['wasm'] || !tf.engine().registry['wasm']) setWasmPaths(`${folder}${path.sep}`);
  const handlers = processHandlers();
  const started = await tf.setBackend('wasm');
  // The compiled module makes every unhandled error of the process its own, and prints itself with it.
  for (const [event, before] of handlers) {
    for (const added of process.listeners(event as 'uncaughtException')) {
      if (!before.includes(added)) process.removeListener(event, added);
    }
  }
  if (!started) return { reason: 'the WebAssembly files of TensorFlow.js do not start on this machine' };
  return { tf, backend: 'wasm', title: `TensorFlow.js ${short(tf.version_core)} (WASM)` };
}

type ErrorEvent = 'uncaughtException' | 'unhandledRejection';

function processHandlers(): readonly (readonly [ErrorEvent, readonly unknown[]])[] {
  // Typed one by one: each event has its own kind of listener.
  return [['uncaughtException', process.listeners('uncaughtException')], ['unhandledRejection', process.listeners('unhandledRejection')]];
}

/** Beside the bundle in the packaged extension, else in node_modules. */
function findWasm(): string | undefined {
  const packaged = path.join(__dirname, 'tfjs-wasm');
  if (existsSync(packaged)) return packaged;
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const installed = path.join(folder, 'node_modules', '@tensorflow', 'tfjs-backend-wasm', 'dist');
    if (existsSync(path.join(installed, 'tfjs-backend-wasm-simd.wasm'))) return installed;
    if (path.dirname(folder) === folder) return undefined;
  }
}

/** tfjs-node 4.22 calls functions that Node 23 and later no longer have. */
function restoreRemovedFunctions(): void {
  const util = require_('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

function short(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);
}
