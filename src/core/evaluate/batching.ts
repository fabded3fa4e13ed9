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
  /** All arrays have the sample as first axis, except those named as shared. */
  run(feeds: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  dispose(): Promise<void>;
}

export async function openRunner(
  engine: Engine, model: BatchModel, feeds: readonly string[], fetches: readonly string[], shared: ReadonlySet<string> = new Set(),
): Promise<Runner> {
  const program = await engine.compile(model.graph, feeds, fetches);
  const { fixedBatch } = model;
  return {
    run: (arrays) => (fixedBatch === undefined ? program.run(arrays) : runPieces(program, arrays, fixedBatch, shared)),
    dispose: () => program.dispose(),
  };
}

/** Bytes that one sample's values take while a model runs; an estimate from above, as engines free what they no longer need. */
export function bytesPerSample(graph: ModelGraph, values?: Iterable<string>): number {
  let bytes = 0;
  for (const name of values ?? graph.values.keys()) {
    const shape = graph.values.get(name)?.shape;
    if (!shape || graph.tensors.has(name)) continue;
    bytes += 4 * elementCount(shape.slice(1).map((dim) => dim ?? 1));
  }
  return Math.max(bytes, 4);
}

/** Samples that fit into the memory at once: at least one, at most what keeps caches warm. */
export function batchSize(memoryBytes: number, bytesEach: number, most = 256): number {
  return Math.max(1, Math.min(most, Math.floor(memoryBytes / (2 * bytesEach))));
}

/** Rows [from, to) of an array, without copying. */
export function rowsOf(array: NdArray, from: number, to: number): NdArray {
  const perRow = elementCount(array.shape.slice(1));
  return { dtype: array.dtype, shape: [to - from, ...array.shape.slice(1)], data: array.data.subarray(from * perRow, to * perRow) as NumericArray };
}

/** Arrays one behind the other on the first axis. */
export function joinRows(parts: readonly NdArray[]): NdArray {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  const make = first.data.constructor as new (length: number) => NumericArray;
  const data = new make(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data as never, at);
    at += part.data.length;
  }
  return { dtype: first.dtype, shape: [parts.reduce((sum, part) => sum + part.shape[0]!, 0), ...first.shape.slice(1)], data };
}

/** Runs piece by piece; the last piece is filled up with copies of its last sample, whose results are dropped. */
async function runPieces(
  program: Program, arrays: ReadonlyMap<string, NdArray>, batch: number, shared: ReadonlySet<string>,
): Promise<Map<string, NdArray>> {
  const sampled = [...arrays].filter(([name]) => !shared.has(name));
  const count = sampled[0]![1].shape[0]!;
  const pieces = new Map<string, NdArray[]>();
  for (let from = 0; from < count; from += batch) {
    const to = Math.min(count, from + batch);
    const feeds = new Map<string, NdArray>(arrays);
    for (const [name, array] of sampled) {
      const rows = rowsOf(array, from, to);
      const last = rowsOf(array, to - 1, to);
      feeds.set(name, to - from === batch ? rows : joinRows([rows, ...new Array<NdArray>(batch - (to - from)).fill(last)]));
    }
    for (const [name, array] of await program.run(feeds)) {
      pieces.set(name, [...(pieces.get(name) ?? []), rowsOf(array, 0, to - from)]);
    }
  }
  return new Map([...pieces].map(([name, parts]) => [name, joinRows(parts)]));
}
