import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { bytesPerElement, elementCount, type DType } from '../../graph/tensor';
import { shapeObjection } from '../storedTensor';

export interface NpyHeader {
  /** undefined: a type that is not read (`descr` says which). */
  readonly dtype: Exclude<DType, 'string'> | undefined;
  /** NumPy's own word: '<f4'. */
  readonly descr: string;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  readonly dataOffset: number;
}

const dtypes: Readonly<Record<string, Exclude<DType, 'string'>>> = {
  f2: 'float16', f4: 'float32', f8: 'float64', i1: 'int8', i2: 'int16', i4: 'int32', i8: 'int64',
  u1: 'uint8', u2: 'uint16', u4: 'uint32', u8: 'uint64', b1: 'bool', c8: 'complex64', c16: 'complex128',
};

const largestHeaderBytes = 1 << 20;

/** Reads the header of a .npy file. Rejects with a ParticlizeError when it is damaged or the file too short for its shape. */
export async function readNpy(source: ByteSource): Promise<NpyHeader> {
  const fail = (cause: string): never => {
    throw new ParticlizeError({ file: source.name, cause, action: 'The file may be cut off or damaged' });
  };
  if (source.sizeBytes < 12) fail('it is too short for a NumPy array');
  const head = await source.read(0, 12);
  if (new TextDecoder('latin1').decode(head.subarray(0, 6)) !== '\x93NUMPY') fail('it is not a NumPy array');
  const view = new DataView(head.buffer, head.byteOffset);
  const wide = head[6]! > 1;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = wide ? 12 : 10;
  if (length > largestHeaderBytes || start + length > source.sizeBytes) fail(`a header of ${length} bytes cannot be`);
  const text = new TextDecoder().decode(await source.read(start, length));
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1] ?? /'descr':\s*(\[.*?\])/s.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape':\s*\(([^)]*)\)/.exec(text)?.[1];
  if (descr === undefined || !order || sizes === undefined) return fail('its header lacks type, order or shape');
  const shape = sizes.split(',').map((part) => part.trim().replace(/L$/, '')).filter(Boolean).map(Number);
  const objection = shapeObjection(shape);
  if (objection) fail(objection);
  const plain = /^([<>=|])([a-z]\d+)$/.exec(descr);
  const dtype = plain && Object.hasOwn(dtypes, plain[2]!) ? dtypes[plain[2]!] : undefined;
  const dataOffset = start + length;
  if (dtype && dataOffset + elementCount(shape) * bytesPerElement[dtype] > source.sizeBytes) {
    fail(`${source.sizeBytes - dataOffset} bytes do not hold ${descr} of shape [${shape.join(', ')}]`);
  }
  return { dtype, descr, bigEndian: plain?.[1] === '>', fortranOrder: order === 'True', shape, dataOffset };
}

/** A .npy header of version 1 in row-major order, padded as NumPy pads it. */
export function npyHeader(descr: string, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = new TextEncoder().encode(`\0NUMPY\x01\0\0\0${text.padEnd(length - 11)}\n`);
  bytes[0] = 0x93;
  new DataView(bytes.buffer).setUint16(8, length - 10, true);
  return bytes;
}
