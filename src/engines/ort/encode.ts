import { readsOf } from '../../core/graph/attributes';
import { ParticlizeError } from '../../core/graph/errors';
import type { ModelGraph } from '../../core/graph/modelGraph';
import { sliceGraph } from '../../core/graph/subgraph';
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
  const part = sliceGraph(graph, feeds, fetches);
  const reads = new Set(part.nodes.flatMap(readsOf));
  const inputs = new Map(feeds.filter((name) => reads.has(name)).map((name) => [name, dtypeOf(graph, name)]));
  const outputs = [...new Set(fetches)].filter((name) => !feeds.includes(name) && !graph.tensors.has(name));
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
      initializer: [...part.tensors].filter(([name]) => reads.has(name)).map(([name, tensor]) => {
        if (tensor.dtype === 'string') throw new ParticlizeError({ place: `tensor ${name}`, cause: 'constant texts cannot be run yet' });
        return tensorMessage(name, tensor);
      }),
      input: [...inputs].map(([name, dtype]) => valueInfoMessage(name, dtype)),
      output: outputs.map((name) => ({ name })),
    },
  });
  if (model.sizeBytes > maxBytes) {
    throw new ParticlizeError({
      cause: `this part of the model has ${Math.round(model.sizeBytes / 1e6)} MB of weights, more than the 2147 MB that can be run at once`,
    });
  }
  return { bytes: await model.whole(), inputs, outputs };
}

function dtypeOf(graph: ModelGraph, name: string): DType {
  return graph.tensors.get(name)?.dtype ?? graph.inputs.find((input) => input.name === name)?.dtype
    ?? graph.values.get(name)?.dtype ?? 'float32';
}
