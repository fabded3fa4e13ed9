import { readsOf } from '../graph/attributes';
import type { Finding } from '../graph/errors';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { asFloat32, isFloat } from '../graph/numeric';
import { elementCount } from '../graph/tensor';

export interface Trainable {
  /** Tensors that training changes, in the order of the model. */
  readonly weights: readonly string[];
  /** Why others are left as they are; one finding a reason. */
  readonly findings: readonly Finding[];
}

/**
 * The weights that training may change: float tensors where an operator has a weight (kernels, matrices, gates, scales,
 * biases, tables that are looked up), also by way of transposes and the like. What is computed with before any weight
 * (scaling of the input), single numbers (epsilons, temperatures) and masks are constants. `frozen` says of a layer's
 * name whether its weights stay.
 */
export async function trainableWeights(graph: ModelGraph, frozen: (layer: string) => boolean = () => false): Promise<Trainable> {
  const { producer } = indexOf(graph);
  const fixed = new Set(graph.tensors.keys());
  const weights = new Set<string>();
  const left = new Map<string, Set<string>>();
  const leave = (reason: string, name: string): void => void left.set(reason, (left.get(reason) ?? new Set()).add(name));
  const learned = new Set<string>();
  for (const node of graph.nodes) {
    const constant = (input: string): boolean => fixed.has(input);
    if (readsOf(node).length > 0 && readsOf(node).every(constant)) {
      for (const output of node.outputs) fixed.add(output);
      continue;
    }
    let own = false;
    for (const input of weightInputs(node).filter(constant)) {
      own = true;
      for (const name of sourcesOf(input, producer, graph)) {
        const { dtype } = graph.tensors.get(name)!;
        if (frozen(node.layer)) leave('its layer is to stay as it is', node.layer);
        else if (dtype === 'float32') weights.add(name);
        else if (isFloat(dtype)) leave(`its numbers are ${dtype}`, node.layer);
        else if (dtype !== 'int64') leave('it is quantised', node.layer);
      }
    }
    const data = readsOf(node).filter((input) => !constant(input));
    const behind = data.some((input) => learned.has(input));
    if (elementwise.has(node.op) && node.domain === '') {
      for (const input of node.inputs.filter(constant)) {
        for (const name of sourcesOf(input, producer, graph)) {
          const { dtype, shape } = graph.tensors.get(name)!;
          if (dtype !== 'float32' || elementCount(shape) < 2 || weights.has(name)) continue;
          if (!behind) leave('it only prepares the input', node.layer);
          else if (shape.length > 1 && await isMask(graph, name)) leave('it is a mask', node.layer);
          else if (frozen(node.layer)) leave('its layer is to stay as it is', node.layer);
          else weights.add(name);
        }
      }
    }
    if (own || behind) for (const output of node.outputs) if (output) learned.add(output);
  }
  return {
    weights: [...weights],
    findings: [...left].map(([reason, layers]) => ({
      severity: 'info', place: [...layers].slice(0, 5).join(', ') + (layers.size > 5 ? `, ... (${layers.size})` : ''),
      message: `A constant here is not trained: ${reason}.`,
    })),
  };
}

/** Where each operator has its weights. */
const places: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2], ConvTranspose: [1, 2], Gemm: [0, 1, 2], MatMul: [0, 1], LSTM: [1, 2, 3, 7], GRU: [1, 2, 3], RNN: [1, 2, 3],
  BatchNormalization: [1, 2], LayerNormalization: [1, 2], RMSNormalization: [1], InstanceNormalization: [1, 2], GroupNormalization: [1, 2],
  SimplifiedLayerNormalization: [1], SkipLayerNormalization: [2, 3, 4], Attention: [1, 2], FusedMatMul: [0, 1], FusedGemm: [0, 1, 2], FusedConv: [1, 2],
  PRelu: [1], Gather: [0], ConvInteger: [1], MatMulInteger: [1], QLinearConv: [3], QLinearMatMul: [3], DequantizeLinear: [0],
};

const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div']);

function weightInputs(node: GraphNode): readonly string[] {
  if (node.op === 'Einsum') return node.inputs;
  return (places[node.op] ?? []).map((place) => node.inputs[place] ?? '');
}

/** The tensors that a constant value is made of; of several only the real numbers of more than one element. */
function sourcesOf(value: string, producer: ReadonlyMap<string, GraphNode>, graph: ModelGraph): readonly string[] {
  if (graph.tensors.has(value)) return [value];
  const found = new Set<string>();
  const seen = new Set<string>();
  const open = [value];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const tensor = graph.tensors.get(name);
    if (tensor && isFloat(tensor.dtype) && elementCount(tensor.shape) > 1) found.add(name);
    const node = producer.get(name);
    if (node) open.push(...readsOf(node));
  }
  return [...found];
}

/** Large negative numbers or infinities that switch something off, or nothing but zeros and ones. */
async function isMask(graph: ModelGraph, name: string): Promise<boolean> {
  const values = asFloat32(await graph.tensors.get(name)!.read());
  return values.some((value) => !(Math.abs(value) < 1e4)) || (values.every((value) => value === 0 || value === 1) && values.includes(0) && values.includes(1));
}
