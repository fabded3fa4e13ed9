import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { unzipSync } from 'fflate';

export interface DefinitionCheck {
  /** The workspace with data and edited definitions. */
  readonly folder: string;
  /** The new model file. */
  readonly model: string;
  /** What evaluating it gave. */
  readonly accuracy: number;
}

/** Test rows of the sample's recipe. */
const [firstTest, lastTest] = [1437, 1797];

const pytorchCheck = `
import sys
import numpy, onnx, torch
from onnx import numpy_helper
sys.path.insert(0, sys.argv[1])
from digits_torch import DigitsNet
model = DigitsNet()
weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(sys.argv[2]).graph.initializer}
model.load_state_dict({name: weights[name] for name in model.state_dict()}, strict=True)
data = numpy.load(sys.argv[1] + '/digits.npz')
rows = slice(${firstTest}, ${lastTest})
images = torch.from_numpy(data['images'][rows].astype('float32') / 16)[:, None]
with torch.no_grad():
    found = model.eval()(images).argmax(1).numpy()
print(float((found == data['labels'][rows]).mean()))
`;

/** PyTorch builds the edited definition, takes the new weights strictly and gives the accuracy. Needs $PARTICLIZE_PYTHON. */
export function checkPytorchLoads({ folder, model, accuracy }: DefinitionCheck): string {
  const python = process.env['PARTICLIZE_PYTHON'];
  if (!python) return 'skipped: PyTorch loading the edited definition (no $PARTICLIZE_PYTHON)';
  const found = Number(execFileSync(python, ['-c', pytorchCheck, folder, model], { encoding: 'utf8' }));
  assert.ok(Math.abs(found - accuracy) < 1e-6, `PyTorch found ${found}, Particlize ${accuracy}`);
  return `PyTorch loads the edited definition with the new weights: accuracy ${found.toFixed(4)}`;
}

/** TensorFlow.js builds the edited definition and takes the new weights; the definition file is removed afterwards. */
export async function checkTfjsLoads({ folder, model, accuracy }: DefinitionCheck, definition: string): Promise<string> {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- user code, edited by the extension a moment ago
    const { load } = require(definition) as { load(saved: tf.io.IOHandler): Promise<tf.Sequential> };
    const network = await load({ load: () => Promise.resolve(artifacts(model)) });
    const { images, labels } = digits(folder);
    const found = (network.predict(images) as tf.Tensor).argMax(1).dataSync<'int32'>();
    const right = found.reduce((count, value, row) => count + (value === labels[row] ? 1 : 0), 0) / labels.length;
    assert.ok(Math.abs(right - accuracy) < 1e-6, `TensorFlow.js found ${right}, Particlize ${accuracy}`);
    return `TensorFlow.js loads the edited definition with the new weights: accuracy ${right.toFixed(4)}`;
  } finally {
    rmSync(definition, { force: true });
  }
}

function artifacts(file: string): tf.io.ModelArtifacts {
  const json = JSON.parse(readFileSync(file, 'utf8')) as tf.io.ModelJSON;
  const shards = json.weightsManifest.flatMap(({ paths }) => paths).map((name) => readFileSync(path.join(path.dirname(file), name)));
  const whole = Buffer.concat(shards);
  return {
    modelTopology: json.modelTopology, weightSpecs: json.weightsManifest.flatMap(({ weights }) => weights),
    weightData: whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.byteLength),
  };
}

function digits(folder: string): { images: tf.Tensor4D; labels: Uint8Array } {
  const entries = unzipSync(readFileSync(path.join(folder, 'digits.npz')));
  const images = npyBytes(entries['images.npy']!).subarray(firstTest * 64, lastTest * 64);
  const labels = npyBytes(entries['labels.npy']!);
  return {
    images: tf.tensor4d(Float32Array.from(images, (value) => value / 16), [lastTest - firstTest, 8, 8, 1]),
    labels: labels.subarray(firstTest, lastTest),
  };
}

/** The elements of an array of bytes. */
function npyBytes(file: Uint8Array): Uint8Array {
  const headerBytes = file[8]! + 256 * file[9]!;
  return file.subarray(10 + headerBytes);
}
