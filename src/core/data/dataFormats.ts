import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import type { DataFile, DataFormat } from './arraySource';
import { arrow } from './formats/arrow';
import { csv } from './formats/csv';
import { idx } from './formats/idx';
import { jsonLines } from './formats/jsonLines';
import { npy } from './formats/npy';
import { npz } from './formats/npz';
import { parquet } from './formats/parquet';
import { text } from './formats/text';

/** Every data file format that recipes may name; a new one is one file and one line here. The first match wins. */
export const dataFormats: readonly DataFormat[] = [npz, npy, csv, jsonLines, text, parquet, arrow, idx];

export async function openDataFile(source: ByteSource, memoryBytes: number): Promise<DataFile> {
  if (source.sizeBytes === 0) throw new ParticlizeError({ file: source.name, cause: 'the file is empty' });
  const head = await source.read(0, Math.min(16, source.sizeBytes));
  const format = dataFormats.find((candidate) => candidate.match(source.name, head));
  if (format) return format.open(source, memoryBytes);
  throw new ParticlizeError({
    file: source.name,
    cause: 'this is not a data file that Particlize knows',
    action: `It reads ${dataFormats.map(({ title }) => title).join(', ')}`,
  });
}
