import type { FileSet } from '../graph/byteSource';
import type { ModelGraph } from '../graph/modelGraph';

/** One model file format: one file, one register line. */
export interface Format {
  /** 'onnx', 'tfjs-layers', ... */
  readonly id: string;
  /** 'ONNX', 'TensorFlow.js layers'. */
  readonly title: string;
  /** Endings it is found under, with the dot; the explorer's menu uses them. */
  readonly extensions: readonly string[];
  /** Cheap, from name and first bytes, without side effects; never throws. */
  match(files: FileSet, head: Uint8Array): boolean | Promise<boolean>;
  /** Reads the header; tensors stay lazy. Rejects with a ParticlizeError when there is no graph. */
  open(files: FileSet): Promise<ModelGraph>;
  /** Whether `save` can say operators that came or went. */
  readonly holdsGraph?: boolean;
  /**
   * The files of the changed model, by relative name; the first is the main one. `graph` descends from `original` by
   * surgery: tensors may have other shapes and contents, nodes other attributes, nodes and tensors may be gone.
   * What was not touched stays byte for byte where the format allows. Missing: this format cannot be written.
   */
  save?(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]>;
}

export interface SavedFile {
  readonly name: string;
  /** In order; chunks are read lazily so that a large file is never whole in memory. */
  chunks(): AsyncIterable<Uint8Array>;
  readonly sizeBytes: number;
}
