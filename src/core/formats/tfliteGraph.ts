import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import { unique } from '../graph/finishGraph';
import { asFloat32, int64Array } from '../graph/numeric';
import { bytesPerElement, elementCount, tensorOf, type DType, type NdArray, type Tensor } from '../graph/tensor';
import type { FlatBuffer, FlatTable } from './containers/flatbuffers';
import { rawTensor } from './tensorflow/graphDefProto';
import type { TfAttribute, TfGraph, TfNode } from './tensorflow/tfGraph';
import { dequantised } from './tfliteQuantization';
import { operatorOf, type LiteOperator } from './tfliteOperators';

/**
 * A TensorFlow Lite model as the TensorFlow graph that it was made of: the same operators, weights in TensorFlow's
 * layout. Quantised weights become float32; quantised arithmetic is done in floating point, which a finding says.
 */
export function tfliteGraph(source: ByteSource, buffer: FlatBuffer, findings: Finding[]): { graph: TfGraph; outputs: readonly string[] } {
  const model = buffer.root();
  const subgraphs = model.tables(2);
  const main = subgraphs[0];
  if (!main) throw new ParticlizeError({ file: source.name, cause: 'it holds no graph' });
  if (subgraphs.length > 1) findings.push({ severity: 'info', place: source.name, message: `the file holds ${subgraphs.length} graphs; the first is shown` });
  return new Reader(source, model, main, findings).read();
}

/** The tensor types of the schema by number. */
const types: Readonly<Record<number, DType>> = {
  0: 'float32', 1: 'float16', 2: 'int32', 3: 'uint8', 4: 'int64', 6: 'bool', 7: 'int16', 9: 'int8', 10: 'float64', 12: 'uint64', 15: 'uint32', 16: 'uint16',
};

const dequantize = 6;

export interface LiteTensor {
  readonly name: string;
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  readonly constant: Tensor | undefined;
  readonly quantised: boolean;
}

class Reader {
  private readonly nodes: TfNode[] = [];
  private readonly names = new Set<string>();
  private readonly refs = new Map<number, string>();
  private readonly tensors: LiteTensor[];

  constructor(private readonly source: ByteSource, private readonly model: FlatTable, private readonly graph: FlatTable, private readonly findings: Finding[]) {
    const buffers = model.tables(4);
    this.tensors = graph.tables(0).map((tensor, index) => this.tensor(tensor, index, buffers));
  }

  read(): { graph: TfGraph; outputs: readonly string[] } {
    const codes = this.model.tables(1).map((code) => ({ number: Math.max(code.uint8(0), code.int32(3)), custom: code.text(1) }));
    for (const index of this.graph.int32s(1) ?? []) this.placeholder(index);
    const produced = new Set<number>();
    for (const [index, operator] of this.graph.tables(3).entries()) {
      const code = codes[operator.uint32(0)] ?? this.fail(`operator ${index}`, 'its code is not in the file');
      const outputs = operator.int32s(2) ?? [];
      for (const output of outputs) {
        if (produced.has(output)) this.fail(`tensor ${output}`, 'two operators make it');
        produced.add(output);
      }
      if (!this.unpacked(code.number, operator.int32s(1) ?? [], outputs)) this.operator(operator, code, outputs);
    }
    const outputs = (this.graph.int32s(2) ?? []).map((index) => this.ref(index, 'the outputs'));
    if (outputs.length === 0) this.fail('subgraph 0', 'it gives no output');
    if (this.tensors.some((tensor) => tensor.quantised && !tensor.constant)) {
      this.findings.push({ severity: 'warning', place: 'graph', message: 'the model computes with quantised numbers; Particlize computes it in floating point, so that results differ by rounding' });
    }
    return { graph: { nodes: this.nodes, functions: new Map() }, outputs };
  }

  /** Weights in half precision come through a DEQUANTIZE of their own: they are constants all the same. */
  private unpacked(code: number, [input = -1]: readonly number[], [output = -1]: readonly number[]): boolean {
    const packed = this.tensors[input]?.constant;
    const result = this.tensors[output];
    if (code !== dequantize || !packed || !result) return false;
    const { name } = result;
    const read = async (): Promise<NdArray> => ({ dtype: 'float32', shape: packed.shape, data: asFloat32(await packed.read()) });
    this.tensors[output] = { ...result, dtype: 'float32', constant: { name, dtype: 'float32', shape: packed.shape, read } };
    return true;
  }

  private placeholder(index: number): void {
    const tensor = this.at(index, 'the inputs');
    const name = unique(tensor.name, this.names);
    const dtype = tensor.quantised ? 'float32' : tensor.dtype ?? 'float32';
    this.push(name, 'Placeholder', [], { dtype: { dtype }, shape: { shape: tensor.shape.map((size) => size < 0 ? null : size) } });
    this.refs.set(index, name);
  }

  private operator(operator: FlatTable, { number, custom }: { number: number; custom: string }, outputs: readonly number[]): void {
    const indices = operator.int32s(1) ?? [];
    const first = this.at(outputs[0] ?? -1, 'an operator without outputs');
    const known: LiteOperator = operatorOf(number, custom);
    const name = unique(first.name, this.names);
    known.add({
      name, options: operator.table(4), inputs: indices,
      tensor: (index) => this.at(index, name),
      ref: (index) => this.ref(index, name),
      constant: (hint, tensor) => this.constant(`${name.slice(0, name.lastIndexOf('/') + 1) || `${name}/`}${hint}`, tensor),
      ints: (hint, values, shape) => this.constant(`${name}/${hint}`, tensorOf(hint, int64Array(values, shape))),
      node: (op, inputs, attributes = {}, own = name) => {
        const made = own === name ? name : unique(own, this.names);
        this.push(made, op, inputs, attributes);
        return made;
      },
    });
    outputs.forEach((output, position) => this.refs.set(output, position === 0 ? name : `${name}:${position}`));
  }

  private constant(name: string, tensor: Tensor): string {
    const made = unique(name, this.names);
    this.push(made, 'Const', [], { value: { tensor } });
    return made;
  }

  private ref(index: number, reader: string): string {
    const known = this.refs.get(index);
    if (known !== undefined) return known;
    const { constant, name } = this.at(index, reader);
    if (!constant) return this.fail(reader, `it reads tensor ${index} ('${name.slice(0, 100)}'), which nothing makes`);
    const made = this.constant(name, constant);
    this.refs.set(index, made);
    return made;
  }

  private at(index: number, reader: string): LiteTensor {
    return this.tensors[index] ?? this.fail(reader, `tensor ${index} is not in the file`);
  }

  private tensor(table: FlatTable, index: number, buffers: readonly FlatTable[]): LiteTensor {
    const shape = table.int32s(7) ?? table.int32s(0) ?? [];
    // TensorFlow joins the names of what it fused; the first says most.
    const name = (table.text(3).split(';')[0]?.replace(/:\d+$/, '') || `tensor_${index}`).slice(0, 500);
    const dtype = types[table.uint8(1)];
    const quantization = table.table(4);
    const scales = quantization?.float32s(2) ?? [];
    const quantised = scales.length > 0 && dtype !== undefined && /^u?int(8|16|32|64)$/.test(dtype);
    const number = table.uint32(2);
    const buffer = buffers[number];
    const data = buffer?.bytes(0);
    const far = buffer ? { at: buffer.uint64(1), count: buffer.uint64(2) } : undefined;
    const place = data && data.count > 0 ? data : far && far.count > 0 && far.at > 1 ? far : undefined;
    const base = { name, dtype, shape, quantised };
    if (number === 0 || !place || !dtype || dtype === 'string') return { ...base, constant: undefined };
    if (shape.some((size) => size < 0) || place.count !== elementCount(shape) * bytesPerElement[dtype]) {
      this.fail(`tensor ${name}`, `its ${place.count} bytes do not make ${dtype} of shape [${shape.join(', ')}]`);
    }
    if (place.at + place.count > this.source.sizeBytes) this.fail(`tensor ${name}`, `its bytes leave the file, which ends at byte ${this.source.sizeBytes}`);
    const stored = rawTensor(this.source, place.at, { name, dtype, shape });
    if (!quantised) return { ...base, constant: stored };
    const axis = quantization!.int32(6);
    if (scales.length > 1 && scales.length !== shape[axis]) this.fail(`tensor ${name}`, `it has ${scales.length} scales for ${shape[axis]} channels`);
    return { ...base, constant: dequantised(stored, { scales, zeroPoints: quantization!.int64s(3), axis }) };
  }

  private push(name: string, op: string, inputs: readonly string[], attributes: Readonly<Record<string, TfAttribute>>): void {
    this.nodes.push({ name, op, inputs, attributes: new Map(Object.entries(attributes)) });
  }

  private fail(place: string, cause: string): never {
    throw new ParticlizeError({ file: this.source.name, place, cause, action: 'The file may be damaged' });
  }
}
