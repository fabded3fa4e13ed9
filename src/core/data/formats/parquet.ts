import { parquetMetadataAsync, parquetReadObjects, parquetSchema, type FileMetaData } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { checkSize, type DataFile, type DataFormat } from '../arraySource';
import { columnArray, type ColumnReader } from '../columnArray';

/** Apache Parquet: the footer is read on opening; of a column only the pages of the row groups that hold the rows asked for. */
export const parquet: DataFormat = {
  title: 'Parquet',
  match: (name, head) => startsWith(head, 'PAR1') || (/\.parquet$/i.test(name) && startsWith(head, 'PARE')),
  open: openParquet,
};

function startsWith(head: Uint8Array, magic: string): boolean {
  return String.fromCharCode(...head.subarray(0, 4)) === magic;
}

async function openParquet(source: ByteSource, memoryBytes: number): Promise<DataFile> {
  const file = {
    byteLength: source.sizeBytes,
    async slice(start: number, end = source.sizeBytes): Promise<ArrayBuffer> {
      const [from, to] = [start < 0 ? source.sizeBytes + start : start, end < 0 ? source.sizeBytes + end : end];
      if (!(from >= 0 && from <= to && to <= source.sizeBytes)) throw new Error(`bytes ${from} to ${to} lie outside the file`);
      checkSize(to - from, memoryBytes, source.name);
      const bytes = await source.read(from, to - from);
      // A copy where it is a view: the library counts from the beginning of the buffer.
      return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer as ArrayBuffer : new Uint8Array(bytes).buffer;
    },
  };
  const metadata = await guarded(source.name, undefined, () => parquetMetadataAsync(file));
  const count = rowCount(metadata, source);
  const names = guardedNow(source.name, () => parquetSchema(metadata).children.map(({ element }) => element.name));
  const reader = (name: string): ColumnReader => {
    const bytes = unpackedBytes(metadata, name);
    return {
      file: source.name, name, count, memoryBytes,
      // Row groups are decoded as a whole, so blocks as large as they are read each once.
      block: Math.max(1024, Math.min(1 << 17, Number(metadata.row_groups[0]?.num_rows ?? 0))),
      async values(from, to) {
        const share = count > 0 ? bytes * ((to - from) / count) : 0;
        checkSize(Math.ceil(share), memoryBytes, source.name, name);
        checkPages(metadata, name, source, memoryBytes, [from, to]);
        const rows = await guarded(source.name, name, () => parquetReadObjects({
          file, metadata, columns: [name], rowStart: from, rowEnd: to, compressors, useOffsetIndex: true,
        }));
        if (rows.length !== to - from) throw damaged(source.name, name, new Error(`${rows.length} rows instead of ${to - from}`));
        return rows.map((row) => row[name] as unknown);
      },
    };
  };
  return { arrays: names, array: (name) => columnArray(reader(name)) };
}

/** Rows that the file claims; a claim that its row groups do not bear out is refused. */
function rowCount(metadata: FileMetaData, source: ByteSource): number {
  const groups = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  const count = Number(metadata.num_rows);
  if (Number.isSafeInteger(count) && count >= 0 && count === groups && metadata.row_groups.every(({ num_rows: rows }) => rows >= 0)) return count;
  throw new ParticlizeError({ file: source.name, cause: `its footer claims ${count} rows, but its row groups have ${groups}`, action: 'Save it again' });
}

function unpackedBytes(metadata: FileMetaData, name: string): number {
  return chunksOf(metadata, name).reduce((sum, { total_uncompressed_size: size }) => sum + Number(size), 0);
}

function chunksOf(metadata: FileMetaData, name: string, [from, to]: readonly [number, number] = [0, Infinity]): { total_uncompressed_size: bigint; total_compressed_size: bigint; num_values: bigint }[] {
  let first = 0;
  return metadata.row_groups.flatMap((group) => {
    const [start, end] = [first, (first += Number(group.num_rows))];
    if (end <= from || start >= to) return [];
    return group.columns.flatMap(({ meta_data: chunk }) => (chunk?.path_in_schema[0] === name ? [chunk] : []));
  });
}

/** What the row groups of these rows would take is bounded before anything is unpacked. */
function checkPages(metadata: FileMetaData, name: string, source: ByteSource, memoryBytes: number, range: readonly [number, number]): void {
  for (const chunk of chunksOf(metadata, name, range)) {
    checkSize(Number(chunk.total_uncompressed_size), memoryBytes, source.name, name);
    // Values in memory take at least eight bytes each, however well they are packed.
    checkSize(Number(chunk.num_values) * 8, memoryBytes, source.name, name);
    if (Number(chunk.total_compressed_size) > source.sizeBytes) throw damaged(source.name, name, new Error('a column is larger than the file'));
  }
}

async function guarded<T>(file: string, place: string | undefined, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw damaged(file, place, error);
  }
}

function guardedNow<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw damaged(file, undefined, error);
  }
}

function damaged(file: string, place: string | undefined, error: unknown): unknown {
  if (error instanceof ParticlizeError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ParticlizeError({ file, place, cause: `the Parquet data cannot be read (${reason})`, action: 'Save it again' }, { cause: error });
}
