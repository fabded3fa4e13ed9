import type { ByteSource } from '../../graph/byteSource';
import { crc32 } from './crc32';
import type { ZipArchive, ZipEntry } from './zip';

/** What goes into an archive: new bytes, made when they are written, or an entry of another archive copied as it lies there. */
export type ZipPart =
  | { readonly name: string; readonly sizeBytes: number; read(): Promise<Uint8Array> }
  | { readonly name: string; readonly copy: ZipEntry; readonly from: ZipArchive };

/**
 * A zip archive of stored entries (zip64 where sizes want it) whose data begin at multiples of `alignment`, which is how
 * PyTorch lays its records out for memory mapping. `extraKey` names the padding field.
 */
export function zipFile(parts: readonly ZipPart[], alignment = 64): { readonly sizeBytes: number; chunks(): AsyncIterable<Uint8Array> } {
  const placed = place(parts, alignment);
  const last = placed[placed.length - 1];
  const directoryOffset = last ? last.dataOffset + last.packedBytes : 0;
  const directoryBytes = placed.reduce((sum, part) => sum + directoryHeader(part, 0).length, 0);
  const end = endRecords(placed.length, directoryOffset, directoryBytes);
  return {
    sizeBytes: directoryOffset + directoryBytes + end.length,
    async* chunks() {
      const sums: number[] = [];
      for (const placedPart of placed) {
        const { part, dataOffset, packedBytes } = placedPart;
        if ('copy' in part) {
          sums.push(part.copy.crc32);
          yield localHeader(placedPart, part.copy.crc32);
          yield* copied(part.from.source, await part.from.dataOffset(part.copy), packedBytes);
          continue;
        }
        const bytes = await part.read();
        if (bytes.length !== packedBytes) throw new RangeError(`entry ${part.name} has ${bytes.length} bytes, not ${packedBytes} (at ${dataOffset})`);
        const sum = crc32(bytes);
        sums.push(sum);
        yield localHeader(placedPart, sum);
        yield bytes;
      }
      for (const [index, part] of placed.entries()) yield directoryHeader(part, sums[index]!);
      yield end;
    },
  };
}

/** A range of a file in chunks. */
export async function* copied(source: ByteSource, offset: number, length: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < length; at += copyChunk) yield await source.read(offset + at, Math.min(copyChunk, length - at));
}

const copyChunk = 4 * 2 ** 20;
const full = 0xffffffff;

interface Placed {
  readonly part: ZipPart;
  readonly name: Uint8Array;
  readonly method: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly headerOffset: number;
  readonly dataOffset: number;
}

function place(parts: readonly ZipPart[], alignment: number): Placed[] {
  let at = 0;
  return parts.map((part) => {
    const name = new TextEncoder().encode(part.name);
    const sizes = 'copy' in part
      ? { method: part.copy.method, packedBytes: part.copy.packedBytes, sizeBytes: part.copy.sizeBytes }
      : { method: 0, packedBytes: part.sizeBytes, sizeBytes: part.sizeBytes };
    const wide = sizes.sizeBytes >= full || sizes.packedBytes >= full ? 20 : 0;
    // The padding is an extra field of its own, which needs 4 bytes for its head.
    const bare = at + 30 + name.length + wide + 4;
    const dataOffset = Math.ceil(bare / alignment) * alignment;
    const placed = { part, name, ...sizes, headerOffset: at, dataOffset };
    at = dataOffset + sizes.packedBytes;
    return placed;
  });
}

function localHeader({ name, method, packedBytes, sizeBytes, headerOffset, dataOffset }: Placed, sum: number): Uint8Array {
  const bytes = new Uint8Array(dataOffset - headerOffset);
  const view = new DataView(bytes.buffer);
  const wide = sizeBytes >= full || packedBytes >= full;
  writeCommon(view, 0, 0x04034b50, 4, wide, method, sum, packedBytes, sizeBytes);
  view.setUint16(26, name.length, true);
  view.setUint16(28, bytes.length - 30 - name.length, true);
  bytes.set(name, 30);
  let at = 30 + name.length;
  if (wide) at = writeWide(view, at, [sizeBytes, packedBytes]);
  view.setUint16(at, paddingField, true);
  view.setUint16(at + 2, bytes.length - at - 4, true);
  bytes.fill(0x5a, at + 4);
  return bytes;
}

function directoryHeader({ name, method, packedBytes, sizeBytes, headerOffset }: Placed, sum: number): Uint8Array {
  const wide = sizeBytes >= full || packedBytes >= full;
  const numbers = [...(wide ? [sizeBytes, packedBytes] : []), ...(headerOffset >= full ? [headerOffset] : [])];
  const extra = numbers.length ? 4 + 8 * numbers.length : 0;
  const bytes = new Uint8Array(46 + name.length + extra);
  const view = new DataView(bytes.buffer);
  writeCommon(view, 2, 0x02014b50, 6, wide, method, sum, packedBytes, sizeBytes);
  view.setUint16(4, versionMade, true);
  view.setUint16(28, name.length, true);
  view.setUint16(30, extra, true);
  view.setUint32(42, Math.min(headerOffset, full), true);
  bytes.set(name, 46);
  if (extra) writeWide(view, 46 + name.length, numbers);
  return bytes;
}

/** 'FB', as PyTorch's own writer has it. */
const paddingField = 0x4246;
const versionMade = 45;

/** The fields that both kinds of header share; those of the directory lie `shift` bytes further on. */
function writeCommon(
  view: DataView, shift: number, signature: number, versionAt: number, wide: boolean, method: number, sum: number, packed: number, size: number,
): void {
  view.setUint32(0, signature, true);
  view.setUint16(versionAt, wide ? 45 : 20, true);
  view.setUint16(6 + shift, 0x0800, true); // names are UTF-8
  view.setUint16(8 + shift, method, true);
  view.setUint16(12 + shift, 0x21, true); // 1 January 1980: the time of writing is nobody's business
  view.setUint32(14 + shift, sum, true);
  view.setUint32(18 + shift, wide ? full : packed, true);
  view.setUint32(22 + shift, wide ? full : size, true);
}

function writeWide(view: DataView, at: number, numbers: readonly number[]): number {
  view.setUint16(at, 1, true);
  view.setUint16(at + 2, 8 * numbers.length, true);
  numbers.forEach((value, index) => view.setBigUint64(at + 4 + 8 * index, BigInt(value), true));
  return at + 4 + 8 * numbers.length;
}

function endRecords(entries: number, offset: number, length: number): Uint8Array {
  const wide = entries >= 0xffff || offset >= full || length >= full;
  const bytes = new Uint8Array((wide ? 56 + 20 : 0) + 22);
  const view = new DataView(bytes.buffer);
  let at = 0;
  if (wide) {
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, versionMade, true);
    view.setUint16(14, 45, true);
    for (const [field, value] of [[24, entries], [32, entries], [40, length], [48, offset]] as const) view.setBigUint64(field, BigInt(value), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(offset + length), true);
    view.setUint32(72, 1, true);
    at = 76;
  }
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, Math.min(entries, 0xffff), true);
  view.setUint16(at + 10, Math.min(entries, 0xffff), true);
  view.setUint32(at + 12, Math.min(length, full), true);
  view.setUint32(at + 16, Math.min(offset, full), true);
  return bytes;
}
