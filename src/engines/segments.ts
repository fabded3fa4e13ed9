import { readsOf } from '../core/graph/attributes';
import { isHalf } from '../core/graph/float32Graph';
import type { ModelGraph } from '../core/graph/modelGraph';
import { bytesPerElement, elementCount, type DType } from '../core/graph/tensor';

/** Consecutive nodes of a graph that are compiled, run and disposed of before the next ones. */
export interface Segment {
  /** Values that it needs: feeds of the whole, or fetches of segments before it. */
  readonly feeds: readonly string[];
  /** Values that a later segment or the caller wants of it. */
  readonly fetches: readonly string[];
}

/** Bytes that a graph needs when it runs on one sample with all its weights loaded; an estimate from above. */
export function bytesNeeded(graph: ModelGraph): number {
  let bytes = 0;
  for (const tensor of graph.tensors.values()) bytes += weightBytes(tensor);
  for (const node of graph.nodes) for (const output of node.outputs) bytes += valueBytes(graph, output);
  return bytes;
}

/**
 * Cuts a graph (of exactly what lies between feeds and fetches) into segments that each fit the budget: the weights of its
 * nodes, what they make of one sample, and what is kept across it. Cuts are few and narrow: the sum of the bytes kept at the
 * cuts and of a constant for each segment is least (dynamic programming over the nodes in their order). A node that alone needs
 * more than the budget is a segment of its own. One segment when the whole fits.
 */
export function planSegments(part: ModelGraph, fetches: readonly string[], budgetBytes: number): readonly Segment[] {
  const { nodes } = part;
  if (nodes.length === 0) return [];
  const kept = keptAtCuts(part, new Set(fetches));
  const best: { cost: number; start: number }[] = [{ cost: 0, start: 0 }];
  for (let end = 1; end <= nodes.length; end++) {
    let chosen = { cost: Infinity, start: end - 1 };
    const weights = new Set<string>();
    let bytes = 0;
    for (let start = end - 1; start >= 0; start--) {
      const node = nodes[start]!;
      for (const output of node.outputs) bytes += valueBytes(part, output);
      for (const name of readsOf(node)) {
        const tensor = part.tensors.get(name);
        if (!tensor || weights.has(name)) continue;
        weights.add(name);
        bytes += weightBytes(tensor);
      }
      if (bytes > budgetBytes && start < end - 1) break;
      if (bytes + kept[start]! > budgetBytes && start < end - 1) continue;
      const cost = best[start]!.cost + kept[start]! + segmentBytes;
      if (cost <= chosen.cost) chosen = { cost, start };
    }
    best.push(chosen);
  }
  const bounds: [number, number][] = [];
  for (let end = nodes.length; end > 0; end = best[end]!.start) bounds.unshift([best[end]!.start, end]);
  return bounds.map(([start, end]) => segmentOf(part, new Set(fetches), start, end));
}

/** What one more segment is worth in bytes kept at cuts: compiling it takes about as long as moving a megabyte. */
const segmentBytes = 2 ** 20;

/** For each position in front of a node, the bytes of one sample's values that live across it. */
function keptAtCuts(part: ModelGraph, fetches: ReadonlySet<string>): Float64Array {
  const { nodes } = part;
  const change = new Float64Array(nodes.length + 2);
  const born = new Map<string, number>(part.inputs.map(({ name }) => [name, 0]));
  const last = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of readsOf(node)) last.set(name, index);
    for (const name of node.outputs) if (name) born.set(name, index + 1);
  });
  for (const [name, from] of born) {
    // Alive at every cut behind its maker up to the one in front of its last reader.
    const to = fetches.has(name) ? nodes.length : last.get(name) ?? -1;
    if (to < from) continue;
    const bytes = valueBytes(part, name);
    change[from]! += bytes;
    change[to + 1]! -= bytes;
  }
  let sum = 0;
  return change.map((value) => (sum += value));
}

function segmentOf(part: ModelGraph, fetches: ReadonlySet<string>, start: number, end: number): Segment {
  const own = part.nodes.slice(start, end);
  const made = new Set(own.flatMap((node) => node.outputs.filter(Boolean)));
  const later = new Set(part.nodes.slice(end).flatMap(readsOf));
  const reads = new Set(own.flatMap(readsOf));
  return {
    feeds: [...reads].filter((name) => !made.has(name) && !part.tensors.has(name)),
    fetches: [...made].filter((name) => later.has(name) || fetches.has(name)),
  };
}

function weightBytes({ dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] }): number {
  return dtype === 'string' ? 0 : elementCount(shape) * (isHalf(dtype) ? 4 : bytesPerElement[dtype]);
}

/** Sizes that are unknown until the model runs count as one. */
function valueBytes(graph: ModelGraph, name: string): number {
  const info = name ? graph.values.get(name) ?? graph.inputs.find((input) => input.name === name) : undefined;
  if (!info?.shape) return 0;
  return elementCount(info.shape.map((size) => size ?? 1)) * (info.dtype === 'int64' || info.dtype === 'float64' ? 8 : 4);
}
