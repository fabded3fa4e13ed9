import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { allocate } from '../../graph/numeric';
import { elementCount, type DType, type NdArray } from '../../graph/tensor';
import { checkSize, inMemory, singleArray, type ArraySource, type DataFormat } from '../arraySource';
import { elementsOf, fromFortran } from '../elements';

/** NumPy's `.npy` (format versions 1 to 3): rows are read from the file when asked for, unless column-major. */
export const npy: DataFormat = {
  title: 'NumPy array',
  match: (_, head) => hasMagic(head),
  open: async (source, memoryBytes) => singleArray(await openNpy(source, memoryBytes)),
};

export async function openNpy(source: ByteSource, memoryBytes: number): Promise<ArraySource> {
  const header = await readHeader(source);
  const { kind, shape, offset } = header;
  const count = elementCount(shape);
  const sizeBytes = count * kind.size;
  if (!Number.isSafeInteger(sizeBytes) || offset + sizeBytes > source.sizeBytes) {
    throw new ParticlizeError({
      file: source.name,
      cause: `the array should have ${count} elements of ${kind.size} bytes, but the file has ${source.sizeBytes - offset} bytes for them`,
      action: 'The file is cut off or damaged; save it again',
    });
  }
  if (kind.text) {
    checkSize(sizeBytes, memoryBytes, source.name);
    return textArray(await source.read(offset, sizeBytes), header, source.name);
  }
  const { dtype } = kind;
  if (header.fortran && shape.length > 1) {
    checkSize(2 * sizeBytes, memoryBytes, source.name);
    const data = elementsOf(await source.read(offset, sizeBytes), dtype, kind.bigEndian);
    return inMemory({ dtype, shape, data: fromFortran(data, shape) });
  }
  const rowBytes = kind.size * elementCount(shape.slice(1));
  return {
    dtype, shape,
    async rows(from, to): Promise<NdArray> {
      checkSize((to - from) * rowBytes, memoryBytes, source.name);
      const bytes = await source.read(offset + from * rowBytes, (to - from) * rowBytes);
      return { dtype, shape: [to - from, ...shape.slice(1)], data: elementsOf(bytes, dtype, kind.bigEndian) };
    },
  };
}

export function hasMagic(head: Uint8Array): boolean {
  return head[0] === 0x93 && String.fromCharCode(...head.subarray(1, 6)) === 'NUMPY';
}

interface NpyHeader {
  readonly kind: ElementKind;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  readonly offset: number;
}

interface ElementKind {
  readonly dtype: DType;
  readonly size: number;
  readonly bigEndian: boolean;
  /** Fixed-width text: UTF-32 or bytes. */
  readonly text?: 'U' | 'S';
}

async function readHeader(source: ByteSource): Promise<NpyHeader> {
  const start = await source.read(0, Math.min(12, source.sizeBytes));
  if (!hasMagic(start) || start.length < 10) throw refuse(source.name, 'it does not start as a NumPy array does');
  const version = start[6]!;
  const long = version >= 2;
  const length = long ? start[8]! + start[9]! * 2 ** 8 + (start[10] ?? 0) * 2 ** 16 + (start[11] ?? 0) * 2 ** 24 : start[8]! + start[9]! * 256;
  const headerStart = long ? 12 : 10;
  if (length > 1 << 20 || headerStart + length > source.sizeBytes) throw refuse(source.name, 'its header is cut off');
  const text = new TextDecoder(version >= 3 ? 'utf-8' : 'latin1').decode(await source.read(headerStart, length));
  const fortran = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const shapeText = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  if (descr === undefined && /'descr'\s*:\s*\[/.test(text)) {
    throw refuse(source.name, 'it holds records with several fields', 'Save each field as an array of its own');
  }
  if (fortran === undefined || shapeText === undefined || descr === undefined) {
    throw refuse(source.name, 'its header cannot be read');
  }
  const shape = shapeText.split(',').map((part) => part.replace('L', '').trim()).filter(Boolean).map(Number);
  return { kind: elementKind(descr, source.name), fortran: fortran === 'True', shape, offset: headerStart + length };
}

const dtypes: Readonly<Record<string, DType>> = {
  f2: 'float16', f4: 'float32', f8: 'float64', i1: 'int8', i2: 'int16', i4: 'int32', i8: 'int64',
  u1: 'uint8', u2: 'uint16', u4: 'uint32', u8: 'uint64', b1: 'bool',
};

function elementKind(descr: string, file: string): ElementKind {
  const match = /^([<>|=]?)([a-zA-Z])(\d*)$/.exec(descr);
  const [, order = '', letter = '', digits = ''] = match ?? [];
  const bigEndian = order === '>';
  if ((letter === 'U' || letter === 'S') && Number(digits) > 0) {
    return { dtype: 'int32', size: Number(digits) * (letter === 'U' ? 4 : 1), bigEndian, text: letter };
  }
  const dtype = dtypes[letter + digits];
  if (dtype) return { dtype, size: Number(digits), bigEndian };
  if (letter === 'O') {
    throw refuse(file, 'it holds Python objects, which are not data but a program', 'Save it as numbers');
  }
  throw refuse(file, `its elements are '${descr}', which is not a plain number or text`, 'Save it as numbers');
}

function textArray(bytes: Uint8Array, { kind, shape, fortran }: NpyHeader, file: string): ArraySource {
  if (shape.length !== 1 || (fortran && shape.length > 1)) throw refuse(file, 'text is only read as a list of labels');
  const decoder = new TextDecoder('utf-8');
  const labels = Array.from({ length: shape[0]! }, (_, row) => {
    const cell = bytes.subarray(row * kind.size, (row + 1) * kind.size);
    const text = kind.text === 'S' ? decoder.decode(cell) : decodeUtf32(cell, kind.bigEndian);
    return text.replace(/\0+$/, '');
  });
  return categorical(labels);
}

/** By code point, as Python sorts. */
export function sortedDistinct(texts: Iterable<string>): string[] {
  return [...new Set(texts)].sort(byCodePoint);
}

function byCodePoint(left: string, right: string): number {
  for (let at = 0; ; ) {
    const [a, b] = [left.codePointAt(at), right.codePointAt(at)];
    if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
    if (a !== b) return a - b;
    at += a > 0xffff ? 2 : 1;
  }
}

/** Text as indices into its sorted distinct values. */
export function categorical(labels: readonly string[]): ArraySource {
  const categories = sortedDistinct(labels);
  const indexOf = new Map(categories.map((name, index) => [name, index]));
  const data = allocate('int32', labels.length);
  labels.forEach((label, row) => (data[row] = indexOf.get(label)!));
  const read = (from: number, to: number): Promise<readonly string[]> => Promise.resolve(labels.slice(from, to));
  return { ...inMemory({ dtype: 'int32', shape: [labels.length], data }, categories), text: { running: false, read } };
}

function decodeUtf32(bytes: Uint8Array, bigEndian: boolean): string {
  const points = Array.from(elementsOf(bytes, 'uint32', bigEndian), Number);
  return String.fromCodePoint(...points.map((point) => (point > 0x10ffff ? 0xfffd : point)));
}

function refuse(file: string, cause: string, action?: string): ParticlizeError {
  return new ParticlizeError({ file, cause, action });
}
