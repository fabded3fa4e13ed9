import { intOf } from './attributes';
import { unique } from './finishGraph';
import { inferShapes, type ShapeInference } from './inferShapes';
import type { Dim, GraphNode, ModelGraph, Shape, ValueInfo } from './modelGraph';
import { int64Array } from './numeric';
import { isBarrier } from './ops/operator';
import { familyOf } from './ops/registry';
import { tensorOf, type Tensor } from './tensor';

/**
 * A model whose file fixes the batch (input [1, 1, 28, 28], Reshape to [1, 256]) made to take any number of samples.
 * It is only done where shapes show that samples stay apart: with twice the batch, every value that depends on the inputs
 * has twice the rows and else the same shape, and no operator takes the first axis together. Otherwise the graph comes
 * back with its batch, and a finding says why.
 */
export function freeBatch(graph: ModelGraph): ModelGraph {
  const sizes = new Set(graph.inputs.map(({ shape }) => shape?.[0]).filter((size) => typeof size === 'number'));
  if (sizes.size === 0) return graph;
  const [batch] = sizes;
  if (sizes.size > 1 || batch === undefined || batch < 1) return kept(graph, 'its inputs begin with axes of different sizes');
  const freed = freeTargets(graph, batch);
  if ('reason' in freed) return kept(graph, freed.reason);
  const once = inferWith(graph, freed, batch);
  const twice = inferWith(graph, freed, 2 * batch);
  const reason = whyNotSafe(graph, freed.nodes, once, twice);
  if (reason) return kept(graph, reason);
  return {
    ...graph,
    nodes: freed.nodes,
    tensors: freed.tensors,
    inputs: graph.inputs.map((input) => withBatch(input, null)),
    outputs: graph.outputs.map((output) => ({ ...output, ...openInfo(output.name, once, twice) })),
    layers: graph.layers.map((layer) => layer.outputShape?.[0] === batch
      ? { ...layer, outputShape: [null, ...layer.outputShape.slice(1)] }
      : layer),
    values: new Map([...once.values.keys()].map((name) => [name, openInfo(name, once, twice)])),
    constants: new Map([...once.constants].map(([name, contents]) => [name, common(contents, twice.constants.get(name) ?? [])])),
  };
}

interface Freed {
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Contents of the new targets. */
  readonly targets: ReadonlyMap<string, readonly number[]>;
}

function kept(graph: ModelGraph, reason: string): ModelGraph {
  const finding = { severity: 'info', place: 'inputs', message: `the model only takes the batch that its file fixes: ${reason}` } as const;
  return { ...graph, findings: [...graph.findings, finding] };
}

/** Writes the batch out of the constants that shapes are made to. */
function freeTargets(graph: ModelGraph, batch: number): Freed | { readonly reason: string } {
  const tensors = new Map(graph.tensors);
  const targets = new Map<string, readonly number[]>();
  const names = new Set([...graph.tensors.keys(), ...graph.values.keys()]);
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    const [data = '', target = ''] = node.inputs;
    const sizes = graph.constants.get(target);
    const fixed = (node.op === 'Reshape' || node.op === 'Expand') && graph.tensors.has(target) && !graph.tensors.has(data)
      && sizes?.[0] === batch;
    if (!fixed || !sizes.every((size): size is number => size !== null)) {
      nodes.push(node);
      continue;
    }
    const first = node.op === 'Expand' ? 1 : sizes.includes(-1) ? 0 : -1;
    if (first === 0 && intOf(node, 'allowzero', 0) !== 0) return { reason: `${node.layer} reshapes to a fixed batch` };
    const name = unique(`${target}/free`, names);
    const next = [first, ...sizes.slice(1)];
    tensors.set(name, tensorOf(name, int64Array(next)));
    targets.set(name, next);
    nodes.push({ ...node, inputs: [data, name, ...node.inputs.slice(2)] });
  }
  return { nodes, tensors, targets };
}

function inferWith(graph: ModelGraph, { nodes, tensors, targets }: Freed, batch: number): ShapeInference {
  const contents = [...graph.constants].filter(([name]) => tensors.has(name));
  return inferShapes({
    opset: graph.opset, tensors, constants: new Map([...contents, ...targets]),
    inputs: graph.inputs.map((input) => withBatch(input, batch)),
  }, nodes);
}

function whyNotSafe(graph: ModelGraph, nodes: readonly GraphNode[], once: ShapeInference, twice: ShapeInference): string | undefined {
  const failure = once.failures[0] ?? twice.failures[0];
  if (failure) return `${failure.node.layer} (${failure.node.op}) does not fit another batch`;
  for (const node of nodes) {
    const outputs = node.outputs.filter((output) => output && !once.isConstant(output) && !once.constants.has(output));
    if (!outputs.length) continue;
    const where = `${node.layer} (${node.op})`;
    const family = familyOf(node);
    if (!family) return `${where} is an operator that Particlize does not know`;
    for (const output of outputs) {
      const before = once.facts(output).shape;
      if (!before || !doubled(before, twice.facts(output).shape)) return `${where} does not keep samples apart`;
      const known = graph.values.get(output)?.shape;
      if (known && !matches(known, before)) return `${where} would change its shape`;
    }
    const mixes = family.flow?.(node, twice).find((relation) => isBarrier(relation) && relation.a.axis === 0
      && !once.isConstant(relation.a.value) && !once.constants.has(relation.a.value));
    if (mixes) return `${where} takes samples together`;
  }
  return undefined;
}

function doubled(once: Shape, twice: Shape | undefined): boolean {
  return twice !== undefined && once.length > 0 && once.length === twice.length
    && once.every((dim, axis) => dim !== null && twice[axis] === (axis === 0 ? 2 * dim : dim));
}

function matches(known: Shape, inferred: Shape): boolean {
  return known.length === inferred.length && known.every((dim, axis) => dim === null || dim === inferred[axis]);
}

function withBatch(input: ValueInfo, batch: Dim): ValueInfo {
  return input.shape?.length ? { ...input, shape: [batch, ...input.shape.slice(1)] } : input;
}

function openInfo(name: string, once: ShapeInference, twice: ShapeInference): ValueInfo {
  const { dtype, shape } = once.facts(name);
  return { name, dtype, shape: shape && common(shape, twice.facts(name).shape ?? []) };
}

function common(left: readonly Dim[], right: readonly Dim[]): Dim[] {
  return left.map((dim, index) => (dim === right[index] ? dim : null));
}
