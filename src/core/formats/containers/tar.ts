import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { PartOfFile } from './zip';

const block = 512;
const maxMembers = 10_000;

/** Ordinary files of a tar archive, by name; reads the headers only. Rejects with a ParticlizeError when one is damaged. */
export async function openTar(source: ByteSource): Promise<ReadonlyMap<string, ByteSource>> {
  const members = new Map<string, ByteSource>();
  for (let at = 0, count = 0; at + block <= source.sizeBytes; count++) {
    const header = await source.read(at, block);
    if (header.every((byte) => byte === 0)) break;
    if (count >= maxMembers) throw broken(source, at, `it has more than ${maxMembers} files`);
    const sizeBytes = octal(header.subarray(124, 136));
    if (checksum(header) !== octal(header.subarray(148, 156))) throw broken(source, at, 'a header does not match its checksum');
    if (!(sizeBytes >= 0) || at + block + sizeBytes > source.sizeBytes) throw broken(source, at, `a file of ${sizeBytes} bytes leaves the archive`);
    const kind = header[156]!;
    if (kind === 0 || kind === 0x30) {
      const name = text(header.subarray(0, 100)).replace(/^\.\//, '');
      members.set(name, new PartOfFile(`${source.name}: ${name}`, source, at + block, sizeBytes));
    }
    at += block + Math.ceil(sizeBytes / block) * block;
  }
  return members;
}

export function looksLikeTar(head: Uint8Array): boolean {
  return head.length >= block && octal(head.subarray(148, 156)) === checksum(head.subarray(0, block)) && checksum(head.subarray(0, block)) > 8 * 32;
}

/** The sum of a header's bytes, its own field counted as blanks. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < block; at++) sum += at >= 148 && at < 156 ? 32 : header[at]!;
  return sum;
}

function octal(bytes: Uint8Array): number {
  const digits = text(bytes).trim();
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function broken(source: ByteSource, at: number, cause: string): ParticlizeError {
  return new ParticlizeError({ file: source.name, place: `byte ${at}`, cause: `the tar archive is damaged: ${cause}`, action: 'Copy or download the file again' });
}
