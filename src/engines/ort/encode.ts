import { readsOf } from '../../core/graph/attributes';
import { ParticlizeError } from '../../core/graph/errors';
import type { ModelGraph, Shape } from '../../core/graph/modelGraph';
import { sliceGraph } from '../../core/graph/subgraph';
import { elementCount, type DType } from '../../core/graph/tensor';
import type { Chunks, PlainMessage } from '../../core/formats/containers/protobufWriter';
import { encodeModel, nodeMessage, tensorMessage, typeOfTensor, valueInfoMessage } from '../../core/formats/onnx/onnxEncode';
import { bytesOf } from '../../core/formats/onnx/onnxTensors';

/** A weight under the name by which the file refers to it. */
export interface ExternalWeight {
  readonly path: string;
  readonly data: Uint8Array;
}

/** The part of a graph between feeds and fetches as an ONNX file in memory. */
export interface EncodedGraph {
  readonly bytes: Uint8Array;
  /** Weights for which the file has no room. */
  readonly external: readonly ExternalWeight[];
  /** Feeds that the part needs, with the type it wants; the others have no influence. */
  readonly inputs: ReadonlyMap<string, DType>;
  /** Fetches that the part computes; the others are feeds or weights. */
  readonly outputs: readonly string[];
}

/**
 * A larger file has its weights beside it: Protocol Buffers cannot hold 2 GB, and weights that need not be copied into one file
 * are in memory twice instead of three times while ONNX Runtime loads them.
 */
const maxBytes = 2 ** 28;
/** Weights from this size on go beside a file that would become too large; shapes and the like stay where they are looked for. */
const largeBytes = 1024;
/** IR version 10 knows every element type of the graph. */
const irVersion = 10;

/**
 * Only the nodes that fetches depend on, not looking behind feeds. Of a feed's shape only the number of axes is declared, each of a
 * size of its own name: any batch runs, and it is what ONNX Runtime needs to fuse an Add with what is before it.
 * Rejects with a ParticlizeError when a fetch does not exist or depends on an input that is not fed.
 */
export async function encodeGraph(
  graph: ModelGraph, feeds: readonly string[], fetches: readonly string[], limitBytes = maxBytes,
): Promise<EncodedGraph> {
  const part = sliceGraph(graph, feeds, fetches);
  const reads = new Set(part.nodes.flatMap(readsOf));
  const inputs = new Map(feeds.filter((name) => reads.has(name)).map((name) => [name, dtypeOf(graph, name)]));
  const lists = new Set(part.nodes.flatMap(({ op, inputs: read }) => (op === 'Resize' ? read.slice(1) : [])));
  const outputs = [...new Set(fetches)].filter((name) => !feeds.includes(name) && !graph.tensors.has(name));
  const weights = [...part.tensors].filter(([name]) => reads.has(name));
  for (const [name, { dtype }] of weights) {
    if (dtype === 'string') throw new ParticlizeError({ place: `tensor ${name}`, cause: 'constant texts cannot be run yet' });
  }
  const encode = (initializer: readonly PlainMessage[]): Chunks => encodeModel({
    ir_version: irVersion,
    producer_name: 'particlize',
    opset_import: [
      { domain: '', version: graph.opset },
      ...Object.entries(graph.domains ?? {}).map(([domain, version]) => ({ domain, version })),
    ],
    graph: {
      name: 'particlize',
      node: part.nodes.map(nodeMessage),
      initializer,
      input: [...inputs].map(([name, dtype], index) =>
        valueInfoMessage(name, dtype, declaredShape(graph, name, lists.has(name)), (axis) => `size${index}_${axis}`)),
      output: outputs.map((name) => ({ name })),
    },
  });
  const whole = encode(weights.map(([name, tensor]) => tensorMessage(name, tensor)));
  if (whole.sizeBytes <= limitBytes) return { bytes: await whole.whole(), external: [], inputs, outputs };

  // Each weight is a file of its own, which exists only in memory.
  const external: ExternalWeight[] = [];
  const initializer: PlainMessage[] = [];
  for (const [name, tensor] of weights) {
    if (elementCount(tensor.shape) < largeBytes / 4) {
      initializer.push(tensorMessage(name, tensor));
      continue;
    }
    const path = `weight${external.length}`;
    const data = bytesOf(await tensor.read());
    external.push({ path, data });
    const places = Object.entries({ location: path, offset: 0, length: data.byteLength });
    initializer.push({
      ...typeOfTensor(tensor), name, data_location: 1, external_data: places.map(([key, value]) => ({ key, value: String(value) })),
    });
  }
  return { bytes: await encode(initializer).whole(), external, inputs, outputs };
}

/**
 * Axes of unknown sizes. What a Resize reads its sizes from keeps its length: ONNX Runtime takes a list of unknown length for
 * an empty one and refuses the operator.
 */
function declaredShape(graph: ModelGraph, name: string, keepsLength: boolean): Shape | undefined {
  const info = graph.tensors.get(name) ?? graph.inputs.find((input) => input.name === name) ?? graph.values.get(name);
  return keepsLength ? info?.shape : info?.shape?.map(() => null);
}

function dtypeOf(graph: ModelGraph, name: string): DType {
  return graph.tensors.get(name)?.dtype ?? graph.inputs.find((input) => input.name === name)?.dtype
    ?? graph.values.get(name)?.dtype ?? 'float32';
}
