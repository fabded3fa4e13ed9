import { readsOf } from './attributes';
import { ParticlizeError, type Finding } from './errors';
import { ShapeInference, smallElements } from './inferShapes';
import type { GraphNode, Layer, ModelGraph, ValueInfo } from './modelGraph';
import { asNumbers, float32Array, int64Array, isInteger } from './numeric';
import { familyOf } from './ops/registry';
import type { OperatorFamily, UpgradeContext } from './ops/operator';
import { elementCount, tensorOf, type NdArray, type Tensor } from './tensor';

/** What a reader knows of a file before shapes, upgrades and checks: {@link finishGraph} makes a ModelGraph of it. */
export interface GraphDraft {
  readonly format: string;
  readonly producer: string;
  /** Version of the standard operator set that the nodes are written in; 18 or later when the reader translated them. */
  readonly opset: number;
  readonly domains?: Readonly<Record<string, number>>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly Layer[];
  /** What the file itself says about values; fills what inference leaves open. */
  readonly declared?: ReadonlyMap<string, ValueInfo>;
  readonly findings: readonly Finding[];
  readonly origin: unknown;
}

/** The operator set whose forms every node of a finished graph has, unless the file's own is later. */
export const baseOpset = 18;

/**
 * Upgrades old nodes, orders them, infers shapes and small contents, and says what it noticed. Reads small constant
 * tensors only. Rejects with a ParticlizeError when nodes form a circle or read a value that nothing makes.
 */
export async function finishGraph(draft: GraphDraft): Promise<ModelGraph> {
  const opset = Math.max(draft.opset, baseOpset);
  const tensors = new Map(draft.tensors);
  const constants = await smallContents(draft);
  const ordered = inOrder(draft);
  const inference = new ShapeInference({
    opset, tensors, constants, declared: draft.declared,
    inputs: draft.inputs.map((input) => ({ ...draft.declared?.get(input.name), ...defined(input) })),
  });
  const upgrader = new Upgrader(draft, tensors, inference);
  const nodes: GraphNode[] = [];
  const upgraded = new Map<string, readonly string[]>();
  for (const old of ordered) {
    const made = upgrader.upgrade(old);
    upgraded.set(old.name, made.map((node) => node.name));
    for (const node of made) {
      inference.add(node);
      nodes.push(node);
    }
  }
  return {
    format: draft.format, producer: draft.producer, opset, domains: draft.domains, nodes, tensors,
    inputs: draft.inputs.map((input) => merged(input, inference.values.get(input.name))),
    outputs: draft.outputs.map((output) => merged(output, inference.facts(output.name))),
    layers: finishLayers(draft.layers, upgraded, nodes, inference),
    values: inference.values,
    constants: inference.constants,
    findings: [...draft.findings, ...findingsOf(draft, nodes, inference)],
    origin: draft.origin,
  };
}

/** Integer tensors and scalars, plus the float scales that sizes are computed from. */
async function smallContents(draft: GraphDraft): Promise<Map<string, readonly number[]>> {
  const scales = new Set(draft.nodes.flatMap((node) =>
    node.op === 'Resize' || node.op === 'Upsample' ? node.inputs.slice(1) : []));
  const wanted = [...draft.tensors.values()].filter((tensor) => {
    const count = elementCount(tensor.shape);
    if (isInteger(tensor.dtype) || tensor.dtype === 'bool') return count <= smallElements;
    return tensor.dtype !== 'string' && (count === 1 || (scales.has(tensor.name) && count <= 16));
  });
  const contents = await Promise.all(wanted.map(async (tensor) => asNumbers(await tensor.read())));
  return new Map(wanted.map((tensor, index) => [tensor.name, contents[index]!]));
}

/** The nodes so that each comes after those it reads from; files are nearly always in order already. */
export function inOrder(draft: Pick<GraphDraft, 'inputs' | 'nodes' | 'tensors'>): readonly GraphNode[] {
  const producers = new Map<string, GraphNode>();
  for (const node of draft.nodes) for (const output of node.outputs) if (output) producers.set(output, node);
  const given = new Set([...draft.tensors.keys(), ...draft.inputs.map((input) => input.name)]);
  const state = new Map<GraphNode, 'open' | 'done'>();
  const ordered: GraphNode[] = [];
  const visit = (start: GraphNode): void => {
    const stack: { readonly node: GraphNode; readonly reads: readonly string[]; next: number }[] = [];
    const push = (node: GraphNode): void => {
      state.set(node, 'open');
      stack.push({ node, reads: readsOf(node), next: 0 });
    };
    push(start);
    while (stack.length) {
      const top = stack[stack.length - 1]!;
      const read = top.reads[top.next++];
      if (read === undefined) {
        state.set(top.node, 'done');
        ordered.push(top.node);
        stack.pop();
        continue;
      }
      const producer = producers.get(read);
      if (!producer) {
        if (!given.has(read)) throw refusal(top.node, `it reads '${read}', which nothing in the file makes`);
      } else if (state.get(producer) === 'open') {
        throw refusal(top.node, `its input '${read}' depends on its own output`);
      } else if (!state.has(producer)) {
        push(producer);
      }
    }
  };
  for (const node of draft.nodes) if (!state.has(node)) visit(node);
  return ordered;
}

function refusal(node: GraphNode, cause: string): ParticlizeError {
  return new ParticlizeError({
    place: `layer ${node.layer} (${node.op})`, cause, action: 'The file is damaged or was cut; export the model again',
  });
}

class Upgrader {
  private readonly names: Set<string>;
  private readonly nodeNames: Set<string>;

  constructor(
    private readonly draft: GraphDraft,
    private readonly tensors: Map<string, Tensor>,
    private readonly inference: ShapeInference,
  ) {
    this.names = new Set([
      ...draft.tensors.keys(), ...draft.inputs.map((input) => input.name), ...draft.nodes.flatMap((node) => node.outputs),
    ]);
    this.nodeNames = new Set(draft.nodes.map((node) => node.name));
  }

  upgrade(node: GraphNode): readonly GraphNode[] {
    if (this.draft.opset >= baseOpset) return [node];
    const upgrade = familyOf(node)?.upgrade;
    if (!upgrade) return [node];
    const made = this.attempt(node, upgrade);
    // The last node keeps the old name; those in front of it need names of their own.
    return made.map((next, index) => index === made.length - 1
      ? { ...next, name: node.name }
      : { ...next, name: unique(`${node.name}/${next.op}`, this.nodeNames) });
  }

  private attempt(node: GraphNode, upgrade: NonNullable<OperatorFamily['upgrade']>): readonly GraphNode[] {
    try {
      return upgrade(node, this.context(node));
    } catch (error) {
      // An odd old node stays as it is: the rest of the model is still worth showing.
      this.inference.failures.push({ node, reason: error instanceof Error ? error.message : String(error) });
      return [node];
    }
  }

  private context(node: GraphNode): UpgradeContext {
    const add = (hint: string, array: NdArray): string => {
      const name = unique(`${node.name}/${hint}`, this.names);
      this.tensors.set(name, tensorOf(name, array));
      this.inference.addTensor(name, asNumbers(array));
      return name;
    };
    return {
      fromOpset: this.draft.opset,
      facts: (value) => this.inference.facts(value),
      int64: (hint, values) => add(hint, int64Array(values)),
      float32: (hint, values, shape) => add(hint, float32Array(values, shape)),
      value: (hint) => unique(`${node.name}/${hint}`, this.names),
    };
  }
}

/** `wanted`, or with a number behind it when that is taken; the name counts as taken from now on. */
export function unique(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let number = 1; taken.has(name); number++) name = `${wanted}.${number}`;
  taken.add(name);
  return name;
}

function finishLayers(
  layers: readonly Layer[], upgraded: ReadonlyMap<string, readonly string[]>, nodes: readonly GraphNode[], inference: ShapeInference,
): readonly Layer[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  return layers.map((layer) => {
    const names = layer.nodes.flatMap((name) => upgraded.get(name) ?? [name]);
    const last = names.length ? byName.get(names[names.length - 1]!) : undefined;
    const output = last?.outputs.find(Boolean);
    const outputShape = layer.outputShape ?? (output === undefined ? undefined : inference.facts(output).shape);
    return { ...layer, nodes: names, outputShape };
  });
}

function findingsOf(draft: GraphDraft, nodes: readonly GraphNode[], inference: ShapeInference): Finding[] {
  const findings: Finding[] = [];
  for (const node of nodes) {
    if (!familyOf(node)) {
      const name = node.domain && node.domain !== 'ai.onnx' ? `${node.domain}.${node.op}` : node.op;
      findings.push({
        severity: 'info', place: node.layer,
        message: `opaque: ${name} is not known to Particlize; it is shown and run, but nothing is removed across it`,
      });
    }
    if (node.op === 'Scan' && !node.domain && draft.opset < 9) {
      findings.push({ severity: 'warning', place: node.layer, message: 'Scan had other inputs before operator set 9: it is shown, but does not run' });
    }
  }
  for (const { node, reason } of inference.failures) {
    findings.push({ severity: 'warning', place: node.layer, message: `${node.op} does not fit its inputs: ${reason}` });
  }
  for (const { node, value, inferred, declared } of inference.contradictions) {
    findings.push({
      severity: 'warning', place: node.layer,
      message: `the file says that ${value} is ${shapeText(declared)}, but ${node.op} makes it ${shapeText(inferred)}`,
    });
  }
  return findings;
}

function shapeText(shape: readonly (number | null)[]): string {
  return `[${shape.map((dim) => dim ?? '?').join(', ')}]`;
}

function merged(info: ValueInfo, facts: Pick<ValueInfo, 'dtype' | 'shape'> | undefined): ValueInfo {
  return { name: info.name, dtype: facts?.dtype ?? info.dtype, shape: facts?.shape ?? info.shape };
}

function defined(info: ValueInfo): ValueInfo {
  return { name: info.name, ...(info.dtype && { dtype: info.dtype }), ...(info.shape && { shape: info.shape }) };
}
