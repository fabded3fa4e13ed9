import type { ModelGraph } from './modelGraph';
import type { NdArray } from './tensor';

/**
 * The port through which core runs models; `src/engines` implements it. Its one primitive is compile(graph, feeds,
 * fetches): feeds and fetches are any tensors of the graph, so that a forward pass, a fetch of activations and a run of
 * only the suffix behind a cut are the same thing.
 */
export interface Engine {
  /** Shown to the user and written into provenance: 'ONNX Runtime 1.30 (native)'. */
  readonly title: string;
  readonly id: 'ort-native' | 'ort-web' | 'tfjs-wasm' | 'tfjs-node';
  /** Operators of the graph that this engine cannot run (empty: all of them can). */
  unsupported(graph: ModelGraph): readonly string[];
  /** Only the nodes between feeds and fetches are compiled. Rejects with a ParticlizeError naming the operator. */
  compile(graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): Promise<Program>;
}

export interface Program {
  readonly feeds: readonly string[];
  readonly fetches: readonly string[];
  /**
   * `into`: float32 arrays of the right size where results may be written, which saves copies; an engine may ignore it, and
   * only what is returned counts. None of them may be fed to the same run.
   */
  run(feeds: ReadonlyMap<string, NdArray>, into?: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  dispose(): Promise<void>;
}
