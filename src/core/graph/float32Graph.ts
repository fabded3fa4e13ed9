import { int, readsOf } from './attributes';
import { unique } from './finishGraph';
import { indexOf, type Attribute, type Attributes, type GraphNode, type ModelGraph, type ValueInfo } from './modelGraph';
import { asFloat32 } from './numeric';
import type { DType, Tensor } from './tensor';

/**
 * A half-precision graph (float16, bfloat16) computed in float32: weights are decoded when they are read, casts to half become
 * casts to float32, inputs and outputs are float32. What the model rounded in between is no longer rounded, so results lie
 * closer to the exact ones than the model's own. Names stay. Around control flow, whose nested graphs are opaque, values stay
 * half and are cast. The graph itself when nothing in it is half.
 */
export function inFloat32(graph: ModelGraph): ModelGraph {
  if (!isHalfPrecision(graph)) return graph;
  return new Widening(graph).widened();
}

/** Whether a weight or value has 16 bits. */
export function isHalfPrecision(graph: ModelGraph): boolean {
  const typed = [...graph.tensors.values(), ...graph.inputs, ...graph.values.values()];
  return typed.some(({ dtype }) => isHalf(dtype)) || graph.nodes.some((node) => castsToHalf(node));
}

/** Whether half-precision values go in or out of nested graphs. */
export function hasHalfInControlFlow(graph: ModelGraph): boolean {
  return graph.nodes.some((node) => isControlFlow(node) && [...readsOf(node), ...node.outputs].some((name) => isHalf(typeOf(graph, name))));
}

export function isHalf(dtype: DType | undefined): dtype is 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16';
}

export function typeOf(graph: ModelGraph, name: string): DType | undefined {
  return graph.tensors.get(name)?.dtype ?? graph.inputs.find((input) => input.name === name)?.dtype ?? graph.values.get(name)?.dtype;
}

/** Element types by number in ONNX's attributes. */
const float32Code = 1;
const halfCodes: Readonly<Record<'float16' | 'bfloat16', number>> = { float16: 10, bfloat16: 16 };
/** Attributes that say an element type. */
const typeAttributes = ['to', 'dtype', 'output_dtype', 'output_datatype', 'stash_type', 'softmax_precision'];

class Widening {
  /** Half values that nested graphs read or make, with the names of their float32 forms. */
  private readonly both = new Map<string, string>();
  private readonly nodes: GraphNode[] = [];
  private readonly tensors = new Map<string, Tensor>();
  private readonly values: Map<string, ValueInfo>;
  private readonly nodeNames: Set<string>;

  constructor(private readonly graph: ModelGraph) {
    const names = new Set([...graph.tensors.keys(), ...graph.values.keys(), ...graph.inputs.map((input) => input.name)]);
    const known = new Map(graph.values);
    for (const node of graph.nodes.filter(isControlFlow)) {
      for (const name of [...readsOf(node), ...node.outputs]) {
        const dtype = typeOf(graph, name) ?? typeOfReaders(graph, name);
        if (!isHalf(dtype) || this.both.has(name)) continue;
        this.both.set(name, unique(`${name}/float32`, names));
        known.set(name, { name, ...graph.values.get(name), dtype });
      }
    }
    this.nodeNames = new Set(graph.nodes.map((node) => node.name));
    this.values = new Map([...known].map(([name, info]) => [name, this.both.has(name) ? info : wideInfo(info)]));
    for (const [name, wide] of this.both) this.values.set(wide, { ...known.get(name), name: wide, dtype: 'float32' });
  }

  widened(): ModelGraph {
    const { graph, both } = this;
    for (const [name, tensor] of graph.tensors) {
      if (!isHalf(tensor.dtype) || both.has(name)) this.tensors.set(name, tensor);
      const wide = both.get(name) ?? name;
      if (isHalf(tensor.dtype)) this.tensors.set(wide, wideTensor(wide, tensor));
    }
    const { producer } = indexOf(graph);
    for (const { name } of graph.inputs) if (both.has(name) && !producer.has(name)) this.cast(name, both.get(name)!, float32Code, 'inputs');
    for (const node of graph.nodes) this.add(node);
    const widen = (info: ValueInfo): ValueInfo => (both.has(info.name) ? info : wideInfo(info));
    return {
      ...graph, nodes: this.nodes, tensors: this.tensors, values: this.values,
      inputs: graph.inputs.map(widen), outputs: graph.outputs.map(widen),
    };
  }

  private add(node: GraphNode): void {
    const { both } = this;
    const renamed = (name: string): string => both.get(name) ?? name;
    if (isControlFlow(node)) {
      this.nodes.push(node);
      for (const name of node.outputs) if (both.has(name)) this.cast(name, renamed(name), float32Code, node.layer);
      return;
    }
    this.nodes.push({ ...node, inputs: node.inputs.map(renamed), outputs: node.outputs.map(renamed), attributes: wideAttributes(node.attributes) });
    for (const name of node.outputs) {
      const dtype = typeOf(this.graph, name);
      if (both.has(name) && isHalf(dtype)) this.cast(renamed(name), name, halfCodes[dtype], node.layer);
    }
  }

  private cast(from: string, to: string, code: number, layer: string): void {
    const name = unique(`${to}/cast`, this.nodeNames);
    this.nodes.push({ name, op: 'Cast', domain: '', inputs: [from], outputs: [to], attributes: { to: int(code) }, layer });
  }
}

/** What a nested graph gives has no known type; what is computed with it tells. */
function typeOfReaders(graph: ModelGraph, name: string): DType | undefined {
  for (const node of indexOf(graph).consumers.get(name) ?? []) {
    if (node.op === 'Cast' || isControlFlow(node)) continue;
    const around = [...node.inputs, ...node.outputs].map((other) => (other ? typeOf(graph, other) : undefined));
    const half = around.find(isHalf);
    if (half) return half;
  }
  return undefined;
}

function isControlFlow(node: GraphNode): boolean {
  return Object.values(node.attributes).some(({ type }) => type === 'graph');
}

function castsToHalf({ attributes }: GraphNode): boolean {
  return typeAttributes.some((name) => isHalfCode(attributes[name])) || Object.values(attributes).some(isHalfTensor);
}

function isHalfCode(attribute: Attribute | undefined): boolean {
  return attribute?.type === 'int' && Object.values(halfCodes).includes(attribute.value);
}

function isHalfTensor(attribute: Attribute): boolean {
  return attribute.type === 'tensor' && isHalf(attribute.value.dtype);
}

function wideAttributes(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).map(([name, attribute]): [string, Attribute] => {
    if (typeAttributes.includes(name) && isHalfCode(attribute)) return [name, int(float32Code)];
    if (attribute.type !== 'tensor' || !isHalf(attribute.value.dtype)) return [name, attribute];
    return [name, { type: 'tensor', value: { dtype: 'float32', shape: attribute.value.shape, data: asFloat32(attribute.value) } }];
  }));
}

function wideInfo(info: ValueInfo): ValueInfo {
  return isHalf(info.dtype) ? { ...info, dtype: 'float32' } : info;
}

function wideTensor(name: string, tensor: Tensor): Tensor {
  return {
    name, dtype: 'float32', shape: tensor.shape,
    read: async () => ({ dtype: 'float32', shape: tensor.shape, data: asFloat32(await tensor.read()) }),
  };
}
