import { float, int, ints } from '../../../src/core/graph/attributes';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import type { Attribute, GraphNode, ModelGraph, ValueInfo } from '../../../src/core/graph/modelGraph';
import { elementCount, type Tensor } from '../../../src/core/graph/tensor';

/** Networks of known architectures without weights in memory: a tensor is made (of zeros) when it is read. */
class Builder {
  private readonly nodes: GraphNode[] = [];
  private readonly tensors = new Map<string, Tensor>();

  conv(layer: string, x: string, from: number, to: number, { side = 3, stride = 1, group = 1, bias = false } = {}): string {
    const pad = (side - 1) >> 1;
    const weights = [this.tensor(`${layer}.weight`, [to, from / group, side, side]), ...bias ? [this.tensor(`${layer}.bias`, [to])] : []];
    return this.add('Conv', layer, [x, ...weights], { pads: ints([pad, pad, pad, pad]), strides: ints([stride, stride]), ...(group > 1 && { group: int(group) }) });
  }

  norm(layer: string, x: string, size: number): string {
    const parameters = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => this.tensor(`${layer}.${name}`, [size]));
    return this.add('BatchNormalization', layer, [x, ...parameters], { epsilon: float(1e-5) });
  }

  dense(layer: string, x: string, from: number, to: number): string {
    return this.add('Gemm', layer, [x, this.tensor(`${layer}.weight`, [to, from]), this.tensor(`${layer}.bias`, [to])], { transB: int(1) });
  }

  add(op: string, layer: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const name = `${layer}/${op}_${this.nodes.length}`;
    this.nodes.push({ name, op, domain: '', inputs, outputs: [`${name}:0`], attributes, layer });
    return `${name}:0`;
  }

  finish(input: ValueInfo, output: string): Promise<ModelGraph> {
    const layers = [...new Set(this.nodes.map(({ layer }) => layer))].map((name) => {
      const own = this.nodes.filter(({ layer }) => layer === name);
      return { name, type: own[0]!.op, nodes: own.map((node) => node.name), tensors: own.flatMap(({ inputs }) => inputs.filter((value) => this.tensors.has(value))) };
    });
    return finishGraph({
      format: 'test', producer: 'test', opset: 18, nodes: this.nodes, tensors: this.tensors, layers, findings: [], origin: undefined,
      inputs: [input], outputs: [{ name: output, dtype: 'float32' }],
    });
  }

  private tensor(name: string, shape: readonly number[]): string {
    this.tensors.set(name, { name, shape, dtype: 'float32', read: () => Promise.resolve({ dtype: 'float32', shape, data: new Float32Array(elementCount(shape)) }) });
    return name;
  }
}

/** ResNet-18 (He et al. 2016) as torchvision builds it, for pictures [3, 224, 224] and 1000 classes. */
export function resnet18(): Promise<ModelGraph> {
  const b = new Builder();
  let x = b.add('Relu', 'relu', [b.norm('bn1', b.conv('conv1', 'image', 3, 64, { side: 7, stride: 2 }), 64)]);
  x = b.add('MaxPool', 'maxpool', [x], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) });
  let width = 64;
  for (let stage = 0; stage < 4; stage++) {
    const to = 64 << stage;
    for (let block = 0; block < 2; block++) {
      const name = `layer${stage + 1}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const inner = b.add('Relu', `${name}.relu`, [b.norm(`${name}.bn1`, b.conv(`${name}.conv1`, x, width, to, { stride }), to)]);
      const made = b.norm(`${name}.bn2`, b.conv(`${name}.conv2`, inner, to, to), to);
      const skipped = stride === 1 ? x : b.norm(`${name}.downsample.1`, b.conv(`${name}.downsample.0`, x, width, to, { side: 1, stride }), to);
      x = b.add('Relu', `${name}.relu`, [b.add('Add', `${name}.add`, [made, skipped])]);
      width = to;
    }
  }
  const flat = b.add('Flatten', 'flatten', [b.add('GlobalAveragePool', 'avgpool', [x])]);
  return b.finish({ name: 'image', dtype: 'float32', shape: [null, 3, 224, 224] }, b.dense('fc', flat, 512, 1000));
}

/** MobileNetV1 (Howard et al. 2017) with ReLU6, for pictures [3, 224, 224] and 1000 classes. */
export function mobileNetV1(): Promise<ModelGraph> {
  const b = new Builder();
  const clip = (layer: string, x: string, size: number): string => b.add('Relu', `${layer}.relu`, [b.norm(`${layer}.bn`, x, size)]);
  let [x, width] = [clip('conv1', b.conv('conv1', 'image', 3, 32, { stride: 2 }), 32), 32];
  const plan = [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2], [512, 1], [512, 1], [512, 1], [512, 1], [512, 1], [1024, 2], [1024, 1]] as const;
  plan.forEach(([to, stride], index) => {
    const name = `block${index + 1}`;
    const deep = clip(`${name}.depthwise`, b.conv(`${name}.depthwise`, x, width, width, { stride, group: width }), width);
    x = clip(`${name}.pointwise`, b.conv(`${name}.pointwise`, deep, width, to, { side: 1 }), to);
    width = to;
  });
  const flat = b.add('Flatten', 'flatten', [b.add('GlobalAveragePool', 'avgpool', [x])]);
  return b.finish({ name: 'image', dtype: 'float32', shape: [null, 3, 224, 224] }, b.dense('fc', flat, 1024, 1000));
}

/** Four branches of width, 2, 3 and 6 times width, joined one after the other in three concatenations. */
export function cascadedConcat(width: number): Promise<ModelGraph> {
  const b = new Builder();
  const branch = (name: string, to: number, deep: boolean): string => {
    const first = b.norm(`${name}.1`, b.conv(`${name}.0`, 'image', width, to, { side: 1, bias: true }), to);
    return deep ? b.norm(`${name}.4`, b.conv(`${name}.3`, b.add('Gelu', `${name}.2`, [first]), to, to, { side: 1, bias: true }), to) : first;
  };
  let joined = branch('block1', width, true);
  for (const [index, times] of [2, 3, 6].entries()) {
    joined = b.add('Concat', `cat${index + 1}`, [joined, branch(`block${index + 2}`, times * width, index === 0)], { axis: int(1) });
  }
  return b.finish({ name: 'image', dtype: 'float32', shape: [null, width, 7, 7] }, b.conv('output', joined, 12 * width, 10, { side: 1, bias: true }));
}
