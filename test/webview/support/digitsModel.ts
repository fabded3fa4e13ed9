import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { PanelSnapshot } from '../../../src/compute/panelProtocol';
import type { ActivationData, ArrayData, ColumnData, LayerSummary, SuggestResult } from '../../../src/compute/protocol';
import type { Evaluation } from '../../../src/core/evaluate/evaluation';

const sample = path.resolve(__dirname, '../../../media/samples/digits');

/** The digits model as the host would send it: its real weights, and the columns that PyTorch computed for it. */
export interface DigitsModel {
  readonly snapshot: PanelSnapshot;
  readonly behaviour: readonly ColumnData[];
  readonly suggestions: SuggestResult;
  /** By layer: [particles, ...one]. */
  readonly weights: Readonly<Record<string, ArrayData>>;
  readonly activations: Readonly<Record<string, ActivationData>>;
}

interface Expected {
  readonly particles: Readonly<Record<string, Readonly<Record<'l2' | 'activationMean' | 'ablationLossChange' | 'ablationAccuracyChange', readonly number[]>>>>;
}

export const digitsLayers = [
  { name: 'conv1', kind: 'kernel', count: 16, firstRow: 0 },
  { name: 'conv2', kind: 'kernel', count: 32, firstRow: 16 },
  { name: 'dense1', kind: 'neuron', count: 64, firstRow: 48 },
  { name: 'dense2', kind: 'neuron', count: 10, firstRow: 112 },
] as const;

export const particleCount = 122;

export function digitsModel(): DigitsModel {
  const expected = JSON.parse(readFileSync(path.join(sample, 'expected.json'), 'utf8')) as Expected;
  const weights = readWeights();
  const all = (name: keyof Expected['particles'][string]) => Float32Array.from(digitsLayers.flatMap((layer) => expected.particles[layer.name]![name]));
  const fromWeights = { source: 'weights', exact: true } as const;
  const measured = { source: 'data', data: 'digits.particlize.json', samples: 360, engine: 'ONNX Runtime 1.30', seed: 0, exact: true } as const;
  const sizes: Record<string, number> = { conv1: 10, conv2: 145, dense1: 513, dense2: 65 };
  const nearest = twins(weights);
  const columns: ColumnData[] = [
    { name: 'l1', title: 'L1 norm', unit: '', meaning: 'Sum of the magnitudes of the particle’s weights.', scale: 'sequential', provenance: fromWeights, values: overWeights(weights, (one) => one.reduce((sum, value) => sum + Math.abs(value), 0)) },
    { name: 'l2', title: 'L2 norm', unit: '', meaning: 'Square root of the sum of the squares of the particle’s weights.', scale: 'sequential', provenance: fromWeights, values: all('l2') },
    { name: 'weightMean', title: 'Weight mean', unit: '', meaning: 'Average of the particle’s weights.', scale: 'diverging', provenance: fromWeights, values: overWeights(weights, (one) => one.reduce((sum, value) => sum + value, 0) / one.length) },
    { name: 'parameters', title: 'Parameters', unit: '', meaning: 'Numbers that the particle stores.', scale: 'sequential', additive: true, provenance: fromWeights, values: Float32Array.from(digitsLayers.flatMap((layer) => Array(layer.count).fill(sizes[layer.name]))) },
    { name: 'twin', title: 'Most similar particle', unit: '', meaning: 'The particle of the same layer whose weights point most nearly the same way.', scale: 'categorical', refersTo: 'row', provenance: fromWeights, values: nearest },
  ];
  const behaviour: ColumnData[] = [
    { name: 'activationMean', title: 'Mean activation', unit: '', meaning: 'Average output over samples and positions.', scale: 'diverging', provenance: measured, values: all('activationMean') },
    { name: 'ablationLossChange', title: 'Loss without it', unit: '', meaning: 'Change of the loss when the particle’s output is set to zero.', scale: 'diverging', provenance: measured, values: all('ablationLossChange') },
  ];
  const ablation = behaviour[1]!.values;
  const free = (layer: (typeof digitsLayers)[number]) =>
    Array.from({ length: layer.count }, (_, i) => i).filter((i) => Math.abs(ablation[layer.firstRow + i]!) < 1e-9).map((i) => `${layer.name}/${layer.kind}:${i}`);
  return {
    snapshot: {
      summary: {
        model: 'm1', path: 'samples/digits/model.onnx', format: 'onnx', formatTitle: 'ONNX', producer: 'pytorch 2.13', sha256: '0'.repeat(64), sizeBytes: 153_847,
        inputs: [{ name: 'images', shape: [null, 1, 8, 8], dtype: 'float32' }], outputs: [{ name: 'logits', shape: [null, 10], dtype: 'float32' }],
        layers: summaries(), particleCount, parameters: 38_282, macs: 337_000, findings: [], writable: true,
      },
      columns, engine: 'ONNX Runtime', recipe: { path: 'samples/digits/digits.particlize.json', title: 'digits.particlize.json' },
      selection: [], linkedLayers: ['conv1', 'conv2', 'dense1', 'dense2'],
    },
    behaviour,
    suggestions: {
      baseline,
      suggestions: [
        { id: 'remove:lossless', action: 'remove', steps: [], title: 'Remove 25 particles that do nothing', particles: [...free(digitsLayers[0]), ...free(digitsLayers[1]), ...free(digitsLayers[2])], predicted: { loss: -1.1e-11, metric: { name: 'accuracy', change: 0 }, parameters: 23_352, macs: 219_000, bytes: 93_408 }, lossless: true, evidence: 'With all of them off, every output on 360 samples stays the same, but for rounding.' },
        { id: 'remove:conv2', action: 'remove', steps: [], title: 'Remove 11 kernels of conv2', particles: ['conv2/kernel:1', 'conv2/kernel:5', 'conv2/kernel:7', 'conv2/kernel:8', 'conv2/kernel:15', 'conv2/kernel:17', 'conv2/kernel:19', 'conv2/kernel:20', 'conv2/kernel:21', 'conv2/kernel:22', 'conv2/kernel:25'], predicted: { loss: 0.0041, metric: { name: 'accuracy', change: -0.0056 }, parameters: 25_423, macs: 225_000, bytes: 101_692 }, lossless: false, evidence: 'The 11 kernels of conv2 whose removal changes the loss least. With all of them off, accuracy on 360 samples goes from 0.9861 to 0.9805.' },
      ],
      front: [],
      refusals: [{ layer: 'dense2', reason: 'Its neurons are the model’s outputs, one a class.' }],
    },
    weights,
    activations: activationsOf(weights),
  };
}

const baseline: Evaluation = { loss: 0.0556, metrics: { accuracy: 0.9861 }, decisive: { name: 'accuracy', higherIsBetter: true }, samples: 360, parameters: 38_282, macs: 337_000, bytes: 153_128, engine: 'ONNX Runtime' };

function summaries(): LayerSummary[] {
  const particles = (i: 0 | 1 | 2 | 3) => ({ kind: digitsLayers[i].kind, count: digitsLayers[i].count, firstRow: digitsLayers[i].firstRow });
  return [
    { name: 'conv1', type: 'Conv', outputShape: [null, 16, 8, 8], parameters: 160, macs: 9_216, particles: particles(0), next: ['conv2'] },
    { name: 'conv2', type: 'Conv', outputShape: [null, 32, 8, 8], parameters: 4_640, macs: 294_912, particles: particles(1), next: ['pool'] },
    { name: 'pool', type: 'MaxPool', outputShape: [null, 32, 4, 4], parameters: 0, macs: 0, next: ['flatten'] },
    { name: 'flatten', type: 'Flatten', outputShape: [null, 512], parameters: 0, macs: 0, next: ['dense1'] },
    { name: 'dense1', type: 'Gemm', outputShape: [null, 64], parameters: 32_832, macs: 32_768, particles: particles(2), next: ['dense2'] },
    { name: 'dense2', type: 'Gemm', outputShape: [null, 10], parameters: 650, macs: 640, particles: particles(3), next: [], note: 'Its neurons are the model’s outputs, one a class: none can go.' },
  ];
}

/** From the TF.js copy of the model: kernels there are [h, w, in, out] and dense weights [in, out]. */
function readWeights(): Record<string, ArrayData> {
  const bytes = readFileSync(path.join(sample, 'tfjs/group1-shard1of1.bin'));
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  let offset = 0;
  const take = (count: number) => all.subarray(offset, (offset += count));
  const weights: Record<string, ArrayData> = {};
  for (const [name, shape] of [['conv1', [3, 3, 1, 16]], ['conv2', [3, 3, 16, 32]], ['dense1', [512, 64]], ['dense2', [64, 10]]] as const) {
    const size = shape.reduce((product: number, length) => product * length, 1);
    const out = shape[shape.length - 1]!;
    const stored = take(size);
    const one = size / out;
    const inputs = shape.length === 4 ? shape[2] : one;
    const values = new Float32Array(size);
    for (let o = 0; o < out; o++) {
      for (let i = 0; i < one; i++) {
        // Stored position [tap, in] of this output; wanted [in, tap].
        const at = shape.length === 4 ? (i % inputs) * (one / inputs) + Math.floor(i / inputs) : i;
        values[o * one + at] = stored[i * out + o]!;
      }
    }
    weights[name] = { shape: shape.length === 4 ? [out, inputs, 3, 3] : [out, one], values };
    take(out);
  }
  return weights;
}

function overWeights(weights: Readonly<Record<string, ArrayData>>, measure: (one: Float32Array) => number): Float32Array {
  return Float32Array.from(
    digitsLayers.flatMap((layer) => {
      const { values } = weights[layer.name]!;
      const size = values.length / layer.count;
      return Array.from({ length: layer.count }, (_, i) => measure(values.subarray(i * size, (i + 1) * size)));
    }),
  );
}

/** Row of the particle of the same layer with the largest cosine. */
function twins(weights: Readonly<Record<string, ArrayData>>): Float32Array {
  return Float32Array.from(
    digitsLayers.flatMap((layer) => {
      const { values } = weights[layer.name]!;
      const size = values.length / layer.count;
      const ones = Array.from({ length: layer.count }, (_, i) => values.subarray(i * size, (i + 1) * size));
      const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
      return ones.map((one, i) => {
        let best = -1;
        let most = -Infinity;
        ones.forEach((other, j) => {
          const cosine = dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
          if (i !== j && cosine > most) [best, most] = [j, cosine];
        });
        return layer.firstRow + best;
      });
    }),
  );
}

/** A drawn eight; conv1's maps are computed from its weights, the deeper layers' are stand-ins of the right shape. */
function activationsOf(weights: Readonly<Record<string, ArrayData>>): Record<string, ActivationData> {
  const rows = ['..####..', '.##..##.', '.##..##.', '..####..', '.##..##.', '.##..##.', '.##..##.', '..####..'];
  const picture = Float32Array.from(rows.flatMap((row) => [...row].map((pixel) => (pixel === '#' ? 1 : 0))));
  const scores = Float32Array.from([0.001, 0.002, 0.004, 0.02, 0.001, 0.03, 0.006, 0.001, 0.91, 0.025]);
  const common = { samples: 360, picture: { shape: [1, 8, 8], values: picture }, label: '8', prediction: { classes: [...'0123456789'], scores } };
  const kernel = weights.conv1!.values;
  const maps = new Float32Array(16 * 64);
  for (let o = 0; o < 16; o++) {
    for (let y = 0; y < 8; y++) {
      for (let x = 0; x < 8; x++) {
        let sum = 0;
        for (let t = 0; t < 9; t++) {
          const [py, px] = [y + Math.floor(t / 3) - 1, x + (t % 3) - 1];
          if (py >= 0 && py < 8 && px >= 0 && px < 8) sum += kernel[o * 9 + t]! * picture[py * 8 + px]!;
        }
        maps[o * 64 + y * 8 + x] = Math.max(0, sum);
      }
    }
  }
  const standIn = (shape: number[]) => Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.max(0, Math.sin(i * 1.7) + Math.sin(i / 5)));
  return {
    conv1: { ...common, shape: [16, 8, 8], values: maps },
    conv2: { ...common, shape: [32, 8, 8], values: standIn([32, 8, 8]) },
    dense1: { ...common, shape: [64], values: standIn([64]) },
    dense2: { ...common, shape: [10], values: standIn([10]) },
  };
}
