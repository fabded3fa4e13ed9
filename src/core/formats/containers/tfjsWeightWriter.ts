import { asFloat32 } from '../../graph/numeric';
import { elementCount, type NdArray } from '../../graph/tensor';
import type { SavedFile } from '../format';
import { isObject, type JsonObject } from './json';
import type { TfjsWeight, TfjsWeightGroup } from './tfjsWeights';

/** New contents of a weight, in the file's layout. */
export interface Replacement {
  readonly shape: readonly number[];
  read(): Promise<NdArray>;
}

const chunkBytes = 4 * 2 ** 20;

/**
 * The shards of a group with some weights replaced: the same order and the same cuts, as far as the bytes reach. What
 * is not replaced is copied byte for byte; a replaced weight that was quantised becomes float32. Corrects the group's
 * `entry` of the manifest in place and counts the corrections.
 */
export function writeTfjsGroup(
  group: TfjsWeightGroup, entry: JsonObject,
  { replacement, rename }: { replacement(weight: TfjsWeight): Replacement | undefined; rename(path: string): string },
): { readonly files: readonly SavedFile[]; readonly changes: number } {
  let changes = 0;
  const parts = group.weights.map((weight, index): Part => {
    const replaced = replacement(weight);
    if (!replaced) return copiedPart(group, weight);
    const listed = Array.isArray(entry.weights) ? entry.weights[index] : undefined;
    if (isObject(listed)) changes += correct(listed, replaced.shape);
    return replacedPart(weight, replaced);
  });
  const total = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  const cuts = shardCuts(group, total);
  const names = group.paths.slice(0, cuts.length).map(rename);
  if (JSON.stringify(names) !== JSON.stringify(entry.paths)) {
    entry.paths = names;
    changes++;
  }
  const files = cuts.map(([from, to], index): SavedFile => ({
    name: names[index]!.replace(/^(\.\/)+/, ''), sizeBytes: to - from, chunks: () => bytesBetween(parts, from, to),
  }));
  return { files, changes };
}

interface Part {
  readonly sizeBytes: number;
  /** Bytes [from, to) of the weight. */
  chunks(from: number, to: number): AsyncIterable<Uint8Array>;
}

function copiedPart(group: TfjsWeightGroup, { offset, sizeBytes }: TfjsWeight): Part {
  return {
    sizeBytes,
    async* chunks(from, to) {
      for (let at = from; at < to; at += chunkBytes) yield group.bytes.read(offset + at, Math.min(chunkBytes, to - at));
    },
  };
}

function replacedPart(weight: TfjsWeight, { shape, read }: Replacement): Part {
  const bytesEach = weight.dtype === 'uint8' || weight.dtype === 'bool' ? 1 : 4;
  return {
    sizeBytes: elementCount(shape) * bytesEach,
    async* chunks(from, to) {
      const { buffer, byteOffset } = encode(await read(), weight.dtype);
      yield new Uint8Array(buffer, byteOffset + from, to - from);
    },
  };
}

function encode(array: NdArray, dtype: TfjsWeight['dtype']): Float32Array | Int32Array | Uint8Array {
  if (dtype === 'int32') return array.data instanceof Int32Array ? array.data : Int32Array.from(asFloat32(array));
  if (dtype === 'uint8' || dtype === 'bool') return array.data instanceof Uint8Array ? array.data : Uint8Array.from(asFloat32(array));
  return asFloat32(array);
}

function correct(listed: JsonObject, shape: readonly number[]): number {
  let changes = 0;
  if (JSON.stringify(listed.shape) !== JSON.stringify(shape)) {
    listed.shape = [...shape];
    changes++;
  }
  if (listed.quantization !== undefined || listed.dtype === 'float16') {
    delete listed.quantization;
    if (listed.dtype === 'float16') listed.dtype = 'float32';
    changes++;
  }
  return changes;
}

/** Every shard keeps its size while there are bytes; the last takes what is left; shards without bytes are left out. */
function shardCuts(group: TfjsWeightGroup, total: number): readonly (readonly [from: number, to: number])[] {
  const cuts: (readonly [number, number])[] = [];
  let from = 0;
  group.shardSizes.forEach((size, index) => {
    const last = index === group.shardSizes.length - 1;
    const to = last ? total : Math.min(from + size, total);
    if (to > from || (size === 0 && !last) || index === 0) cuts.push([from, to]);
    from = to;
  });
  return cuts;
}

async function* bytesBetween(parts: readonly Part[], from: number, to: number): AsyncIterable<Uint8Array> {
  let start = 0;
  for (const part of parts) {
    const first = Math.max(from, start);
    const end = Math.min(to, start + part.sizeBytes);
    if (first < end) yield* part.chunks(first - start, end - start);
    start += part.sizeBytes;
  }
}
