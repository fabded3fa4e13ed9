import type { Attribute, ModelGraph, Shape } from '../../src/core/graph/modelGraph';
import { float, int, ints } from '../../src/core/graph/attributes';
import { elementCount, type NdArray } from '../../src/core/graph/tensor';
import { graphOf, int64, node, seededRandom, type NodeSketch } from '../core/support/graphs';

/** A known architecture with seeded weights; `forward.py` has the same ones. */
export interface BenchModel {
  readonly name: string;
  readonly title: string;
  readonly input: Shape;
  graph(): Promise<ModelGraph>;
}

export const benchModels: readonly BenchModel[] = [
  { name: 'resnet20', title: 'ResNet-20, 32 images of 32²', input: [32, 3, 32, 32], graph: resnet20 },
  { name: 'vgg', title: 'VGG-like, 8 images of 32²', input: [8, 3, 32, 32], graph: vgg },
  { name: 'mobilenet', title: 'MobileNetV1, 1 image of 224²', input: [1, 3, 224, 224], graph: mobilenet },
  { name: 'lstm', title: 'LSTM, 2 layers of 256, 8 sequences of 100', input: [100, 8, 128], graph: lstm },
  { name: 'transformer', title: 'Transformer, 4 layers of 256, 4 texts of 128', input: [4, 128, 256], graph: transformer },
];

/** Nodes and weights as they are added; each method returns the name of its result. */
class Sketch {
  readonly nodes: NodeSketch[] = [];
  readonly weights: Record<string, NdArray> = {};
  private readonly next = seededRandom(7);

  add(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, outputs = 1): string {
    const name = `${op}${this.nodes.length}`;
    this.nodes.push(node(op, inputs, outputs === 1 ? name : [name, ...new Array<string>(outputs - 1).fill('')], attributes));
    return name;
  }

  /** Uniform with the deviation that keeps activations of one size. */
  weight(shape: readonly number[], fanIn: number, middle = 0): string {
    const name = `w${Object.keys(this.weights).length}`;
    const width = Math.sqrt(3 / fanIn);
    this.weights[name] = { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, () => middle + (this.next() * 2 - 1) * width) };
    return name;
  }

  ints(values: readonly number[]): string {
    const name = `i${Object.keys(this.weights).length}`;
    this.weights[name] = int64(values);
    return name;
  }

  scalar(value: number): string {
    const name = `s${Object.keys(this.weights).length}`;
    this.weights[name] = { dtype: 'float32', shape: [], data: Float32Array.of(value) };
    return name;
  }

  conv(x: string, from: number, to: number, size: number, stride = 1, group = 1, bias = false): string {
    const pad = size >> 1;
    const inputs = [x, this.weight([to, from / group, size, size], (from / group) * size * size)];
    if (bias) inputs.push(this.weight([to], 100));
    return this.add('Conv', inputs, {
      kernel_shape: ints([size, size]), strides: ints([stride, stride]), pads: ints([pad, pad, pad, pad]), group: int(group),
    });
  }

  norm(x: string, channels: number): string {
    const inputs = [1, 0, 0, 1].map((middle) => this.weight([channels], 100, middle));
    return this.add('BatchNormalization', [x, ...inputs], { epsilon: float(1e-5) });
  }

  dense(x: string, from: number, to: number): string {
    return this.add('Gemm', [x, this.weight([to, from], from), this.weight([to], 100)], { transB: int(1) });
  }

  finish(shape: Shape, output: string): Promise<ModelGraph> {
    return graphOf({ inputs: { x: shape }, outputs: [output], nodes: this.nodes, weights: this.weights });
  }
}

/** He et al., "Deep Residual Learning for Image Recognition", section 4.2 (shortcuts by 1×1 convolutions). */
function resnet20(): Promise<ModelGraph> {
  const s = new Sketch();
  let x = s.add('Relu', [s.norm(s.conv('x', 3, 16, 3), 16)]);
  let from = 16;
  for (const to of [16, 32, 64]) {
    for (let block = 0; block < 3; block++) {
      const stride = to !== from ? 2 : 1;
      const first = s.add('Relu', [s.norm(s.conv(x, from, to, 3, stride), to)]);
      const second = s.norm(s.conv(first, to, to, 3), to);
      const short = to === from ? x : s.norm(s.conv(x, from, to, 1, stride), to);
      x = s.add('Relu', [s.add('Add', [second, short])]);
      from = to;
    }
  }
  return s.finish([null, 3, 32, 32], s.dense(s.add('Flatten', [s.add('GlobalAveragePool', [x])]), 64, 10));
}

function vgg(): Promise<ModelGraph> {
  const s = new Sketch();
  let x = 'x';
  let from = 3;
  for (const to of [64, 128, 256]) {
    for (let layer = 0; layer < 2; layer++) {
      x = s.add('Relu', [s.conv(x, from, to, 3, 1, 1, true)]);
      from = to;
    }
    x = s.add('MaxPool', [x], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
  }
  const hidden = s.add('Relu', [s.dense(s.add('Flatten', [x]), 256 * 16, 256)]);
  return s.finish([null, 3, 32, 32], s.dense(hidden, 256, 10));
}

/** Howard et al., "MobileNets", table 1. */
function mobilenet(): Promise<ModelGraph> {
  const s = new Sketch();
  const six = (x: string): string => s.add('Clip', [x, s.scalar(0), s.scalar(6)]);
  let x = six(s.norm(s.conv('x', 3, 32, 3, 2), 32));
  let from = 32;
  const strided = new Set([1, 3, 5, 11]);
  [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024].forEach((to, index) => {
    x = six(s.norm(s.conv(x, from, from, 3, strided.has(index) ? 2 : 1, from), from));
    x = six(s.norm(s.conv(x, from, to, 1), to));
    from = to;
  });
  return s.finish([null, 3, 224, 224], s.dense(s.add('Flatten', [s.add('GlobalAveragePool', [x])]), 1024, 1000));
}

function lstm(): Promise<ModelGraph> {
  const s = new Sketch();
  const hidden = 256;
  let x = 'x';
  for (const from of [128, hidden]) {
    const weights = [s.weight([1, 4 * hidden, from], from), s.weight([1, 4 * hidden, hidden], hidden), s.weight([1, 8 * hidden], 100)];
    x = s.add('Squeeze', [s.add('LSTM', [x, ...weights], { hidden_size: int(hidden) }), s.ints([1])]);
  }
  return s.finish([100, null, 128], x);
}

/** Pre-norm encoder; GELU as exporters write it, with Erf. */
function transformer(): Promise<ModelGraph> {
  const s = new Sketch();
  const [width, heads] = [256, 8];
  const norm = (x: string): string => s.add('LayerNormalization', [x, s.weight([width], 100, 1), s.weight([width], 100)], { axis: int(-1) });
  const linear = (x: string, from: number, to: number): string => s.add('Add', [s.add('MatMul', [x, s.weight([from, to], from)]), s.weight([to], 100)]);
  let x = 'x';
  for (let layer = 0; layer < 4; layer++) {
    const n = norm(x);
    const split = (perm: readonly number[]): string =>
      s.add('Transpose', [s.add('Reshape', [linear(n, width, width), s.ints([0, 0, heads, width / heads])])], { perm: ints(perm) });
    const scores = s.add('Mul', [s.add('MatMul', [split([0, 2, 1, 3]), split([0, 2, 3, 1])]), s.scalar(1 / Math.sqrt(width / heads))]);
    const mixed = s.add('MatMul', [s.add('Softmax', [scores], { axis: int(-1) }), split([0, 2, 1, 3])]);
    const joined = s.add('Reshape', [s.add('Transpose', [mixed], { perm: ints([0, 2, 1, 3]) }), s.ints([0, 0, width])]);
    x = s.add('Add', [x, linear(joined, width, width)]);
    const up = linear(norm(x), width, 4 * width);
    const erf = s.add('Add', [s.add('Erf', [s.add('Div', [up, s.scalar(Math.SQRT2)])]), s.scalar(1)]);
    const gelu = s.add('Mul', [s.add('Mul', [up, erf]), s.scalar(0.5)]);
    x = s.add('Add', [x, linear(gelu, 4 * width, width)]);
  }
  return s.finish([null, 128, 256], norm(x));
}
