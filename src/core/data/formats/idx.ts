import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { bytesPerElement, elementCount, type DType } from '../../graph/tensor';
import { checkSize, inMemory, singleArray, type ArraySource, type DataFormat } from '../arraySource';
import { elementsOf } from '../elements';
import { isGzip, wholeFile } from '../inflate';

/** IDX, the format of MNIST: big-endian elements behind a magic number and the sizes; also gzipped. */
export const idx: DataFormat = {
  title: 'IDX',
  match: (name, head) => (isIdx(head) && !/\.csv$/i.test(name)) || (isGzip(head) && /(idx|ubyte)[^/]*\.gz$/i.test(name)),
  open: async (source, memoryBytes) => singleArray(await openIdx(source, memoryBytes)),
};

const dtypes: Readonly<Record<number, Exclude<DType, 'string'>>> = {
  0x08: 'uint8', 0x09: 'int8', 0x0b: 'int16', 0x0c: 'int32', 0x0d: 'float32', 0x0e: 'float64',
};

function isIdx(head: Uint8Array): boolean {
  return head[0] === 0 && head[1] === 0 && dtypes[head[2]!] !== undefined && head[3]! >= 1 && head[3]! <= 8;
}

async function openIdx(source: ByteSource, memoryBytes: number): Promise<ArraySource> {
  const bytes = await wholeFile(source, memoryBytes);
  if (!isIdx(bytes)) throw new ParticlizeError({ file: source.name, cause: 'it does not start as an IDX file does' });
  const dtype = dtypes[bytes[2]!]!;
  const rank = bytes[3]!;
  const start = 4 + 4 * rank;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < start) throw cutOff(source.name, start, bytes.length);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const sizeBytes = elementCount(shape) * bytesPerElement[dtype];
  if (start + sizeBytes > bytes.length) throw cutOff(source.name, start + sizeBytes, bytes.length);
  checkSize(sizeBytes, memoryBytes, source.name);
  return inMemory({ dtype, shape, data: elementsOf(bytes.subarray(start, start + sizeBytes), dtype, true) });
}

function cutOff(file: string, wanted: number, found: number): ParticlizeError {
  return new ParticlizeError({
    file, cause: `its header promises ${wanted} bytes, but there are ${found}`, action: 'Download the file again',
  });
}
