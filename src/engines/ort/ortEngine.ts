import { availableParallelism } from 'node:os';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import type { Engine, Program } from '../../core/graph/engine';
import { readsOf } from '../../core/graph/attributes';
import { ParticlizeError } from '../../core/graph/errors';
import { inFloat32, isHalf, isHalfPrecision, typeOf } from '../../core/graph/float32Graph';
import { indexOf, type ModelGraph } from '../../core/graph/modelGraph';
import { asFloat32, fromFloat32 } from '../../core/graph/numeric';
import { sliceGraph } from '../../core/graph/subgraph';
import type { DType, NdArray } from '../../core/graph/tensor';
import { fromOrt, toOrt } from './convert';
import { encodeGraph } from './encode';
import { loadNative, loadWeb, type OrtModule } from './loadOrt';

export interface OrtOptions {
  /** Threads of one run; 0 or missing: as many as the machine has cores. */
  readonly threads?: number;
  /** Largest model file in memory; larger ones have their weights beside them. Missing: what ONNX Runtime can take. */
  readonly limitBytes?: number;
}

/** An engine, or in the user's words why it is not available. */
export type EngineOrReason = Engine | { readonly reason: string };

export function createOrtEngine(kind: 'native' | 'web', options: OrtOptions = {}): EngineOrReason {
  const threads = options.threads || availableParallelism();
  const found = kind === 'native' ? loadNative() : loadWeb(threads);
  if ('reason' in found) return found;
  const release = found.version.split('.').slice(0, 2).join('.');
  return new OrtEngine(found.ort, `ONNX Runtime ${release} (${kind})`, kind, threads, options.limitBytes);
}

class OrtEngine implements Engine {
  readonly id: 'ort-native' | 'ort-web';

  constructor(
    private readonly ort: OrtModule, readonly title: string, kind: 'native' | 'web', private readonly threads: number,
    private readonly limitBytes: number | undefined,
  ) {
    this.id = `ort-${kind}`;
  }

  unsupported(graph: ModelGraph): readonly string[] {
    const foreign = graph.nodes.filter(({ domain }) => !knownDomains.has(domain));
    return [...new Set(foreign.map(({ domain, op }) => `${domain}:${op}`))];
  }

  async compile(graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): Promise<Program> {
    const part = sliceGraph(graph, feeds, fetches);
    const run = lacksHalfKernels(part) ? inFloat32(part) : part;
    const encoded = await encodeGraph(run, feeds, fetches, this.limitBytes);
    const constants = new Map<string, NdArray>();
    for (const name of fetches) {
      const tensor = feeds.includes(name) ? undefined : graph.tensors.get(name);
      if (tensor) constants.set(name, await tensor.read());
    }
    let session: InferenceSession | undefined;
    if (encoded.outputs.length > 0) {
      try {
        session = await this.ort.InferenceSession.create(encoded.bytes, {
          executionProviders: [this.id === 'ort-native' ? 'cpu' : 'wasm'],
          graphOptimizationLevel: 'all',
          logSeverityLevel: 3,
          intraOpNumThreads: this.threads,
          ...(this.id === 'ort-native' && { extra: { session: waiting } }),
          ...(encoded.external.length > 0 && { externalData: [...encoded.external] }),
        });
      } catch (error) {
        throw explain(error, graph, this.title);
      }
    }
    const halves = new Map(fetches.flatMap((name): [string, DType][] => {
      const dtype = typeOf(part, name);
      return run !== part && isHalf(dtype) ? [[name, dtype]] : [];
    }));
    const { inputs, outputs } = encoded;
    return new OrtProgram(this, this.ort, graph, { feeds, fetches, inputs, outputs, constants, halves }, session);
  }
}

/**
 * ONNX Runtime's CPU kernels are for float32: float16 it mostly casts there and back around each operator or refuses, bfloat16 it
 * refuses, and takes none from outside. What only moves elements runs as it is.
 */
function lacksHalfKernels(part: ModelGraph): boolean {
  if (!isHalfPrecision(part)) return false;
  const touches = (names: readonly string[], dtype: DType): boolean => names.some((name) => typeOf(part, name) === dtype);
  const around = [...part.inputs, ...part.outputs].map(({ name }) => name);
  return touches([...around, ...part.nodes.flatMap((node) => [...readsOf(node), ...node.outputs])], 'bfloat16')
    || part.nodes.some((node) => !halfMovers.has(node.op) && touches([...readsOf(node), ...node.outputs], 'float16'));
}

const halfMovers = new Set(['Cast', 'Concat', 'Flatten', 'Gather', 'Identity', 'Reshape', 'Shape', 'Slice', 'Squeeze', 'Transpose', 'Unsqueeze']);

/**
 * Threads that wait for the next operator keep a core busy for a moment only, and none after a run: by default they do so long
 * enough to take it from the session that runs next, and from everything else. Two sessions in turn took up to five times as
 * long as with this on a busy machine, and twice the processor's time.
 */
const waiting = { force_spinning_stop: '1', intra_op: { spin_duration_us: '50' } };

/** What goes wrong in a run is thrown; ONNX Runtime need not print it as well. */
const runOptions: InferenceSession.RunOptions = { logSeverityLevel: 4 };

/** The standard operators and those that ONNX Runtime adds. */
const knownDomains = new Set(['', 'ai.onnx.ml', 'com.microsoft', 'com.microsoft.nchwc', 'com.microsoft.experimental']);

interface Wiring {
  readonly feeds: readonly string[];
  readonly fetches: readonly string[];
  readonly inputs: ReadonlyMap<string, NdArray['dtype']>;
  readonly outputs: readonly string[];
  readonly constants: ReadonlyMap<string, NdArray>;
  /** Half-precision results that are computed in float32. */
  readonly halves: ReadonlyMap<string, DType>;
}

class OrtProgram implements Program {
  private running = 0;
  private disposed = false;

  constructor(
    private readonly engine: Engine, private readonly ort: OrtModule, private readonly graph: ModelGraph,
    private readonly wiring: Wiring, private session: InferenceSession | undefined,
  ) {}

  get feeds(): readonly string[] {
    return this.wiring.feeds;
  }

  get fetches(): readonly string[] {
    return this.wiring.fetches;
  }

  async run(feeds: ReadonlyMap<string, NdArray>, into?: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>> {
    if (this.disposed) throw new Error('the program has been disposed of');
    const { inputs, outputs, constants, fetches, halves } = this.wiring;
    const given: Record<string, OrtTensor> = Object.create(null) as Record<string, OrtTensor>;
    for (const [name, dtype] of inputs) given[name] = toOrt(this.ort.Tensor, name, fed(feeds, name), dtype);
    this.running++;
    try {
      const places = this.places(into);
      const made = this.session && (await this.session.run(given, places ?? outputs, runOptions));
      const results = new Map<string, NdArray>();
      for (const name of fetches) {
        // What was written in place comes back as a copy too, which nobody needs.
        const value = places?.[name] ? into!.get(name) : made && Object.hasOwn(made, name) ? fromOrt(name, made[name] as never) : undefined;
        const half = value?.dtype === 'float32' ? halves.get(name) : undefined;
        const rounded = value && half ? fromFloat32(asFloat32(value), value.shape, half) : value;
        results.set(name, rounded ?? constants.get(name) ?? fed(feeds, name));
      }
      return results;
    } catch (error) {
      throw explain(error, this.graph, this.engine.title);
    } finally {
      this.running--;
      if (this.disposed && this.running === 0) await this.release();
    }
  }

  /** The native runtime writes where it is told; the web one would copy there. */
  private places(into: ReadonlyMap<string, NdArray> | undefined): Record<string, OrtTensor | null> | undefined {
    const { outputs, halves } = this.wiring;
    if (!into?.size || this.engine.id !== 'ort-native') return undefined;
    const places = Object.create(null) as Record<string, OrtTensor | null>;
    for (const name of outputs) {
      const array = halves.has(name) ? undefined : into.get(name);
      places[name] = array ? toOrt(this.ort.Tensor, name, array, array.dtype) : null;
    }
    return places;
  }

  /** Frees the session's memory, after what is running has ended. */
  async dispose(): Promise<void> {
    this.disposed = true;
    if (this.running === 0) await this.release();
  }

  private async release(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.release();
  }
}

function fed(feeds: ReadonlyMap<string, NdArray>, name: string): NdArray {
  const array = feeds.get(name);
  if (!array) throw new ParticlizeError({ place: name, cause: 'this value must be fed, but is missing' });
  return array;
}

/** ONNX Runtime's message as one sentence that names the layer. */
function explain(error: unknown, graph: ModelGraph, engine: string): unknown {
  if (error instanceof ParticlizeError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const { op, name = '', cause } = messagePatterns.map((pattern) => pattern.exec(text)?.groups).find(Boolean) ?? {};
  // Optimised nodes are called after the node or the value that they were, with a suffix.
  const { node: nodes, producer } = indexOf(graph);
  const plain = name.replace(/_nchwc$/, '');
  const node = nodes.get(name) ?? nodes.get(plain) ?? producer.get(plain);
  const where = node ? `layer ${node.layer} (${node.op})` : op && `operator ${op}`;
  return new ParticlizeError({ place: where || undefined, cause: `${engine} cannot run this: ${tidy(cause ?? text)}` }, { cause: error });
}

const messagePatterns = [
  /running (?<op>\S+) node\. Name:'(?<name>[^']*)' Status Message: (?<cause>[^]*)/,
  /In Node, \("(?<name>[^"]*)", (?<op>\w+)[^]*?, Error (?<cause>[^]*)/,
  /Node\s*\((?<name>[^)]*)\) Op \((?<op>[^)]*)\) (?<cause>[^]*)/,
  /(?<cause>Mismatched attribute type in '(?<name>.*?) : [^]*)/,
  /(?<cause>Could not find an implementation for (?<op>\S+?)\(\d+\) node with name '(?<name>[^']*)')/,
  /(?<cause>No Op registered for (?<op>\S+)[^]*)/,
  /(?<cause>(?<op>\S+)\(-?\d+\) is not a registered function\/op)/,
  /(?<cause>Opset \d+ is under development)/,
];

/** Without source places, error numbers and line breaks. */
function tidy(text: string): string {
  const plain = text
    .replace(/\S*onnxruntime\S*\.(cc|h):\d+[^]*?\)\s+/g, '')
    .replace(/^.*?\b(Load model from .*? failed:|ERROR_MESSAGE: "?|Fatal error: )/s, '')
    .replace(/\s+/g, ' ')
    .trim().replace(/[.\s"]+$/, '');
  return plain.length > 300 ? `${plain.slice(0, 300)} …` : plain || 'it gave no reason';
}
