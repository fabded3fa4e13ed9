import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { registerGradientKernels } from './gradientKernels';
import type { TfModule } from './value';

export type LoadedTfjs =
  | { readonly tf: TfModule; readonly backend: 'tensorflow' | 'wasm'; readonly title: string }
  | { readonly reason: string };

const require_ = createRequire(__filename);

/**
 * Where the user has installed @tensorflow/tfjs-node: at `folder`, at PARTICLIZE_TFJS_NODE, or on the way up from here.
 * Loads nothing; `reason` says in the user's words why it is not there.
 */
export function findTfjsNode(folder = process.env.PARTICLIZE_TFJS_NODE): { readonly folder: string } | { readonly reason: string } {
  const found = folder || installed('tfjs-node');
  if (!found || !existsSync(path.join(found, 'package.json'))) return { reason: '@tensorflow/tfjs-node is not installed' };
  const built = existsSync(path.join(found, 'lib')) && readdirSync(path.join(found, 'lib'))
    .some((name) => existsSync(path.join(found, 'lib', name, 'tfjs_binding.node')));
  return built ? { folder: found } : { reason: '@tensorflow/tfjs-node is installed without its TensorFlow library' };
}

/** TensorFlow.js on the TensorFlow library. */
export async function loadTfjsNode(folder?: string): Promise<LoadedTfjs> {
  const found = findTfjsNode(folder);
  if ('reason' in found) return found;
  restoreRemovedFunctions();
  // The library tells the terminal about the processor; warnings and errors come through.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  let tf: TfModule;
  try {
    tf = require_(found.folder) as TfModule;
  } catch (error) {
    return { reason: `@tensorflow/tfjs-node does not load on this machine (${firstLine(error)})` };
  }
  if (!(await tf.setBackend('tensorflow'))) return { reason: '@tensorflow/tfjs-node does not start on this machine' };
  return { tf, backend: 'tensorflow', title: `TensorFlow.js ${short(tf.version_core)} (Node)` };
}

/** TensorFlow.js compiled to WebAssembly, which runs everywhere; never the plain JavaScript backend, fifty times slower. */
export async function loadTfjsWasm(wasmFolder?: string): Promise<LoadedTfjs> {
  const found = findTfjsWasm(wasmFolder);
  if ('reason' in found) return found;
  const { folder } = found;
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
  registerGradientKernels(tf);
  return { tf, backend: 'wasm', title: `TensorFlow.js ${short(tf.version_core)} (WASM)` };
}

type ErrorEvent = 'uncaughtException' | 'unhandledRejection';

function processHandlers(): readonly (readonly [ErrorEvent, readonly unknown[]])[] {
  // Typed one by one: each event has its own kind of listener.
  return [['uncaughtException', process.listeners('uncaughtException')], ['unhandledRejection', process.listeners('unhandledRejection')]];
}

/** The WebAssembly files: beside the bundle in the packaged extension, else in node_modules. */
export function findTfjsWasm(wasmFolder?: string): { readonly folder: string } | { readonly reason: string } {
  const packaged = path.join(__dirname, 'tfjs-wasm');
  const backend = installed('tfjs-backend-wasm');
  const folder = wasmFolder ?? (existsSync(packaged) ? packaged : backend && path.join(backend, 'dist'));
  return folder && existsSync(path.join(folder, 'tfjs-backend-wasm-simd.wasm'))
    ? { folder }
    : { reason: 'the WebAssembly files of TensorFlow.js are missing' };
}

/** A package of TensorFlow.js in one of the node_modules folders above. */
function installed(name: string): string | undefined {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', '@tensorflow', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
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
