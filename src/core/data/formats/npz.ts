import { unzipSync } from 'fflate';
import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { checkSize, type ArraySource, type DataFile, type DataFormat } from '../arraySource';
import { openNpy } from './npy';

/** NumPy's `.npz`: a zip of `.npy` files. An array is unpacked when it is asked for. */
export const npz: DataFormat = {
  title: 'NumPy archive',
  match: (name, head) => /\.npz$/i.test(name) && head[0] === 0x50 && head[1] === 0x4b,
  open: openNpz,
};

async function openNpz(source: ByteSource, memoryBytes: number): Promise<DataFile> {
  checkSize(source.sizeBytes, memoryBytes, source.name);
  const bytes = await source.read(0, source.sizeBytes);
  const sizes = new Map<string, number>();
  unpack(bytes, source.name, (name, sizeBytes) => {
    if (name.endsWith('.npy')) sizes.set(name.slice(0, -'.npy'.length), sizeBytes);
    return false;
  });
  const arrays = new Map<string, Promise<ArraySource>>();
  return {
    arrays: [...sizes.keys()],
    array(name) {
      let array = arrays.get(name);
      if (!array) arrays.set(name, (array = openMember(bytes, name, sizes.get(name) ?? 0, source.name, memoryBytes)));
      return array;
    },
  };
}

async function openMember(
  bytes: Uint8Array, name: string, sizeBytes: number, file: string, memoryBytes: number,
): Promise<ArraySource> {
  checkSize(sizeBytes, memoryBytes, file, name);
  const member = unpack(bytes, file, (candidate) => candidate === `${name}.npy`)[`${name}.npy`];
  if (!member) throw new ParticlizeError({ file, place: name, cause: 'the archive has no such array' });
  const label = `${file}: ${name}`;
  return openNpy({
    name: label,
    sizeBytes: member.length,
    read: (offset, length) => offset + length <= member.length
      ? Promise.resolve(member.subarray(offset, offset + length))
      : Promise.reject(new ParticlizeError({ file: label, cause: `bytes ${offset} to ${offset + length} lie behind its end` })),
  }, memoryBytes);
}

function unpack(bytes: Uint8Array, file: string, wanted: (name: string, sizeBytes: number) => boolean): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes, { filter: ({ name, originalSize }) => wanted(name, originalSize) });
  } catch (error) {
    throw new ParticlizeError({
      file, cause: 'the archive is damaged or cut off', action: 'Save the file again',
    }, { cause: error });
  }
}
