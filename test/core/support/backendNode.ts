import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type { FileSet } from '../../../src/core/graph/byteSource';
import { readProto } from '../../../src/core/formats/containers/protobuf';
import { onnxTypes } from '../../../src/core/formats/onnx/onnxSchema';
import { tensorOfProto } from '../../../src/core/formats/onnx/onnxTensors';
import type { Tensor } from '../../../src/core/graph/tensor';

/** ONNX's own operator tests, packed in ../shared/models. */
export const backendNodeFile = path.join(__dirname, '../../../../shared/models/onnx-backend-node.tgz');

export interface BackendCase {
  readonly name: string;
  readonly model: FileSet;
  /** TensorProto files; other kinds (sequences, optionals) are left out as undefined. */
  readonly inputs: readonly (Uint8Array | undefined)[];
  readonly outputs: readonly (Uint8Array | undefined)[];
}

/** Every case of the archive. */
export function readBackendCases(): BackendCase[] {
  const files = new Map<string, Map<string, Uint8Array>>();
  for (const [name, bytes] of tarEntries(zlib.gunzipSync(fs.readFileSync(backendNodeFile)))) {
    const [, folder, ...rest] = name.split('/');
    if (!folder || !rest.length || !bytes.length) continue;
    let own = files.get(folder);
    if (!own) files.set(folder, (own = new Map()));
    own.set(rest.join('/'), bytes);
  }
  return [...files].filter(([, own]) => own.has('model.onnx')).map(([name, own]) => ({
    name, model: fileSetOf('model.onnx', own.get('model.onnx')!), inputs: numbered(own, 'input'), outputs: numbered(own, 'output'),
  }));
}

export function fileSetOf(name: string, bytes: Uint8Array): FileSet {
  return {
    main: { name, sizeBytes: bytes.length, read: (offset, length) => Promise.resolve(Uint8Array.from(bytes.subarray(offset, offset + length))) },
    sibling: (other) => Promise.reject(new Error(`no file ${other}`)),
    list: () => Promise.resolve([name]),
  };
}

/** A TensorProto file; undefined when it holds something else. */
export async function readTensorFile(bytes: Uint8Array | undefined): Promise<Tensor | undefined> {
  if (!bytes) return undefined;
  const source = fileSetOf('tensor.pb', bytes).main;
  try {
    const message = await readProto(source, onnxTypes.TensorProto);
    return tensorOfProto(source, message, '', new Map()).tensor;
  } catch {
    return undefined;
  }
}

function numbered(own: ReadonlyMap<string, Uint8Array>, kind: string): (Uint8Array | undefined)[] {
  const result: (Uint8Array | undefined)[] = [];
  for (const [name, bytes] of own) {
    const match = new RegExp(`^test_data_set_0/${kind}_(\\d+)\\.pb$`).exec(name);
    if (match) result[Number(match[1])] = bytes;
  }
  return Array.from(result);
}

function* tarEntries(bytes: Uint8Array): IterableIterator<readonly [string, Uint8Array]> {
  const text = (from: number, length: number): string => Buffer.from(bytes.subarray(from, from + length)).toString('utf8').replace(/\0.*$/s, '');
  let longName: string | undefined;
  for (let at = 0; at + 512 <= bytes.length;) {
    const size = parseInt(text(at + 124, 12), 8) || 0;
    const type = text(at + 156, 1);
    const prefix = text(at + 345, 155);
    const name = longName ?? (prefix ? `${prefix}/` : '') + text(at, 100);
    const body = bytes.subarray(at + 512, at + 512 + size);
    longName = type === 'L' ? Buffer.from(body).toString('utf8').replace(/\0.*$/s, '') : undefined;
    if (type === '0' || type === '') yield [name, body];
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
