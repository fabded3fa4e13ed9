import type { Engine, Program } from '../graph/engine';
import { hasHalfInControlFlow, inFloat32 } from '../graph/float32Graph';
import { freeBatch } from '../graph/freeBatch';
import type { ModelGraph, ValueInfo } from '../graph/modelGraph';
import { elementCount, type NdArray, type NumericArray } from '../graph/tensor';

/** A model as it is run on many samples at once. */
export interface BatchModel {
  readonly graph: ModelGraph;
  /** The only batch size that it takes; undefined when it takes any. */
  readonly fixedBatch?: number;
}

/** Frees a model from half precision and from a batch size that its file fixes, where that can be done; made once a graph. */
export function batchModel(graph: ModelGraph): Promise<BatchModel> {
  let model = models.get(graph);
  if (!model) models.set(graph, (model = makeBatchModel(graph)));
  return model;
}

const models = new WeakMap<ModelGraph, Promise<BatchModel>>();

async function makeBatchModel(original: ModelGraph): Promise<BatchModel> {
  // Engines compute half precision in float32 and round at the end; what is looked at inside need not be rounded. Nested
  // graphs keep half values, which only a compiled part can serve.
  const graph = hasHalfInControlFlow(original) ? original : inFloat32(original);
  const fixedBatch = batchOf(graph.inputs);
  if (fixedBatch === undefined) return { graph };
  const freed = await freeBatch(graph);
  return batchOf(freed.inputs) === undefined ? { graph: freed } : { graph, fixedBatch };
}

function batchOf(inputs: readonly ValueInfo[]): number | undefined {
  return inputs.map(({ shape }) => shape?.[0]).find((size) => typeof size === 'number');
}

/** A compiled part of a model that takes any number of samples, whatever batch the model itself takes. */
export interface Runner {
  /** All arrays go by samples, on the axis that was said for them, except those named as shared. */
  run(feeds: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  dispose(): Promise<void>;
}

export async function openRunner(
  engine: Engine, model: BatchModel, feeds: readonly string[], fetches: readonly string[], shared: ReadonlySet<string> = new Set(),
  axisOf: (value: string) => number = () => 0,
): Promise<Runner> {
  const program = await engine.compile(model.graph, feeds, fetches);
  const { fixedBatch } = model;
  return {
    run: (arrays) => (fixedBatch === undefined ? program.run(arrays) : runPieces(program, arrays, fixedBatch, { shared, axisOf })),
    dispose: () => program.dispose(),
  };
}

/** Bytes that one sample's values take while a model runs; an estimate from above, as engines free what they no longer need. */
export function bytesPerSample(graph: ModelGraph, values?: Iterable<string>): number {
  let bytes = 0;
  for (const name of values ?? graph.values.keys()) {
    const shape = graph.values.get(name)?.shape;
    if (!shape || graph.tensors.has(name)) continue;
    // A first axis of known size is the batch, unless the open one stands elsewhere (time first).
    const each = shape[0] !== null && shape.includes(null) ? shape : shape.slice(1);
    bytes += 4 * elementCount(each.map((dim) => dim ?? 1));
  }
  return Math.max(bytes, 4);
}

/** Samples that fit into the memory at once: at least one, at most what keeps caches warm. */
export function batchSize(memoryBytes: number, bytesEach: number, most = 256): number {
  return Math.max(1, Math.min(most, Math.floor(memoryBytes / (2 * bytesEach))));
}

/** Rows [from, to) of an array; without copying when they are on its first axis. */
export function rowsOf(array: NdArray, from: number, to: number, axis = 0): NdArray {
  const shape = array.shape.map((size, at) => (at === axis ? to - from : size));
  const perRow = elementCount(array.shape.slice(axis + 1));
  if (axis === 0) return { dtype: array.dtype, shape, data: array.data.subarray(from * perRow, to * perRow) as NumericArray };
  const data = like(array, elementCount(shape));
  const size = array.shape[axis]!;
  const blocks = elementCount(shape.slice(0, axis));
  for (let block = 0; block < blocks; block++) {
    const start = (block * size + from) * perRow;
    data.set(array.data.subarray(start, start + (to - from) * perRow) as never, block * (to - from) * perRow);
  }
  return { dtype: array.dtype, shape, data };
}

/** Arrays one behind the other on an axis. */
export function joinRows(parts: readonly NdArray[], axis = 0): NdArray {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  const shape = first.shape.map((size, at) => (at === axis ? rows : size));
  const data = like(first, elementCount(shape));
  const perRow = elementCount(shape.slice(axis + 1));
  const blocks = elementCount(shape.slice(0, axis));
  let row = 0;
  for (const part of parts) {
    const each = part.shape[axis]! * perRow;
    for (let block = 0; block < blocks; block++) {
      data.set(part.data.subarray(block * each, (block + 1) * each) as never, (block * rows + row) * perRow);
    }
    row += part.shape[axis]!;
  }
  return { dtype: first.dtype, shape, data };
}

function like(array: NdArray, length: number): NumericArray {
  return new (array.data.constructor as new (length: number) => NumericArray)(length);
}

/** Runs piece by piece; the last piece is filled up with copies of its last sample, whose results are dropped. */
async function runPieces(
  program: Program, arrays: ReadonlyMap<string, NdArray>, batch: number,
  { shared, axisOf }: { readonly shared: ReadonlySet<string>; readonly axisOf: (value: string) => number },
): Promise<Map<string, NdArray>> {
  const sampled = [...arrays].filter(([name]) => !shared.has(name));
  const [name, array] = sampled[0]!;
  const count = array.shape[axisOf(name)]!;
  const pieces = new Map<string, NdArray[]>();
  for (let from = 0; from < count; from += batch) {
    const to = Math.min(count, from + batch);
    const feeds = new Map<string, NdArray>(arrays);
    for (const [fed, values] of sampled) {
      const axis = axisOf(fed);
      const rows = rowsOf(values, from, to, axis);
      const last = rowsOf(values, to - 1, to, axis);
      feeds.set(fed, to - from === batch ? rows : joinRows([rows, ...new Array<NdArray>(batch - (to - from)).fill(last)], axis));
    }
    for (const [fetched, values] of await program.run(feeds)) {
      pieces.set(fetched, [...(pieces.get(fetched) ?? []), rowsOf(values, 0, to - from, axisOf(fetched))]);
    }
  }
  return new Map([...pieces].map(([fetched, parts]) => [fetched, joinRows(parts, axisOf(fetched))]));
}
