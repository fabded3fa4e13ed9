import type { ByteSource, FileSet } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import { asFloat32 } from '../../graph/numeric';
import { elementCount, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import { isObject, type Json, type JsonObject } from './json';

/** How a weight was squeezed by the TF.js converter: value = stored * scale + min, or plain float16. */
export interface Quantization {
  readonly dtype: 'uint8' | 'uint16' | 'float16';
  readonly scale: number;
  readonly min: number;
}

export interface TfjsWeight {
  readonly name: string;
  readonly dtype: 'float32' | 'int32' | 'uint8' | 'bool' | 'float16';
  /** In the file's own layout. */
  readonly shape: readonly number[];
  readonly quantization?: Quantization;
  /** Position in the bytes of its group. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** One entry of the weights manifest: shards that are one run of bytes, cut anywhere. */
export interface TfjsWeightGroup {
  readonly paths: readonly string[];
  readonly shardSizes: readonly number[];
  readonly weights: readonly TfjsWeight[];
  /** All shards, one behind the other. */
  readonly bytes: ByteSource;
}

/**
 * Opens the shards of a TF.js weights manifest and checks that they hold what it promises; reads no weight.
 * Rejects with a ParticlizeError naming the shard and the first weight that it should hold.
 */
export async function openTfjsWeights(files: FileSet, manifest: Json | undefined): Promise<readonly TfjsWeightGroup[]> {
  const file = files.main.name;
  if (manifest === undefined) return [];
  if (!Array.isArray(manifest)) throw new ParticlizeError({ file, place: 'weightsManifest', cause: 'it is not a list of groups' });
  const groups: TfjsWeightGroup[] = [];
  for (const [index, entry] of manifest.entries()) groups.push(await openGroup(files, entry, `weightsManifest[${index}]`));
  return groups;
}

/** The weight as a lazy tensor in the file's layout; quantised ones are decoded when read. */
export function tfjsTensor(group: TfjsWeightGroup, weight: TfjsWeight): Tensor {
  const { name, shape, quantization, offset, sizeBytes } = weight;
  const dtype = quantization && weight.dtype === 'float16' ? 'float32' : weight.dtype;
  return {
    name, dtype, shape,
    stored: quantization ? undefined
      : { source: group.bytes, offset, sizeBytes, shape, axes: shape.map((_, axis) => axis) },
    async read() {
      const bytes = await group.bytes.read(offset, sizeBytes);
      return quantization ? dequantise(bytes, weight, quantization) : view(bytes, dtype, shape);
    },
  };
}

async function openGroup(files: FileSet, entry: Json, place: string): Promise<TfjsWeightGroup> {
  const file = files.main.name;
  const paths = isObject(entry) && Array.isArray(entry.paths) ? entry.paths : undefined;
  const listed = isObject(entry) && Array.isArray(entry.weights) ? entry.weights : undefined;
  if (!paths?.every((path): path is string => typeof path === 'string') || !listed) {
    throw new ParticlizeError({ file, place, cause: 'it does not list paths and weights' });
  }
  const weights: TfjsWeight[] = [];
  let end = 0;
  for (const item of listed) {
    const weight = parseWeight(item, end, file, place);
    weights.push(weight);
    end += weight.sizeBytes;
  }
  const first = weights[0]?.name ?? 'none';
  const shards = await Promise.all(paths.map((path) => openShard(files, path, first)));
  const total = shards.reduce((sum, shard) => sum + shard.sizeBytes, 0);
  if (total !== end) throw wrongSize(file, shards, weights, total, end);
  return {
    paths, weights,
    shardSizes: shards.map((shard) => shard.sizeBytes),
    bytes: shards.length === 1 ? shards[0]! : new JoinedBytes(shards),
  };
}

async function openShard(files: FileSet, path: string, weight: string): Promise<ByteSource> {
  try {
    return await files.sibling(path.replace(/^(\.\/)+/, ''));
  } catch (error) {
    throw new ParticlizeError({
      file: files.main.name, place: `weight ${weight}`,
      cause: `the weight file '${path}' cannot be opened`,
      action: `Put it into the same folder as ${files.main.name}`,
    }, { cause: error });
  }
}

function wrongSize(
  file: string, shards: readonly ByteSource[], weights: readonly TfjsWeight[], total: number, expected: number,
): ParticlizeError {
  const cut = weights.find((weight) => weight.offset + weight.sizeBytes > total) ?? weights[weights.length - 1];
  const names = shards.map((shard) => shard.name);
  return new ParticlizeError({
    file, place: `weight ${cut?.name ?? 'none'}`,
    cause: names.length === 1
      ? `the weight file '${names[0]}' has ${total} bytes where the manifest wants ${expected}`
      : `the weight files '${names[0]}' to '${names[names.length - 1]}' have ${total} bytes where the manifest wants ${expected}`,
    action: 'Copy the weight files again, they were cut or belong to another model',
  });
}

const elementBytes: Readonly<Record<string, number>> = { float32: 4, int32: 4, uint8: 1, bool: 1, float16: 2, uint16: 2 };

function parseWeight(item: Json, offset: number, file: string, place: string): TfjsWeight {
  const name = isObject(item) && typeof item.name === 'string' ? item.name : undefined;
  if (!isObject(item) || name === undefined) throw new ParticlizeError({ file, place, cause: 'a weight has no name' });
  const where = `weight ${name}`;
  const { shape, dtype } = item;
  const isSize = (size: Json): size is number => typeof size === 'number' && Number.isInteger(size) && size >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize) || !Number.isSafeInteger(elementCount(shape) * 8)) {
    throw new ParticlizeError({ file, place: where, cause: `its shape ${JSON.stringify(shape)} is not a list of sizes` });
  }
  if (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'uint8' && dtype !== 'bool' && dtype !== 'float16') {
    throw new ParticlizeError({ file, place: where, cause: `weights of type ${JSON.stringify(dtype)} are not supported` });
  }
  const quantization = item.quantization === undefined ? undefined : parseQuantization(item.quantization, file, where);
  const sizeBytes = elementCount(shape) * (elementBytes[quantization?.dtype ?? dtype] ?? 4);
  return { name, dtype, shape, quantization, offset, sizeBytes };
}

function parseQuantization(item: Json, file: string, place: string): Quantization {
  const { dtype, scale, min } = isObject(item) ? item : ({} as JsonObject);
  if (dtype === 'float16') return { dtype, scale: 1, min: 0 };
  if ((dtype === 'uint8' || dtype === 'uint16') && typeof scale === 'number' && typeof min === 'number') {
    return { dtype, scale, min };
  }
  throw new ParticlizeError({ file, place, cause: `its quantization ${JSON.stringify(item)} is not supported` });
}

function dequantise(bytes: Uint8Array, weight: TfjsWeight, { dtype, scale, min }: Quantization): NdArray {
  const { shape } = weight;
  const stored = view(bytes, dtype, shape);
  if (dtype === 'float16') return { dtype: 'float32', shape, data: asFloat32(stored) };
  const count = stored.data.length;
  const data = weight.dtype === 'int32' ? new Int32Array(count) : new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const value = Number(stored.data[index]) * scale + min;
    data[index] = weight.dtype === 'int32' ? Math.round(value) : value;
  }
  return { dtype: weight.dtype === 'int32' ? 'int32' : 'float32', shape, data };
}

function view(bytes: Uint8Array, dtype: DType, shape: readonly number[]): NdArray {
  // Weights start at any byte; typed arrays want theirs aligned.
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  if (dtype === 'float32') return { dtype, shape, data: new Float32Array(buffer, byteOffset, byteLength / 4) };
  if (dtype === 'int32') return { dtype, shape, data: new Int32Array(buffer, byteOffset, byteLength / 4) };
  if (dtype === 'float16' || dtype === 'uint16') {
    return { dtype, shape, data: new Uint16Array(buffer, byteOffset, byteLength / 2) };
  }
  return { dtype, shape, data: aligned };
}

/** Several files as if they were one. */
class JoinedBytes implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;

  constructor(private readonly parts: readonly ByteSource[]) {
    this.name = parts.map((part) => part.name).join(' + ');
    this.sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new ParticlizeError({
        file: this.name, place: `byte ${offset}`, cause: `${length} bytes do not lie in its ${this.sizeBytes}`,
      });
    }
    const result = new Uint8Array(length);
    let start = 0;
    for (const part of this.parts) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + part.sizeBytes);
      if (from < to) result.set(await part.read(from - start, to - from), from - offset);
      start += part.sizeBytes;
    }
    return result;
  }
}
