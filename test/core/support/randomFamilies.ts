import { float, int, ints, string } from '../../../src/core/graph/attributes';
import type { Attribute, ModelGraph, Shape } from '../../../src/core/graph/modelGraph';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { graphOf, int64, node, randomArray, seededRandom, type NodeSketch } from './graphs';

/** A small random network of one family of architectures; the same for the same seed. */
export function randomOfFamily(family: string, seed: number): Promise<ModelGraph> {
  const sketch = new Sketch(seed);
  const output = families[family]!(sketch);
  return graphOf({ inputs: sketch.inputs, integers: sketch.numbers, outputs: [output], nodes: sketch.nodes, weights: sketch.weights });
}

/** Inputs that fit: pictures, sequences, or numbers of tokens. */
export function inputsFor(graph: ModelGraph, seed: number): Map<string, NdArray> {
  const random = seededRandom(seed);
  return new Map(graph.inputs.map(({ name, shape, dtype }) => {
    const sizes = shape!.map((size) => size ?? 3);
    if (dtype !== 'int64') return [name, randomArray(sizes, random)];
    return [name, { dtype, shape: sizes, data: BigInt64Array.from({ length: elementCount(sizes) }, () => BigInt(Math.floor(random() * tokens))) }];
  }));
}

const tokens = 7;

class Sketch {
  readonly nodes: NodeSketch[] = [];
  readonly weights: Record<string, NdArray> = {};
  readonly inputs: Record<string, Shape> = {};
  /** Inputs that are numbers of tokens. */
  readonly numbers = new Set<string>();
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed * 2654435761);
  }

  pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  between(low: number, high: number): number {
    return low + this.pick(high - low + 1);
  }

  oneOf<T>(...choices: T[]): T {
    return choices[this.pick(choices.length)]!;
  }

  input(...shape: (number | null)[]): string {
    const name = `x${Object.keys(this.inputs).length}`;
    this.inputs[name] = shape;
    return name;
  }

  add(op: string, inputs: string[], attributes: Record<string, Attribute> = {}): string {
    return this.several(op, inputs, 1, attributes)[0]!;
  }

  several(op: string, inputs: string[], count: number, attributes: Record<string, Attribute> = {}): string[] {
    const outputs = Array.from({ length: count }, (_, index) => `v${this.nodes.length}${count > 1 ? `.${index}` : ''}`);
    this.nodes.push(node(op, inputs, outputs, attributes));
    return outputs;
  }

  /** Scaled so that sums stay around one. */
  weight(...shape: number[]): string {
    const name = `w${Object.keys(this.weights).length}`;
    const array = randomArray(shape, this.random);
    const scale = shape.length > 1 ? Math.sqrt(6 / Math.max(2, elementCount(shape) / Math.max(...shape))) : 1;
    this.weights[name] = { ...array, data: (array.data as Float32Array).map((value) => value * scale) };
    return name;
  }

  positive(size: number): string {
    const name = this.weight(size);
    (this.weights[name]!.data as Float32Array).forEach((value, index, all) => (all[index] = 0.5 + Math.abs(value)));
    return name;
  }

  ints(...values: number[]): string {
    const name = `w${Object.keys(this.weights).length}`;
    this.weights[name] = int64(values);
    return name;
  }

  floats(...values: number[]): string {
    const name = `w${Object.keys(this.weights).length}`;
    this.weights[name] = { dtype: 'float32', shape: [values.length], data: Float32Array.from(values) };
    return name;
  }

  scalar(value: number): string {
    const name = this.floats(value);
    this.weights[name] = { ...this.weights[name]!, shape: [] };
    return name;
  }

  index(value: number): string {
    const name = this.ints(value);
    this.weights[name] = { ...this.weights[name]!, shape: [] };
    return name;
  }

  tokens(): string {
    this.numbers.add('tokens');
    this.inputs['tokens'] = [null, 4];
    return 'tokens';
  }

  activation(x: string): string {
    return this.add(this.oneOf('Relu', 'Tanh', 'Sigmoid', 'HardSwish', 'Elu'), [x]);
  }

  conv(x: string, from: number, to: number, { group = 1, side = 3, stride = 1 } = {}): string {
    return this.add('Conv', [x, this.weight(to, from / group, side, side), this.weight(to)], {
      pads: ints(new Array<number>(4).fill((side - 1) / 2)), strides: ints([stride, stride]), ...(group > 1 && { group: int(group) }),
    });
  }

  norm(x: string, channels: number): string {
    return this.add('BatchNormalization', [x, this.positive(channels), this.weight(channels), this.weight(channels), this.positive(channels)], { epsilon: float(1e-5) });
  }

  block(x: string, from: number, to: number, options = {}): string {
    const made = this.conv(x, from, to, options);
    return this.activation(this.pick(2) ? this.norm(made, to) : made);
  }

  dense(x: string, from: number, to: number): string {
    return this.pick(2)
      ? this.add('Gemm', [x, this.weight(to, from), this.weight(to)], { transB: int(1) })
      : this.add('Add', [this.add('MatMul', [x, this.weight(from, to)]), this.weight(to)]);
  }

  /** On sequences. */
  dense3(x: string, from: number, to: number): string {
    return this.add('Add', [this.add('MatMul', [x, this.weight(from, to)]), this.weight(to)]);
  }

  /** All steps [T, D, N, H], last state [D, N, H], last cell of an LSTM. */
  recurrent(op: string, x: string, from: number, hidden: number, directions: number, states: string[] = []): string[] {
    const gates = { LSTM: 4, GRU: 3 }[op] ?? 1;
    const rows = gates * hidden;
    const inputs = [x, this.weight(directions, rows, from), this.weight(directions, rows, hidden), this.weight(directions, 2 * rows), ...(states.length ? ['', ...states] : [])];
    return this.several(op, inputs, op === 'LSTM' ? 3 : 2, {
      hidden_size: int(hidden), ...(directions > 1 && { direction: string('bidirectional') }), ...(op === 'GRU' && { linear_before_reset: int(this.pick(2)) }),
    });
  }

  /** From pictures to three numbers, by flattening either way or by pooling. */
  head(x: string, channels: number, side: number): string {
    const way = this.pick(3);
    if (way === 0) return this.dense(this.add('Flatten', [this.add('GlobalAveragePool', [x])]), channels, 3);
    const features = channels * side * side;
    const flat = way === 1 ? this.add('Flatten', [x]) : this.add('Reshape', [this.add('Transpose', [x], { perm: ints([0, 2, 3, 1]) }), this.ints(-1, features)]);
    const hidden = this.between(4, 7);
    return this.dense(this.activation(this.dense(flat, features, hidden)), hidden, 3);
  }
}

const side = 6;

/** A network of each family from its first input to three outputs. */
export const families: Readonly<Record<string, (sketch: Sketch) => string>> = {
  plain(s) {
    const [a, b] = [s.between(3, 6), s.between(3, 6)];
    const x = s.block(s.block(s.input(null, 2, side, side), 2, a), a, b);
    return s.head(s.add(s.oneOf('MaxPool', 'AveragePool'), [x], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }), b, side / 2);
  },
  residual(s) {
    const width = s.between(3, 6);
    let x = s.block(s.input(null, 2, side, side), 2, width);
    for (let block = 0; block < s.between(1, 3); block++) {
      const inner = s.between(2, 5);
      x = s.activation(s.add('Add', [x, s.norm(s.conv(s.block(x, width, inner), inner, width), width)]));
    }
    const wide = s.between(3, 6);
    const down = s.add('Add', [s.conv(x, width, wide, { side: 1 }), s.conv(s.block(x, width, 4), 4, wide)]);
    return s.head(down, wide, side);
  },
  denseNet(s) {
    let channels = s.between(3, 5);
    let x = s.conv(s.input(null, 2, side, side), 2, channels);
    for (let layer = 0; layer < s.between(2, 3); layer++) {
      const growth = s.between(2, 4);
      const made = s.conv(s.activation(s.norm(x, channels)), channels, growth);
      x = s.add('Concat', [x, made], { axis: int(1) });
      channels += growth;
    }
    return s.head(s.activation(s.norm(x, channels)), channels, side);
  },
  flattenNorm(s) {
    const channels = s.between(3, 5);
    const x = s.block(s.input(null, 2, 4, 4), 2, channels);
    const flat = s.add('Flatten', [x]);
    const features = channels * 16;
    const normed = s.add('BatchNormalization', [flat, s.positive(features), s.weight(features), s.weight(features), s.positive(features)]);
    return s.dense(s.activation(normed), features, 3);
  },
  mobileNet(s) {
    let [x, channels] = [s.input(null, 2, side, side), 2];
    for (let block = 0; block < 2; block++) {
      const [width, multiplier, next] = [s.between(3, 5), s.between(1, 2), s.between(3, 6)];
      const clip = (value: string): string => s.add('Clip', [value, s.scalar(0), s.scalar(6)]);
      const wide = clip(s.norm(s.conv(x, channels, width, { side: 1 }), width));
      const deep = clip(s.norm(s.conv(wide, width, width * multiplier, { group: width }), width * multiplier));
      x = s.conv(deep, width * multiplier, next, { side: 1 });
      channels = next;
    }
    return s.head(x, channels, side);
  },
  grouped(s) {
    const [groups, each, made] = [s.between(2, 3), s.between(2, 3), s.between(1, 3)];
    const x = s.block(s.input(null, 2, side, side), 2, groups * each);
    const y = s.activation(s.conv(x, groups * each, groups * made, { group: groups }));
    return s.head(y, groups * made, side);
  },
  groupedTransposed(s) {
    const [groups, each, made] = [2, s.between(2, 3), s.between(2, 3)];
    const x = s.block(s.input(null, 2, 3, 3), 2, groups * each);
    const y = s.add('ConvTranspose', [x, s.weight(groups * each, made, 2, 2), s.weight(groups * made)], { strides: ints([2, 2]), group: int(groups) });
    return s.head(s.conv(s.activation(y), groups * made, 4), 4, 6);
  },
  groupNorm(s) {
    const [groups, each] = [s.between(2, 3), s.between(1, 3)];
    const channels = groups * each;
    const x = s.conv(s.input(null, 2, side, side), 2, channels);
    const reshaped = s.add('Reshape', [x, s.ints(0, groups, -1)]);
    const normed = s.add('InstanceNormalization', [reshaped, s.positive(groups), s.weight(groups)]);
    const back = s.pick(2) ? s.add('Shape', [x]) : s.ints(-1, channels, side, side);
    const scaled = s.add('Add', [s.add('Mul', [s.add('Reshape', [normed, back]), s.weight(channels, 1, 1)]), s.weight(channels, 1, 1)]);
    return s.head(s.block(s.activation(scaled), channels, 4), 4, side);
  },
  groupNormOperator(s) {
    const [groups, each] = [s.between(2, 3), s.between(2, 3)];
    const x = s.conv(s.input(null, 2, side, side), 2, groups * each);
    const y = s.add('GroupNormalization', [x, s.positive(groups), s.weight(groups)], { num_groups: int(groups) });
    return s.head(s.activation(y), groups * each, side);
  },
  instanceNorm(s) {
    const channels = s.between(3, 5);
    const y = s.add('InstanceNormalization', [s.conv(s.input(null, 2, side, side), 2, channels), s.positive(channels), s.weight(channels)]);
    return s.head(s.activation(y), channels, side);
  },
  squeezeExcite(s) {
    const [channels, squeezed] = [s.between(3, 6), s.between(2, 4)];
    const x = s.block(s.input(null, 2, side, side), 2, channels);
    const pooled = s.add('GlobalAveragePool', [x]);
    let gate: string;
    if (s.pick(2)) {
      gate = s.conv(s.activation(s.conv(pooled, channels, squeezed, { side: 1 })), squeezed, channels, { side: 1 });
    } else {
      const inner = s.activation(s.dense(s.add('Flatten', [pooled]), channels, squeezed));
      gate = s.add('Reshape', [s.dense(inner, squeezed, channels), s.ints(-1, channels, 1, 1)]);
    }
    return s.head(s.block(s.add('Mul', [x, s.add('Sigmoid', [gate])]), channels, 4), 4, side);
  },
  uNet(s) {
    const [outer, inner] = [s.between(3, 5), s.between(3, 5)];
    const x = s.block(s.input(null, 2, side, side), 2, outer);
    const low = s.block(s.add('MaxPool', [x], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }), outer, inner);
    const width = s.between(2, 4);
    const up = s.pick(2)
      ? s.add('ConvTranspose', [low, s.weight(inner, width, 2, 2), s.weight(width)], { strides: ints([2, 2]) })
      : s.conv(s.add('Resize', [low, '', s.floats(1, 1, 2, 2)], { mode: string('nearest') }), inner, width);
    const joined = s.add('Concat', [x, up], { axis: int(1) });
    return s.head(s.block(joined, outer + width, 4), 4, side);
  },
  pixelShuffle(s) {
    const [channels, way] = [s.between(2, 3), s.pick(2)];
    const x = s.block(s.input(null, 2, 3, 3), 2, channels * 4);
    const y = way ? s.add('DepthToSpace', [x], { blocksize: int(2), mode: string(s.oneOf('CRD', 'DCR')) }) : s.add('Reshape', [
      s.add('Transpose', [s.add('Reshape', [x, s.ints(-1, channels, 2, 2, 3, 3)])], { perm: ints([0, 1, 4, 2, 5, 3]) }), s.ints(-1, channels, 6, 6),
    ]);
    return s.head(s.block(y, channels, 4), 4, 6);
  },
  separable(s) {
    const [a, b, c] = [s.between(3, 5), s.between(3, 5), s.between(3, 5)];
    const x = s.block(s.input(null, 2, side, side), 2, a);
    const y = s.conv(s.conv(x, a, a, { group: a }), a, b, { side: 1 });
    return s.head(s.block(s.activation(y), b, c), c, side);
  },
  gated(s) {
    const [features, hidden] = [6, s.between(3, 6)];
    const x = s.add('Tanh', [s.dense(s.input(null, 4), 4, features)]);
    if (s.pick(2)) {
      const wide = s.dense(x, features, 2 * hidden);
      const [left, right] = s.pick(2) ? s.several('Split', [wide], 2, { axis: int(1), num_outputs: int(2) }) : [0, hidden].map((from) =>
        s.add('Slice', [wide, s.ints(from), s.ints(from + hidden), s.ints(1)]));
      return s.dense(s.add('Mul', [left!, s.add('Sigmoid', [right!])]), hidden, 3);
    }
    const gate = s.dense(x, features, hidden);
    const swish = s.add('Mul', [gate, s.add('Sigmoid', [gate])]);
    return s.dense(s.add('Mul', [swish, s.dense(x, features, hidden)]), hidden, 3);
  },
  splitParts(s) {
    const [a, b] = [s.between(2, 4), s.between(2, 4)];
    const x = s.block(s.input(null, 2, side, side), 2, a + b);
    const [one, two] = s.several('Split', [x, s.ints(a, b)], 2, { axis: int(1) });
    const y = s.add('Concat', [s.block(one!, a, 3), two!], { axis: int(1) });
    return s.head(y, 3 + b, side);
  },
  shared(s) {
    const [a, b] = [s.between(3, 5), s.between(3, 5)];
    const [w, v] = [s.weight(a, 2, 3, 3), s.weight(b, a, 3, 3)];
    const tower = (x: string): string => s.add('Relu', [s.add('Conv', [s.add('Tanh', [s.add('Conv', [x, w], { pads: ints([1, 1, 1, 1]) })]), v], { pads: ints([1, 1, 1, 1]) })]);
    const [one, two] = [tower(s.input(null, 2, side, side)), tower(s.input(null, 2, side, side))];
    return s.pick(2) ? s.head(s.add('Sub', [one, two]), b, side) : s.head(s.add('Concat', [one, two], { axis: int(1) }), 2 * b, side);
  },
  tiedEmbedding(s) {
    const width = s.between(4, 7);
    const table = s.weight(tokens, width);
    let x = s.add('Gather', [table, s.tokens()]); // [N, T, width]
    const hidden = s.between(3, 6);
    x = s.add('Add', [x, s.dense3(s.activation(s.dense3(x, width, hidden)), hidden, width)]);
    return s.add('MatMul', [x, s.add('Transpose', [table], { perm: ints([1, 0]) })]);
  },
  attention(s) {
    const [heads, width, model] = [s.between(2, 4), s.between(2, 3), 6];
    const features = heads * width;
    const x = s.dense3(s.input(null, 5, 4), 4, model);
    const cut = (value: string, perm: number[]): string => s.add('Transpose', [s.add('Reshape', [value, s.ints(0, 0, heads, width)])], { perm: ints(perm) });
    const fused = s.pick(2) ? s.several('Split', [s.dense3(x, model, 3 * features)], 3, { axis: int(2), num_outputs: int(3) }) : [0, 1, 2].map(() => s.dense3(x, model, features));
    const [query, key, value] = [cut(fused[0]!, [0, 2, 1, 3]), cut(fused[1]!, [0, 2, 3, 1]), cut(fused[2]!, [0, 2, 1, 3])];
    const weights = s.add('Softmax', [s.add('Div', [s.add('MatMul', [query, key]), s.scalar(Math.sqrt(width))])], { axis: int(-1) });
    const joined = s.add('Reshape', [s.add('Transpose', [s.add('MatMul', [weights, value])], { perm: ints([0, 2, 1, 3]) }), s.ints(0, 0, features)]);
    const hidden = s.between(3, 6);
    const y = s.add('Add', [x, s.dense3(joined, features, model)]);
    return s.dense3(s.add('Add', [y, s.dense3(s.activation(s.dense3(y, model, hidden)), hidden, model)]), model, 3);
  },
  recurrent(s) {
    const layers = s.between(1, 2);
    let [x, features] = [s.add('Transpose', [s.input(null, 5, 3)], { perm: ints([1, 0, 2]) }), 3]; // [T, N, C]
    let last = '';
    const finals: string[] = [];
    const op = s.oneOf('LSTM', 'GRU', 'RNN');
    const both = s.pick(2) === 1;
    const stacked = !both && s.pick(2) === 1;
    const hidden = s.between(3, 6);
    for (let layer = 0; layer < layers; layer++) {
      const size = stacked ? hidden : s.between(3, 6);
      const directions = both ? 2 : 1;
      const [y, final] = s.recurrent(op, x, features, size, directions);
      x = s.add('Reshape', [s.add('Transpose', [y!], { perm: ints([0, 2, 1, 3]) }), s.ints(0, 0, -1)]);
      features = size * directions;
      last = s.add('Reshape', [s.add('Transpose', [final!], { perm: ints([1, 0, 2]) }), s.ints(0, -1)]);
      finals.push(final!);
    }
    if (stacked) {
      // h[-1], as PyTorch exports it
      const all = s.add('Concat', finals, { axis: int(0) });
      return s.dense(s.add('Gather', [all, s.index(-1)], { axis: int(0) }), hidden, 3);
    }
    if (s.pick(2)) return s.dense(last, features, 3);
    return s.dense3(x, features, 3);
  },
  encoderDecoder(s) {
    const [op, hidden] = [s.oneOf('LSTM', 'GRU', 'RNN'), s.between(3, 6)];
    const [, h, c] = s.recurrent(op, s.input(5, null, 3), 3, hidden, 1);
    const [y] = s.recurrent(op, s.input(4, null, 2), 2, hidden, 1, [h!, ...c ? [c] : []]);
    return s.dense3(s.add('Squeeze', [y!, s.ints(1)]), hidden, 3);
  },
};
