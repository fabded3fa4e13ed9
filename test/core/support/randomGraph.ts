import { float, int, ints } from '../../../src/core/graph/attributes';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import type { NdArray } from '../../../src/core/graph/tensor';
import { graphOf, int64, node, randomArray, seededRandom, type NodeSketch } from './graphs';

/**
 * A small random network: convolutions (plain, depthwise, strided), normalisation, activations, pooling, sums,
 * concatenations, flattening both ways, dense layers. The same for the same seed.
 */
export function randomNetwork(seed: number): Promise<ModelGraph> {
  const random = seededRandom(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const nodes: NodeSketch[] = [];
  const weights: Record<string, NdArray> = {};
  let made = 0;
  const add = (op: string, inputs: string[], attributes = {}): string => {
    const output = `v${made++}`;
    nodes.push(node(op, inputs, output, attributes));
    return output;
  };
  const weight = (shape: number[]): string => {
    const name = `w${Object.keys(weights).length}`;
    weights[name] = randomArray(shape, random);
    return name;
  };
  const positive = (size: number): string => {
    const name = weight([size]);
    (weights[name]!.data as Float32Array).forEach((value, index, all) => (all[index] = 0.5 + Math.abs(value)));
    return name;
  };
  const conv = (x: string, from: number, to: number): string =>
    add('Conv', [x, weight([to, from, 3, 3]), weight([to])], { pads: ints([1, 1, 1, 1]) });

  let [value, channels, side] = ['x', 2, 8];
  const blocks = 2 + pick(3);
  for (let block = 0; block < blocks; block++) {
    const width = 3 + pick(4);
    switch (pick(6)) {
      case 0: {
        const left = conv(value, channels, width);
        const right = conv(value, channels, width);
        value = add('Add', [left, right]);
        break;
      }
      case 1: {
        const other = 2 + pick(3);
        value = add('Concat', [conv(value, channels, width), conv(value, channels, other)], { axis: int(1) });
        channels = width + other;
        continue;
      }
      case 2: {
        const multiplier = 1 + pick(2);
        value = conv(value, channels, width);
        value = add('Conv', [value, weight([width * multiplier, 1, 3, 3])], { pads: ints([1, 1, 1, 1]), group: int(width) });
        channels = width * multiplier;
        continue;
      }
      case 3:
        value = conv(value, channels, width);
        value = add('BatchNormalization', [value, positive(width), weight([width]), weight([width]), positive(width)], { epsilon: float(1e-5) });
        break;
      default:
        value = conv(value, channels, width);
    }
    channels = width;
    value = add(['Relu', 'Tanh', 'Sigmoid', 'HardSwish'][pick(4)]!, [value]);
    if (side > 2 && pick(2)) {
      const pool = pick(2) ? 'MaxPool' : 'AveragePool';
      value = add(pool, [value], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
      side /= 2;
    }
  }
  const features = channels * side * side;
  if (pick(2)) {
    value = add('Flatten', [value], { axis: int(1) });
  } else {
    weights['target'] = int64([-1, features]);
    value = add('Transpose', [value], { perm: ints([0, 2, 3, 1]) });
    value = add('Reshape', [value, 'target']);
  }
  const hidden = 4 + pick(4);
  value = pick(2)
    ? add('Gemm', [value, weight([hidden, features]), weight([hidden])], { transB: int(1) })
    : add('Add', [add('MatMul', [value, weight([features, hidden])]), weight([hidden])]);
  value = add('Relu', [value]);
  value = add('Gemm', [value, weight([hidden, 3]), weight([3])]);
  return graphOf({ inputs: { x: [null, 2, 8, 8] }, outputs: [value], nodes, weights });
}
