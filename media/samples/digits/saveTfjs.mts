/**
 * Saves digitsTfjs.ts's model with given weights into tfjs/, loads it again and answers its outputs.
 * exportModels.py runs it: `npx tsx saveTfjs.mts GIVEN.json ANSWER.json`.
 */

import * as tf from '@tensorflow/tfjs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { buildModel, load } from './digitsTfjs.js';

interface Given {
  /** [kernel, bias] by layer name. */
  weights: Record<string, { shape: number[]; values: number[] }[]>;
  /** [N, 8, 8, 1] */
  images: number[][][][];
}

const folder = new URL('tfjs/', import.meta.url);
const shard = 'group1-shard1of1.bin';

const [givenPath, answerPath] = process.argv.slice(2);
if (givenPath === undefined || answerPath === undefined) {
  throw new Error('usage: npx tsx saveTfjs.mts GIVEN.json ANSWER.json');
}
await tf.setBackend('cpu');
const given = JSON.parse(await readFile(givenPath, 'utf8')) as Given;

const model = buildModel();
for (const [layer, arrays] of Object.entries(given.weights)) {
  model.getLayer(layer).setWeights(arrays.map(({ shape, values }) => tf.tensor(values, shape, 'float32')));
}
await model.save(tf.io.withSaveHandler(writeFiles));

const saved = await load(tf.io.fromMemory(await readFiles()));
const outputs = saved.predict(tf.tensor4d(given.images)) as tf.Tensor2D;
await writeFile(answerPath, JSON.stringify(await outputs.array()));

async function writeFiles(artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
  const manifest = {
    modelTopology: artifacts.modelTopology,
    format: artifacts.format,
    generatedBy: artifacts.generatedBy,
    convertedBy: artifacts.convertedBy,
    weightsManifest: [{ paths: [shard], weights: artifacts.weightSpecs }],
  };
  await mkdir(folder, { recursive: true });
  await writeFile(new URL('model.json', folder), JSON.stringify(manifest));
  await writeFile(new URL(shard, folder), new Uint8Array(artifacts.weightData as ArrayBuffer));
  return { modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts) };
}

async function readFiles(): Promise<tf.io.ModelArtifacts> {
  const json = JSON.parse(await readFile(new URL('model.json', folder), 'utf8')) as tf.io.ModelJSON;
  const bytes = await readFile(new URL(shard, folder));
  const weights = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return tf.io.getModelArtifactsForJSON(json, async (groups) => [groups.flatMap((group) => group.weights), weights]);
}
