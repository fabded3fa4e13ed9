import { readsOf } from '../../core/graph/attributes';
import { ParticlizeError } from '../../core/graph/errors';
import { indexOf, type GraphNode, type ModelGraph } from '../../core/graph/modelGraph';
import type { DType } from '../../core/graph/tensor';
import { encodeModel, nodeMessage, tensorMessage, valueInfoMessage } from '../../core/formats/onnxEncode';

/** The part of a graph between feeds and fetches as an ONNX file in memory. */
export interface EncodedGraph {
  readonly bytes: Uint8Array;
  /** Feeds that the part needs, with the type it wants; the others have no influence. */
  readonly inputs: ReadonlyMap<string, DType>;
  /** Fetches that the part computes; the others are feeds or weights. */
  readonly outputs: readonly string[];
}

/** Protocol Buffers cannot hold more, and ONNX Runtime takes no more from memory. */
const maxBytes = 2 ** 31 - 1;
/** IR version 10 knows every element type of the graph. */
const irVersion = 10;

/**
 * Only the nodes that fetches depend on, not looking behind feeds; feeds have no declared shape, so that any batch runs.
 * Rejects with a ParticlizeError when a fetch does not exist or depends on an input that is not fed.
 */
export async function encodeGraph(graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): Promise<EncodedGraph> {
  const part = partBetween(graph, new Set(feeds), fetches);
  const inputs = new Map([...part.feeds].map((name) => [name, dtypeOf(graph, name)]));
  const model = encodeModel({
    ir_version: irVersion,
    producer_name: 'particlize',
    opset_import: [
      { domain: '', version: graph.opset },
      ...Object.entries(graph.domains ?? {}).map(([domain, version]) => ({ domain, version })),
    ],
    graph: {
      name: 'particlize',
      node: part.nodes.map(nodeMessage),
      initializer: [...part.tensors].map((name) => {
        const tensor = graph.tensors.get(name)!;
        if (tensor.dtype === 'string') throw new ParticlizeError({ place: `tensor ${name}`, cause: 'constant texts cannot be run yet' });
        return tensorMessage(name, tensor);
      }),
      input: [...inputs].map(([name, dtype]) => valueInfoMessage(name, dtype)),
      output: part.outputs.map((name) => ({ name })),
    },
  });
  if (model.sizeBytes > maxBytes) {
    throw new ParticlizeError({
      cause: `this part of the model has ${Math.round(model.sizeBytes / 1e6)} MB of weights, more than the 2147 MB that can be run at once`,
    });
  }
  return { bytes: await model.whole(), inputs, outputs: part.outputs };
}

interface GraphPart {
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlySet<string>;
  readonly feeds: ReadonlySet<string>;
  readonly outputs: readonly string[];
}

function partBetween(graph: ModelGraph, feeds: ReadonlySet<string>, fetches: readonly string[]): GraphPart {
  const { producer } = indexOf(graph);
  const nodes = new Set<GraphNode>();
  const tensors = new Set<string>();
  const used = new Set<string>();
  const outputs: string[] = [];
  const pending: { readonly value: string; readonly node?: GraphNode }[] = [];
  for (const value of new Set(fetches)) {
    if (feeds.has(value) || graph.tensors.has(value)) continue;
    outputs.push(value);
    pending.push({ value });
  }
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { value, node: reader } = next;
    if (feeds.has(value)) {
      used.add(value);
      continue;
    }
    if (graph.tensors.has(value)) {
      tensors.add(value);
      continue;
    }
    const node = producer.get(value);
    if (!node) throw missing(graph, value, reader);
    if (nodes.has(node)) continue;
    nodes.add(node);
    for (const read of readsOf(node)) pending.push({ value: read, node });
  }
  return { nodes: graph.nodes.filter((node) => nodes.has(node)), tensors, feeds: used, outputs };
}

function missing(graph: ModelGraph, value: string, reader: GraphNode | undefined): ParticlizeError {
  const isInput = graph.inputs.some((input) => input.name === value);
  return new ParticlizeError({
    place: reader ? `layer ${reader.layer} (${reader.op})` : undefined,
    cause: isInput ? `the model's input '${value}' is not fed` : `there is no value '${value}' in the model`,
  });
}

function dtypeOf(graph: ModelGraph, name: string): DType {
  return graph.tensors.get(name)?.dtype ?? graph.inputs.find((input) => input.name === name)?.dtype
    ?? graph.values.get(name)?.dtype ?? 'float32';
}
