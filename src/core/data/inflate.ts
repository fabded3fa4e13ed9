import { Gunzip } from 'fflate';
import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { checkSize } from './arraySource';

const pieceBytes = 1 << 16;

export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/** All bytes of a file, unpacked when it is gzipped. What a small file unpacks to is bounded while it unpacks. */
export async function wholeFile(source: ByteSource, memoryBytes: number): Promise<Uint8Array> {
  checkSize(source.sizeBytes, memoryBytes, source.name);
  const bytes = await source.read(0, source.sizeBytes);
  return isGzip(bytes) ? gunzip(bytes, memoryBytes, source.name) : bytes;
}

/** The file itself, or what it unpacks to when it is gzipped: such a file cannot be read by ranges, so it is in memory as a whole. */
export async function inflated(source: ByteSource, memoryBytes: number): Promise<ByteSource> {
  if (source.sizeBytes < 2 || !isGzip(await source.read(0, 2))) return source;
  const bytes = await wholeFile(source, memoryBytes);
  return { name: source.name, sizeBytes: bytes.length, read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)) };
}

function gunzip(bytes: Uint8Array, memoryBytes: number, file: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let total = 0;
  let ended = false;
  const stream = new Gunzip((part, final) => {
    total += part.length;
    checkSize(total, memoryBytes, file);
    parts.push(part);
    ended ||= final;
  });
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      stream.push(bytes.subarray(at, at + pieceBytes), at + pieceBytes >= bytes.length);
    }
  } catch (error) {
    if (error instanceof ParticlizeError) throw error;
    throw damaged(file, error);
  }
  if (!ended) throw damaged(file);
  const result = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function damaged(file: string, cause?: unknown): ParticlizeError {
  return new ParticlizeError({
    file, cause: 'the compressed data is damaged or cut off', action: 'Download or save the file again',
  }, { cause });
}
