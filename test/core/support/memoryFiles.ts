import fs from 'node:fs';
import path from 'node:path';
import type { ByteSource, FileSet } from '../../../src/core/graph/byteSource';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { SavedFile } from '../../../src/core/formats/format';

export interface CountingSource extends ByteSource {
  /** Bytes read so far. */
  bytesRead: number;
}

/** A file in memory that is as strict about ranges as one on disk, and counts what is read. */
export function memorySource(name: string, bytes: Uint8Array): CountingSource {
  return {
    name,
    sizeBytes: bytes.length,
    bytesRead: 0,
    read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
        return Promise.reject(new ParticlizeError({ file: name, place: `byte ${offset}`, cause: `${length} bytes leave the file` }));
      }
      this.bytesRead += length;
      return Promise.resolve(bytes.slice(offset, offset + length));
    },
  };
}

export function memoryFiles(name: string, bytes: Uint8Array, siblings: Readonly<Record<string, Uint8Array>> = {}): FileSet & { main: CountingSource } {
  return {
    main: memorySource(name, bytes),
    sibling: (other) => {
      const found = siblings[other];
      return found ? Promise.resolve(memorySource(other, found)) : Promise.reject(new ParticlizeError({ file: other, cause: 'the file does not exist' }));
    },
    list: () => Promise.resolve([name, ...Object.keys(siblings)]),
  };
}

export const fixtureFolder = path.join(__dirname, '../../fixtures');
export const sharedModels = path.join(__dirname, '../../../../shared/models');
export const sampleFolder = path.join(__dirname, '../../../media/samples/digits');

/** A file of the disk (with named siblings) in memory. */
export function loaded(folder: string, name: string, siblings: readonly string[] = []): FileSet & { main: CountingSource } {
  const read = (file: string): Uint8Array => new Uint8Array(fs.readFileSync(path.join(folder, file)));
  return memoryFiles(path.basename(name), read(name), Object.fromEntries(siblings.map((file) => [file, read(file)])));
}

export async function contentsOf(file: SavedFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of file.chunks()) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}
