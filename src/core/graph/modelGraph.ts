import type { Finding } from './errors';
import type { DType, NdArray, Tensor } from './tensor';

/** A size; null is unknown until the model runs (batch, time). */
export type Dim = number | null;
export type Shape = readonly Dim[];

export interface ValueInfo {
  readonly name: string;
  readonly dtype?: DType;
  readonly shape?: Shape;
  /** The number that every element is, where that follows without running. */
  readonly fill?: number;
}

export type Attribute =
  | { readonly type: 'int' | 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints' | 'floats'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensor'; readonly value: NdArray }
  /** A nested graph (If, Loop, Scan): opaque bytes for the engine, plus the outer values it reads. */
  | { readonly type: 'graph'; readonly value: Uint8Array; readonly captures: readonly string[] }
  /** Anything else, carried through untouched (an encoded AttributeProto). */
  | { readonly type: 'raw'; readonly value: Uint8Array };

export type Attributes = Readonly<Record<string, Attribute>>;

/**
 * One operator, in ONNX's vocabulary and semantics whatever file it came from: the operator names, attributes and
 * input order of the ONNX standard at `ModelGraph.opset` (18 or later: readers upgrade older nodes).
 */
export interface GraphNode {
  /** Unique in the graph. */
  readonly name: string;
  readonly op: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  /** Value or tensor names; '' is an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  /** Name of the layer it is part of. */
  readonly layer: string;
}

/** A layer as the user's file knows it: one or more nodes (a Keras Conv2D with its transposes, bias and activation). */
export interface Layer {
  /** Unique; folders separated by '/' or '.', as in the file. */
  readonly name: string;
  /** The file's own word: 'Conv', 'Conv2D', 'nn.Linear'. */
  readonly type: string;
  readonly nodes: readonly string[];
  /** Weights that belong to it, by tensor name. */
  readonly tensors: readonly string[];
  /** In the file's own convention (Keras: channels last). */
  readonly outputShape?: Shape;
}

/** What every file format becomes. Immutable: surgery and differentiation make new graphs. */
export interface ModelGraph {
  /** Format id ('onnx', 'tfjs-layers', ...) whose writer can save it. */
  readonly format: string;
  readonly producer: string;
  readonly opset: number;
  /** Versions of the other operator domains in use. */
  readonly domains?: Readonly<Record<string, number>>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly Layer[];
  /** Facts about every value that could be inferred, by name. */
  readonly values: ReadonlyMap<string, ValueInfo>;
  /** Contents of small integer values known without running (shape arithmetic), by name. */
  readonly constants: ReadonlyMap<string, readonly Dim[]>;
  readonly findings: readonly Finding[];
  /** The reader's own record of the file, for its writer; nobody else looks inside. */
  readonly origin: unknown;
}

/** Producer and consumers of every value, made once per graph. */
export interface GraphIndex {
  readonly producer: ReadonlyMap<string, GraphNode>;
  readonly consumers: ReadonlyMap<string, readonly GraphNode[]>;
  readonly node: ReadonlyMap<string, GraphNode>;
  readonly layer: ReadonlyMap<string, Layer>;
}

const indexes = new WeakMap<ModelGraph, GraphIndex>();

export function indexOf(graph: ModelGraph): GraphIndex {
  let index = indexes.get(graph);
  if (!index) indexes.set(graph, (index = buildIndex(graph)));
  return index;
}

function buildIndex(graph: ModelGraph): GraphIndex {
  const producer = new Map<string, GraphNode>();
  const consumers = new Map<string, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output) producer.set(output, node);
    for (const input of new Set(node.inputs)) {
      if (!input) continue;
      const list = consumers.get(input);
      if (list) list.push(node);
      else consumers.set(input, [node]);
    }
  }
  return {
    producer,
    consumers,
    node: new Map(graph.nodes.map((node) => [node.name, node])),
    layer: new Map(graph.layers.map((layer) => [layer.name, layer])),
  };
}
