import type { ByteSource } from '../graph/byteSource';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import type { WeightSlice } from '../graph/ops/operator';
import type { Tensor } from '../graph/tensor';
import type { ParticleTable } from '../particles/particleTable';
import type { AttributeFamily } from './attribute';
import { isOwnWeight, particleOf } from './particleWeights';
import { orderOf, type PieceSums } from './sums/sumPieces';
import { cutIntoPieces, geometryOf, pieceElementCount, summableInFile, type WeightGeometry, type WeightPiece } from './sums/weightPieces';
import { newOrders, summerInThread, type SumJob, type WeightSummer } from './sums/weightSummer';

/**
 * Norms, moments and sparsity of each particle's own weights, biases left out. Weights are summed as they lie in the
 * file, in one pass over it, in float64; what is read twice is the part of a layer in which its largest magnitude turned
 * out to be of a higher order than the part before it had (a weight is near zero when its magnitude is at most 2^-10 of
 * the largest power of two up to the layer's largest magnitude, so 1/1024 to 1/2048 of that).
 */
export const weightStatistics: AttributeFamily = {
  columns: [
    { name: 'l1', title: 'L1 norm', unit: '', scale: 'sequential', meaning: 'Sum of the magnitudes of the particle\'s weights.' },
    { name: 'l2', title: 'L2 norm', unit: '', scale: 'sequential', meaning: 'Square root of the sum of the squares of the particle\'s weights.' },
    { name: 'weightMean', title: 'Weight mean', unit: '', scale: 'diverging', meaning: 'Average of the particle\'s weights.' },
    { name: 'weightDeviation', title: 'Weight deviation', unit: '', scale: 'sequential', meaning: 'Standard deviation of the particle\'s weights around their mean.' },
    { name: 'weightMax', title: 'Largest weight', unit: '', scale: 'sequential', meaning: 'Largest magnitude among the particle\'s weights.' },
    { name: 'nearZero', title: 'Near-zero weights', unit: 'share', scale: 'sequential', meaning: 'Share of the particle\'s weights that are ten binary orders (about a thousand times) smaller than the largest weight of its layer.' },
  ],
  async compute(graph, table, task, services) {
    const sums = table.groups.map(({ count }) => new Sums(count));
    const parts = partsOf(graph, table);
    const orders = newOrders(sums.length);
    const counts = new Map<Part, Pick<PieceSums, 'small' | 'order'>>();
    const count = (part: Part, { small, order }: PieceSums): void => void counts.set(part, { small: small.slice(), order });
    const summer = services?.summer ?? summerInThread;
    await sumParts(parts, summer, orders, (part, result) => {
      sums[part.weight.group]!.add(part, result);
      count(part, result);
    }, task);
    const final = sums.map((group) => orderOf(group.largestOfAll()));
    orders.set(final);
    await sumParts(parts.filter((part) => counts.get(part)!.order !== final[part.weight.group]), summer, orders, count, task);
    for (const [part, { small }] of counts) sums[part.weight.group]!.addSmall(part, small);
    return columnsOf(table, sums);
  },
};

/** A weight in which a group's particles are slices, seen as [outer, size, inner] as it lies in the file. */
interface Weight {
  readonly group: number;
  readonly tensor: Tensor;
  readonly slice: WeightSlice;
  readonly geometry: WeightGeometry;
  readonly inFile: boolean;
}

interface Part {
  readonly weight: Weight;
  readonly piece: WeightPiece;
}

function partsOf(graph: ModelGraph, table: ParticleTable): Part[] {
  const parts: Part[] = [];
  for (const [group, { slices }] of table.groups.entries()) {
    for (const slice of slices) {
      const tensor = graph.tensors.get(slice.tensor);
      if (!isOwnWeight(slice) || !tensor) continue;
      const inFile = summableInFile(tensor);
      const { shape, axis } = inFile ? { shape: tensor.stored!.shape, axis: tensor.stored!.axes[slice.axis]! } : { shape: tensor.shape, axis: slice.axis };
      const weight: Weight = { group, tensor, slice, geometry: geometryOf(shape, axis), inFile };
      const place = inFile ? { dtype: tensor.dtype, offset: tensor.stored!.offset } : { dtype: 'float32' as const, offset: 0 };
      for (const piece of cutIntoPieces(place, weight.geometry)) parts.push({ weight, piece });
    }
  }
  return parts;
}

/** Those in files together, so that all threads have work; the others tensor by tensor, so that one at a time is in memory. */
async function sumParts(
  parts: readonly Part[], summer: WeightSummer, orders: Int32Array, done: (part: Part, sums: PieceSums) => void, task: Task | undefined,
): Promise<void> {
  const total = parts.reduce((sum, { piece }) => sum + pieceElementCount(piece), 0);
  let summed = 0;
  const run = (some: readonly Part[], how: WeightSummer, sourceOf: (part: Part) => ByteSource): Promise<void> => {
    const jobs = some.map((part): SumJob => ({ piece: part.piece, source: sourceOf(part), order: part.weight.group }));
    return how.run(jobs, orders, (job, sums) => {
      done(some[job]!, sums);
      summed += pieceElementCount(some[job]!.piece);
      task?.progress?.(summed, total, 'weights');
    }, { signal: task?.signal });
  };
  await run(parts.filter(({ weight }) => weight.inFile), summer, ({ weight }) => weight.tensor.stored!.source);
  const elsewhere = parts.filter(({ weight }) => !weight.inFile);
  for (const weight of new Set(elsewhere.map((part) => part.weight))) {
    throwIfCancelled(task);
    const source = inMemory(weight.tensor.name, asFloat32(await weight.tensor.read()));
    await run(elsewhere.filter((part) => part.weight === weight), summerInThread, () => source);
  }
}

function inMemory(name: string, values: Float32Array): ByteSource {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, sizeBytes: bytes.length, read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)) };
}

/** The sums of one layer's particles. */
class Sums {
  private readonly count: Float64Array;
  private readonly sum: Float64Array;
  private readonly magnitude: Float64Array;
  private readonly square: Float64Array;
  private readonly small: Float64Array;
  private readonly largest: Float32Array;

  constructor(particles: number) {
    this.count = new Float64Array(particles);
    this.sum = new Float64Array(particles);
    this.magnitude = new Float64Array(particles);
    this.square = new Float64Array(particles);
    this.small = new Float64Array(particles);
    this.largest = new Float32Array(particles);
  }

  add(part: Part, sums: PieceSums): void {
    forEachEntry(part, (entry, particle, elements) => {
      this.count[particle]! += elements;
      this.sum[particle]! += sums.sum[entry]!;
      this.magnitude[particle]! += sums.magnitude[entry]!;
      this.square[particle]! += sums.square[entry]!;
      this.largest[particle] = Math.max(this.largest[particle]!, sums.largest[entry]!);
    });
  }

  addSmall(part: Part, small: Int32Array): void {
    forEachEntry(part, (entry, particle) => (this.small[particle]! += small[entry]!));
  }

  largestOfAll(): number {
    return this.largest.reduce((largest, value) => Math.max(largest, value), 0);
  }

  /** l1, l2, mean, deviation, largest, near-zero share; undefined for a particle without weights. */
  of(particle: number): readonly number[] | undefined {
    const count = this.count[particle]!;
    if (count === 0) return undefined;
    const mean = this.sum[particle]! / count;
    const square = this.square[particle]!;
    const deviation = Math.sqrt(Math.max(0, square / count - mean * mean));
    return [this.magnitude[particle]!, Math.sqrt(square), mean, deviation, this.largest[particle]!, this.small[particle]! / count];
  }
}

/** Visits the entries of a piece's window with the particle each belongs to and how many elements of it are in the piece. */
function forEachEntry({ weight, piece }: Part, visit: (entry: number, particle: number, elements: number) => void): void {
  const { slice, geometry: { size, inner } } = weight;
  for (let entry = 0; entry < piece.entries; entry++) {
    const at = piece.firstEntry + entry;
    if (piece.kind === 'columns') visit(entry, particleOf(slice, Math.floor(at / inner)), piece.rows);
    else visit(entry, particleOf(slice, at), elementsUpTo(piece.end, at, size, inner) - elementsUpTo(piece.start, at, size, inner));
  }
}

/** How many of the first `end` elements of [outer, size, inner] have this index on the middle axis. */
function elementsUpTo(end: number, index: number, size: number, inner: number): number {
  const blocks = Math.floor(end / (size * inner));
  const rest = end - blocks * size * inner - index * inner;
  return blocks * inner + Math.min(Math.max(rest, 0), inner);
}

function columnsOf(table: ParticleTable, sums: readonly Sums[]): Float32Array[] {
  const columns = weightStatistics.columns.map(() => table.emptyValues());
  for (const [group, { firstRow, count }] of table.groups.entries()) {
    for (let particle = 0; particle < count; particle++) {
      sums[group]!.of(particle)?.forEach((value, column) => (columns[column]![firstRow + particle] = value));
    }
  }
  return columns;
}
