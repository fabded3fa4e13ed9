import { CompressionType, compressionRegistry, Message, RecordBatchReader, type RecordBatch } from 'apache-arrow';
import { decompressLz4Raw, decompressZstd } from 'hyparquet-compressors';
import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { checkSize, type DataFile, type DataFormat } from '../arraySource';
import { columnArray } from '../columnArray';

/**
 * Apache Arrow's file and stream formats; the first is Feather (version 2). Of a file the record batches that hold the rows
 * asked for are read; a stream has no table of contents and is read as a whole.
 */
export const arrow: DataFormat = {
  title: 'Arrow',
  match: (name, head) => isFile(head) || (/\.(arrows?|feather)$/i.test(name) && !/^FEA1/.test(ascii(head))),
  open: openArrow,
};

function ascii(head: Uint8Array): string {
  return String.fromCharCode(...head.subarray(0, 6));
}

function isFile(head: Uint8Array): boolean {
  return ascii(head) === 'ARROW1';
}

interface Batches {
  readonly names: readonly string[];
  /** First row of each batch, and the number of rows. */
  readonly starts: readonly number[];
  batch(index: number): Promise<RecordBatch>;
}

async function openArrow(source: ByteSource, memoryBytes: number): Promise<DataFile> {
  const head = await source.read(0, Math.min(8, source.sizeBytes));
  const batches = await guarded(source.name, () => (isFile(head) ? openFile(source, memoryBytes) : openStream(source, memoryBytes)));
  const { names, starts } = batches;
  const count = starts[starts.length - 1]!;
  return {
    arrays: names,
    array: (name) => columnArray({
      file: source.name, name, count, memoryBytes, block: Math.max(1024, Math.min(1 << 17, starts[1] ?? 0)),
      async values(from, to) {
        const cells: unknown[] = [];
        for (let index = 0; index + 1 < starts.length; index++) {
          const [start, end] = [starts[index]!, starts[index + 1]!];
          if (end <= from || start >= to) continue;
          await guarded(source.name, async () => {
            const column = (await batches.batch(index)).getChild(name);
            for (let row = Math.max(from, start); row < Math.min(to, end); row++) cells.push(plain(column?.get(row - start)));
          });
        }
        return cells;
      },
    }),
  };
}

/** Lists as arrays of JavaScript values. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Date) return value;
  return Symbol.iterator in value ? Array.from(value as Iterable<unknown>, plain) : value;
}

async function openFile(source: ByteSource, memoryBytes: number): Promise<Batches> {
  // The reader asks for the bytes of a file handle; only these three members are used.
  const handle = {
    fd: 0,
    stat: () => Promise.resolve({ size: source.sizeBytes }),
    async read(target: Uint8Array, offset: number, length: number, position: number) {
      if (!(position >= 0 && length >= 0 && position + length <= source.sizeBytes)) throw new Error('its parts lie outside the file');
      target.set(await source.read(position, length), offset);
      return { bytesRead: length, buffer: target };
    },
    close: () => Promise.resolve(),
  };
  const reader = await RecordBatchReader.from(handle as never) as unknown as {
    open(): Promise<unknown>; readRecordBatch(index: number): Promise<RecordBatch | null>;
    footer: { numRecordBatches: number; recordBatches(): Iterable<Block>; dictionaryBatches(): Iterable<Block> } | null;
    schema: { fields: readonly { name: string }[] };
  };
  await reader.open();
  if (!reader.footer) throw new Error('the footer is missing');
  const blocks = [...reader.footer.recordBatches()];
  for (const block of [...blocks, ...reader.footer.dictionaryBatches()]) {
    const { offset, metaDataLength, bodyLength } = block;
    if (!(offset >= 0 && metaDataLength > 0 && bodyLength >= 0 && offset + metaDataLength + bodyLength <= source.sizeBytes)) throw new Error('a record batch lies outside the file');
    checkSize(bodyLength, memoryBytes, source.name);
  }
  const starts = [0];
  for (const block of blocks) starts.push(starts[starts.length - 1]! + await batchLength(source, block, memoryBytes));
  let kept: { readonly index: number; readonly batch: RecordBatch } | undefined;
  return {
    names: reader.schema.fields.map(({ name }) => name), starts,
    async batch(index) {
      if (kept?.index === index) return kept.batch;
      const batch = await reader.readRecordBatch(index);
      if (!batch) throw new Error(`record batch ${index} is missing`);
      kept = { index, batch };
      return batch;
    },
  };
}

interface Block {
  readonly offset: number;
  readonly metaDataLength: number;
  readonly bodyLength: number;
}

/** Rows of a batch, from its header alone. */
async function batchLength(source: ByteSource, { offset, metaDataLength }: Block, memoryBytes: number): Promise<number> {
  const bytes = await source.read(offset, metaDataLength);
  const prefix = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true) === -1 ? 8 : 4;
  const length = Number((Message.decode(bytes.subarray(prefix)).header() as { length?: unknown }).length);
  if (!Number.isSafeInteger(length) || length < 0) throw new Error('a record batch has no length');
  checkSize(length * 8, memoryBytes, source.name);
  return length;
}

async function openStream(source: ByteSource, memoryBytes: number): Promise<Batches> {
  checkSize(source.sizeBytes, memoryBytes, source.name);
  const reader = RecordBatchReader.from(await source.read(0, source.sizeBytes));
  reader.open();
  // The reader forgets its schema at the end.
  const names = reader.schema.fields.map(({ name }) => String(name));
  const batches = [...reader as Iterable<RecordBatch>];
  const starts = [0];
  for (const { numRows } of batches) {
    checkSize(numRows * 8, memoryBytes, source.name);
    starts.push(starts[starts.length - 1]! + numRows);
  }
  return { names, starts, batch: (index) => Promise.resolve(batches[index]!) };
}

async function guarded<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ParticlizeError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ParticlizeError({ file, cause: `the Arrow data cannot be read (${reason})`, action: 'Save it again' }, { cause: error });
  }
}

/** More than one buffer of a record batch ever needs: a claim beyond it is a bomb. */
const largestBufferBytes = 2 ** 30;

compressionRegistry.set(CompressionType.LZ4_FRAME, { decode: lz4Frame });
compressionRegistry.set(CompressionType.ZSTD, { decode: zstd });

/** In memory of its own: the reader lays 64-bit numbers over it, which must begin at a multiple of eight. */
function zstd(bytes: Uint8Array): Uint8Array {
  const unpacked = decompressZstd(bytes);
  if (unpacked.length > largestBufferBytes) throw new Error('a buffer unpacks to more than 1 GB');
  return unpacked.slice();
}

/** LZ4's frame format: a header, blocks of at most a stated size, each packed or not. */
function lz4Frame(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0x184d2204) throw new Error('a buffer is no LZ4 frame');
  const flags = bytes[4]!;
  const blockBytes = 2 ** (8 + 2 * ((bytes[5]! >> 4) & 7));
  const [independent, blockSum, contentSize, dictionary] = [flags & 0x20, flags & 0x10, flags & 8, flags & 1];
  let at = 6 + (contentSize ? 8 : 0) + (dictionary ? 4 : 0) + 1;
  const parts: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const length = word & 0x7fffffff;
    const block = bytes.subarray(at, at + length);
    const part = word & 0x80000000 ? block : lz4Block(block, blockBytes, independent ? undefined : parts);
    total += part.length;
    if (total > largestBufferBytes) throw new Error('a buffer unpacks to more than 1 GB');
    parts.push(part);
    at += length + (blockSum ? 4 : 0);
  }
  const result = new Uint8Array(total);
  let to = 0;
  for (const part of parts) {
    result.set(part, to);
    to += part.length;
  }
  return result;
}

/** Earlier blocks are the dictionary of one that depends on them; the library unpacks those that do not. */
function lz4Block(block: Uint8Array, most: number, before: readonly Uint8Array[] | undefined): Uint8Array {
  if (before?.length) throw new Error('its LZ4 blocks depend on one another');
  return decompressLz4Raw(block, unpackedLength(block, most));
}

function unpackedLength(block: Uint8Array, most: number): number {
  let [at, total] = [0, 0];
  const more = (length: number): number => {
    if (length < 15) return length;
    for (let byte = 255; byte === 255; length += byte) byte = block[at++] ?? 0;
    return length;
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = more(token >> 4);
    at += literals;
    total += literals;
    if (at >= block.length) break;
    at += 2;
    total += more(token & 15) + 4;
    if (total > most) throw new Error('an LZ4 block is longer than its header says');
  }
  return total;
}
