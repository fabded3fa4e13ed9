import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import type { FileSet } from '../../../src/core/graph/byteSource';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { memorySource, type CountingSource } from './memoryFiles';

/** A model on the disk with its folder, counting what is read of its shards. */
export function modelFiles(file: string): FileSet & { shardBytesRead(): number } {
  const folder = path.dirname(file);
  const shards: CountingSource[] = [];
  const open = (name: string): CountingSource => memorySource(name, new Uint8Array(fs.readFileSync(path.join(folder, name))));
  return {
    main: open(path.basename(file)),
    sibling(name) {
      const shard = open(name);
      shards.push(shard);
      return Promise.resolve(shard);
    },
    list: () => Promise.resolve(fs.readdirSync(folder)),
    shardBytesRead: () => shards.reduce((sum, shard) => sum + shard.bytesRead, 0),
  };
}

/** The same file through TensorFlow.js's own reader. */
export async function loadedLayersModel(file: string): Promise<tf.LayersModel> {
  const json = JSON.parse(fs.readFileSync(file, 'utf8')) as tf.io.ModelJSON;
  const groups = json.weightsManifest;
  const bytes = Buffer.concat(groups.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(path.dirname(file), name)))));
  return tf.loadLayersModel(tf.io.fromMemory({
    modelTopology: json.modelTopology,
    weightSpecs: groups.flatMap((group) => group.weights),
    weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer,
  }));
}

/** The model's outputs for one input, in order. */
export async function runOn(engine: Engine, graph: ModelGraph, ...inputs: readonly NdArray[]): Promise<NdArray[]> {
  const names = graph.inputs.map((input) => input.name);
  const program = await engine.compile(graph, names, graph.outputs.map((output) => output.name));
  try {
    const results = await program.run(new Map(names.map((name, index) => [name, inputs[index]!])));
    return graph.outputs.map((output) => results.get(output.name)!);
  } finally {
    await program.dispose();
  }
}
