import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { looksLikeTar, openTar } from '../containers/tar';
import { looksLikeZip, openZip } from '../containers/zip';
import { readLegacyTorch, readTorchArchive, torchPrefix, type TorchFile } from './torchFile';
import { readTorchTar } from './torchTar';

/** Reads what torch.save wrote in any of its forms. Rejects with a ParticlizeError when it is none of them. */
export async function readTorchFile(main: ByteSource): Promise<{ file: TorchFile; form: 'zip' | 'tar' | 'legacy' }> {
  const head = await main.read(0, Math.min(main.sizeBytes, 1024));
  if (looksLikeZip(head)) {
    const zip = await openZip(main);
    const prefix = torchPrefix(zip);
    if (prefix !== undefined) return { file: await readTorchArchive(zip, prefix), form: 'zip' };
    throw new ParticlizeError({ file: main.name, cause: 'this is a zip archive, but not one that torch.save wrote' });
  }
  if (looksLikeTar(head)) return { file: await readTorchTar(main.name, await openTar(main)), form: 'tar' };
  // Protocols 0 and 1 have no mark; their first byte begins a value.
  if (looksLikePickle(head) || /^[(cIL\]})]/.test(String.fromCharCode(head[0] ?? 0))) return { file: await readLegacyTorch(main), form: 'legacy' };
  throw new ParticlizeError({ file: main.name, cause: 'this is not a file that torch.save wrote', action: 'It may be damaged, or be a Git LFS pointer' });
}

export function looksLikePickle(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1]! >= 1 && head[1]! <= 5;
}
