import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { ByteSource, FileSet } from '../../../src/core/graph/byteSource';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { SavedFile } from '../../../src/core/formats/format';

export const fixtures = path.resolve(__dirname, '../../fixtures/formats');

export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(path.join(fixtures, name)));
}

/** A file in memory that counts what is read of it. */
export class MemoryFile implements ByteSource {
  readonly sizeBytes: number;
  bytesRead = 0;

  constructor(readonly name: string, private readonly bytes: Uint8Array) {
    this.sizeBytes = bytes.length;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      return Promise.reject(new ParticlizeError({ file: this.name, cause: `bytes ${offset} to ${offset + length} leave the file` }));
    }
    this.bytesRead += length;
    return Promise.resolve(this.bytes.slice(offset, offset + length));
  }
}

/** A model file in memory; others beside it by name. */
export function memoryFiles(name: string, bytes: Uint8Array, others: Readonly<Record<string, Uint8Array>> = {}): FileSet & { readonly main: MemoryFile } {
  return {
    main: new MemoryFile(name, bytes),
    sibling(relative) {
      if (relative.split(/[/\\]/).includes('..') || relative.startsWith('/')) {
        return Promise.reject(new ParticlizeError({ file: name, place: `data file '${relative}'`, cause: "its name leads out of the model's folder" }));
      }
      const found = others[relative];
      return found ? Promise.resolve(new MemoryFile(relative, found)) : Promise.reject(new ParticlizeError({ file: relative, cause: 'the file does not exist' }));
    },
    list: () => Promise.resolve([name, ...Object.keys(others)]),
  };
}

/** All bytes of a saved file, which must be as many as it says. */
export async function bytesOfSaved(file: SavedFile): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.chunks()) chunks.push(chunk);
  const bytes = new Uint8Array(Buffer.concat(chunks));
  if (bytes.length !== file.sizeBytes) throw new Error(`${file.name} says ${file.sizeBytes} bytes and has ${bytes.length}`);
  return bytes;
}
