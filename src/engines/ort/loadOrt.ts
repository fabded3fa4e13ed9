import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as Ort from 'onnxruntime-common';

export type OrtModule = Pick<typeof Ort, 'InferenceSession' | 'Tensor' | 'env'>;

export type Loaded = { readonly ort: OrtModule; readonly version: string } | { readonly reason: string };

export type Found = { readonly folder: string } | { readonly reason: string };

/**
 * Where native ONNX Runtime is: in the packaged extension below the bundle, otherwise in node_modules. Loads nothing;
 * `reason` says in the user's words why it is not there.
 */
export function findNative(): Found {
  const packaged = path.join(__dirname, 'native', 'node_modules', 'onnxruntime-node');
  const folder = existsSync(packaged) ? packaged : packageFolder('onnxruntime-node');
  if (!folder) return { reason: 'onnxruntime-node is not installed' };
  const binary = path.join(folder, 'bin', 'napi-v6', process.platform, process.arch, 'onnxruntime_binding.node');
  return existsSync(binary) ? { folder } : { reason: `onnxruntime-node has no build for ${process.platform}-${process.arch}` };
}

/** Where ONNX Runtime compiled to WebAssembly is, which runs everywhere that Node does. */
export function findWeb(): Found {
  const packaged = path.join(__dirname, 'ort-web');
  const installed = packageFolder('onnxruntime-web');
  const folder = existsSync(packaged) ? packaged : installed && path.join(installed, 'dist');
  return folder && existsSync(path.join(folder, 'ort-wasm-simd-threaded.wasm')) ? { folder } : { reason: 'onnxruntime-web is not installed' };
}

export function loadNative(): Loaded {
  const found = findNative();
  if ('reason' in found) return found;
  try {
    return loaded(require_(found.folder) as OrtModule);
  } catch (error) {
    return { reason: `onnxruntime-node does not load on this machine (${firstLine(error)})` };
  }
}

/** `threads` holds for the whole process. */
export function loadWeb(threads: number): Loaded {
  const found = findWeb();
  if ('reason' in found) return found;
  try {
    const ort = require_(path.join(found.folder, 'ort.node.min.js')) as OrtModule;
    ort.env.wasm.wasmPaths = `${pathToFileURL(found.folder).href}/`;
    ort.env.wasm.numThreads = threads;
    return loaded(ort);
  } catch (error) {
    return { reason: `onnxruntime-web does not load on this machine (${firstLine(error)})` };
  }
}

/** From this file: bundlers leave such a require alone. */
const require_ = createRequire(__filename);

function loaded(ort: OrtModule): Loaded {
  ort.env.logLevel = 'error';
  return { ort, version: ort.env.versions.common ?? '' };
}

/** A package in one of the node_modules folders above; asking Node is no use, since exports hide package.json. */
function packageFolder(name: string): string | undefined {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
    if (path.dirname(folder) === folder) return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);
}
