import { unique } from '../../graph/finishGraph';
import type { Attribute, Shape } from '../../graph/modelGraph';
import { float32Array, int64Array } from '../../graph/numeric';
import { elementCount, type DType } from '../../graph/tensor';
import type { WeightLayout } from '../keras/weightView';
import type { OpContext, WeightRef } from './opContext';
import type { TfAttribute, TfNode } from './tfGraph';
import type { TfInput, Translator } from './translate';

/** The {@link OpContext} of one node. */
export class NodeContext implements OpContext {
  /** The bias addition that was taken into this node. */
  absorbed: TfNode | undefined;
  /** Whether it has a kernel of its own. */
  weighted = false;
  private readonly made = new Map<string, Omit<TfInput, 'node'>>();

  constructor(private readonly translator: Translator, readonly node: TfNode) {}

  get inputCount(): number {
    return this.node.inputs.length;
  }

  input(index: number): string {
    const ref = this.node.inputs[index] ?? this.fail(`it has no input ${index}`);
    return this.translator.value(ref, this.node.name);
  }

  facts(value: string): ReturnType<OpContext['facts']> {
    return this.translator.inference.facts(value);
  }

  shapeOf(index: number): Shape | undefined {
    const constant = this.translator.constantAt(this.node.inputs[index] ?? '');
    return constant ? constant.tensor.shape : this.facts(this.input(index)).shape;
  }

  constant(index: number): readonly number[] | undefined {
    const ref = this.node.inputs[index];
    if (ref === undefined) return undefined;
    const constant = this.translator.constantAt(ref);
    if (constant) return this.translator.contentsOf(constant);
    const known = this.facts(this.input(index)).constant;
    return known?.every((value): value is number => value !== null) ? known : undefined;
  }

  weight(index: number, layout: WeightLayout): WeightRef | undefined {
    const ref = this.node.inputs[index];
    const constant = ref === undefined ? undefined : this.translator.constantAt(ref);
    if (!constant) return undefined;
    if (constant.tensor.shape.length !== layout.axes.length) {
      this.fail(`its weights have the shape [${constant.tensor.shape.join(', ')}] where ${layout.axes.length} axes are needed`);
    }
    this.weighted = true;
    return this.translator.register(constant, layout, this.node.name);
  }

  text(name: string, otherwise: string): string { return this.attribute(name)?.text ?? otherwise; }
  int(name: string, otherwise: number): number { return this.attribute(name)?.int ?? otherwise; }
  float(name: string, otherwise: number): number { return this.attribute(name)?.float ?? otherwise; }
  flag(name: string, otherwise: boolean): boolean { return this.attribute(name)?.flag ?? otherwise; }
  ints(name: string): readonly number[] { return this.attribute(name)?.ints ?? []; }
  texts(name: string): readonly string[] { return this.attribute(name)?.texts ?? []; }
  shape(name: string): ReturnType<OpContext['shape']> { return this.attribute(name)?.shape; }

  dtype(name: string): DType | undefined {
    const found = this.attribute(name)?.dtype;
    return found === 'resource' || found === 'other' ? undefined : found;
  }

  add(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain = ''): string {
    return this.addMany(op, inputs, 1, attributes, domain)[0]!;
  }

  addMany(op: string, inputs: readonly string[], outputs: number, attributes: Readonly<Record<string, Attribute>> = {}, domain = ''): readonly string[] {
    const { translator } = this;
    const name = unique(`${this.node.name}/${op}`, translator.taken);
    const values = Array.from({ length: outputs }, (_, index) => unique(index === 0 ? `${name}/output` : `${name}/output:${index}`, translator.taken));
    const added = { name, op, domain, inputs, outputs: values, attributes, layer: this.node.name };
    translator.nodes.push(added);
    translator.inference.add(added);
    const made = inputs.flatMap((input, index) => {
      const from = this.made.get(input);
      return from ? [[index, { ...from, node: this.node.name }] as const] : [];
    });
    if (made.length) translator.madeInputs.set(name, new Map(made));
    return values;
  }

  int64(hint: string, values: readonly number[], shape: readonly number[] = [values.length]): string {
    if (!values.every(Number.isSafeInteger)) this.fail(`its ${hint} [${values.join(', ')}] are not whole numbers`);
    return this.translator.constantArray(`${this.node.name}/${hint}`, int64Array(values, shape));
  }

  float32(hint: string, values: readonly number[], shape: readonly number[] = []): string {
    return this.translator.constantArray(`${this.node.name}/${hint}`, float32Array(values, shape));
  }

  madeFrom(value: string, index: number, toFile: TfInput['toFile']): void {
    this.made.set(value, { input: index, toFile });
  }

  followingBias(channels: number, channelsFirst: boolean): string | undefined {
    const { translator, node } = this;
    const readers = translator.readers.get(node.name) ?? [];
    const next = readers[0]?.node;
    if (readers.length !== 1 || !next || translator.outputRefs.includes(node.name)) return undefined;
    if (!['BiasAdd', 'BiasAddV1', 'Add', 'AddV2'].includes(next.op)) return undefined;
    const index = readers[0]!.index === 0 ? 1 : 0;
    const ref = next.inputs[index];
    // Keras 3 gives the bias as many axes as the result has.
    const constant = ref === undefined ? undefined : translator.constantAt(ref, biasWay);
    if (!constant || constant.tensor.shape.filter((size) => size !== 1).length > 1 || elementCount(constant.tensor.shape) !== channels) return undefined;
    const first = next.op.startsWith('Bias') && next.attributes.get('data_format')?.text === 'NCHW';
    if (!next.op.startsWith('Bias')) {
      const shape = translator.constantAt(ref!) ? constant.tensor.shape : this.reshaped(ref!);
      const axis = shape?.findIndex((size) => size === channels) ?? -1;
      const wanted = channelsFirst ? (shape?.length ?? 0) - 3 : (shape?.length ?? 0) - 1;
      if (channels > 1 && axis !== wanted) return undefined;
    } else if (first !== channelsFirst) return undefined;
    this.absorbed = next;
    const bias = translator.register(constant, { axes: constant.tensor.shape.map((_, axis) => axis) }, node.name, [channels]).name;
    this.followReshapes(ref!, bias, channels);
    return bias;
  }

  followsSize(tensor: string, axis: number, index: number): void {
    const { translator } = this;
    const ref = translator.graph.resolve(this.node.inputs[index] ?? '');
    const list = translator.graph.nodes.get(ref);
    const listed = translator.constantAt(ref);
    const values = listed && translator.contentsOf(listed);
    const at = this.text('data_format', 'NHWC') === 'NCHW' ? 1 : 3;
    if (values) {
      translator.follows.push({ tensor, axis, node: this.node.name, input: index, toFile: (size) => ({ values: values.map((value, place) => place === at ? size : value), shape: [values.length] }) });
    } else if (list?.op === 'Pack' && translator.constantAt(list.inputs[at] ?? '')) {
      translator.follows.push({ tensor, axis, node: list.name, input: at, toFile: (size) => ({ values: [size], shape: [] }) });
    }
  }

  opaque(reason?: string): readonly string[] {
    const { node, translator } = this;
    const outputs = [...translator.readers.keys(), ...translator.outputRefs]
      .flatMap((ref) => ref === node.name ? [0] : ref.startsWith(`${node.name}:`) ? [Number(ref.slice(node.name.length + 1))] : []);
    const count = Math.min(1000, Math.max(0, ...outputs.filter(Number.isInteger)) + 1);
    if (reason) translator.findings.push({ severity: 'warning', place: node.name, message: `${node.op}: ${reason}` });
    return this.addMany(node.op, node.inputs.map((_, index) => this.input(index)), count, {}, 'tensorflow');
  }

  fail(cause: string): never {
    return this.translator.fail(this.node.name, cause);
  }

  /** The shape that a Reshape of a constant gives it. */
  private reshaped(ref: string): readonly number[] | undefined {
    const { translator } = this;
    const reshape = translator.graph.nodes.get(translator.graph.resolve(ref));
    const target = reshape?.op === 'Reshape' ? translator.constantAt(reshape.inputs[1] ?? '') : undefined;
    return target && translator.contentsOf(target);
  }

  /** What gives a bias its axes names their sizes. */
  private followReshapes(ref: string, bias: string, channels: number): void {
    const { translator } = this;
    for (let node = translator.graph.nodes.get(translator.graph.resolve(ref)); node && biasWay.has(node.op); node = translator.graph.nodes.get(translator.graph.resolve(node.inputs[0] ?? ''))) {
      const target = node.op === 'Reshape' ? translator.constantAt(node.inputs[1] ?? '') : undefined;
      const values = target && translator.contentsOf(target);
      if (values?.includes(channels)) {
        translator.follows.push({
          tensor: bias, axis: 0, node: node.name, input: 1, toFile: (size) => ({ values: values.map((value) => value === channels ? size : value), shape: [values.length] }),
        });
      }
    }
  }

  private attribute(name: string): TfAttribute | undefined {
    return this.node.attributes.get(name);
  }
}

const biasWay = new Set(['Identity', 'ReadVariableOp', 'Reshape', 'ExpandDims', 'Squeeze']);
