import { consumersOf, type LinearConsumer } from '../../behaviour/consumers';
import { floatOf, intsOf, stringOf } from '../../graph/attributes';
import { contextOf } from '../../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import { float32Array } from '../../graph/numeric';
import { tensorOf, type Tensor } from '../../graph/tensor';
import { couplingGroups } from '../groups';
import type { FoldStep } from '../plan';
import { counted, forEachAt, readWeights, redrawn, rewritten, type Action } from './action';
import { removeRows } from './remove';

/**
 * What particles that never change add to the next layer is added to its bias, and they go. A zero may always go. Any other
 * number may not where a convolution pads with zeros: at the border it hears less of it, so a bias would be too much.
 */
export const fold: Action<FoldStep> = {
  name: 'fold',
  check(fields) {
    const particles = fields.particles();
    return { action: 'fold', particles, values: fields.numbers('values', particles.length) };
  },
  async apply({ particles, values }, model) {
    const { graph, table } = model;
    const rows = particles.map((id) => model.row(id));
    const tensors = new Map<string, Tensor>(graph.tensors);
    const edited = new Map<string, Float32Array>();
    const withBias = new Map<GraphNode, string>();
    for (const [index, row] of rows.entries()) {
      const value = values[index]!;
      if (value === 0) continue;
      const group = table.groupOf(row);
      const refuse = (reason: string) => ({ graph, refusals: [{ layer: group.layer, reason: `${particles[index]!} always says ${value}, and ${reason}` }] });
      if (couplingGroups(graph, table).bundleOf(row).rows.length > 1) return refuse('it goes together with others, that need not');
      const { linear, complete } = consumersOf(graph, group);
      if (!complete || !linear.length) return refuse('not everything that reads it is a dense layer or a convolution');
      for (const consumer of linear) {
        const place = biasPlace(graph, consumer);
        if ('reason' in place) return refuse(place.reason);
        const terms = await termsOf(graph, consumer, row - group.firstRow, value);
        const name = place.tensor ?? withBias.get(consumer.node) ?? freshName(tensors, `${consumer.node.name}/bias`);
        const bias = edited.get(name) ?? (place.tensor ? (await readWeights(graph, name)).values : new Float32Array(terms.length));
        if (bias.length !== terms.length) return refuse(`the bias of ${consumer.node.layer} is not one number for each output`);
        const beta = place.tensor && consumer.node.op === 'Gemm' ? floatOf(consumer.node, 'beta', 1) : 1;
        terms.forEach((term, output) => (bias[output]! += term / beta));
        edited.set(name, bias);
        if (!place.tensor) withBias.set(consumer.node, name);
      }
    }
    for (const [name, bias] of edited) {
      const tensor = graph.tensors.get(name);
      tensors.set(name, tensor ? rewritten(tensor, bias) : tensorOf(name, float32Array(bias)));
    }
    const nodes = graph.nodes.map((node) => {
      const name = withBias.get(node);
      return name === undefined ? node : { ...node, inputs: [node.inputs[0]!, node.inputs[1]!, name] };
    });
    const layers = graph.layers.map((layer) => {
      const own = [...withBias].filter(([node]) => layer.nodes.includes(node.name)).map(([, name]) => name);
      return own.length ? { ...layer, tensors: [...layer.tensors, ...own] } : layer;
    });
    const folded = edited.size ? await redrawn(graph, { tensors, layers, ...(withBias.size && { nodes }) }) : graph;
    const removed = await removeRows({ ...model, graph: folded }, new Set(rows));
    return removed.refusals?.length ? { ...removed, graph, gone: [] } : removed;
  },
  words: ({ particles }) => `fold ${counted(particles.length, 'constant particle')} into the next bias`,
};

/** Where a constant can be added to what an operator makes: a bias that it has, or one that it can be given. */
function biasPlace(graph: ModelGraph, { node, rule }: LinearConsumer): { readonly tensor?: string } | { readonly reason: string } {
  const context = contextOf(graph);
  const { consumers } = indexOf(graph);
  const alone = (tensor: string): { tensor: string } | { reason: string } =>
    (consumers.get(tensor)?.length === 1 ? { tensor } : { reason: `the bias of ${node.layer} is shared` });
  if (!rule.weight || !graph.tensors.has(rule.weight.value) || rule.inside) return { reason: `${node.layer} has no bias that could take it up` };
  if (node.op === 'Conv' || node.op === 'ConvTranspose') {
    const kernel = context.facts(node.inputs[1]!).shape?.slice(2) ?? [];
    const padded = stringOf(node, 'auto_pad', 'NOTSET').startsWith('SAME') || (intsOf(node, 'pads') ?? []).some((pad) => pad > 0);
    if (node.op === 'ConvTranspose' ? kernel.some((size) => size !== 1) : padded) {
      return { reason: `at the borders, where ${node.layer} ${node.op === 'Conv' ? 'pads with zeros' : 'has fewer taps'}, it adds less than elsewhere: no bias is the same` };
    }
  }
  if (node.op !== 'MatMul') {
    const [, , bias] = node.inputs;
    if (!bias) return {};
    if (!graph.tensors.has(bias)) return { reason: `the bias of ${node.layer} is computed in the model` };
    return context.facts(bias).shape?.length === 1 ? alone(bias) : { reason: `the bias of ${node.layer} is not one number for each output` };
  }
  const [next, ...others] = consumers.get(node.outputs[0]!) ?? [];
  const bias = next?.op === 'Add' && !others.length ? next.inputs.find((input) => graph.tensors.has(input)) : undefined;
  return bias !== undefined && context.facts(bias).shape?.length === 1 ? alone(bias) : { reason: `${node.layer} has no bias that could take it up` };
}

/** What a constant adds to each output. */
async function termsOf(graph: ModelGraph, { node, rule, indices }: LinearConsumer, particle: number, value: number): Promise<Float32Array> {
  const { values, shape } = await readWeights(graph, rule.weight!.value);
  const { axis } = rule.weight!;
  // The other one of a matrix; of a kernel that of the outputs.
  const outputAxis = axis === 0 ? 1 : 0;
  const terms = new Float64Array(shape[outputAxis]!);
  const each = shape.slice(outputAxis + 1).reduce((product, size) => product * size, 1);
  const alpha = node.op === 'Gemm' ? floatOf(node, 'alpha', 1) : 1;
  for (const index of indices[particle]!) {
    forEachAt(shape, axis, index, (position) => (terms[Math.floor(position / each) % terms.length]! += alpha * value * values[position]!));
  }
  return Float32Array.from(terms);
}

function freshName(tensors: ReadonlyMap<string, Tensor>, wanted: string): string {
  let name = wanted;
  for (let number = 1; tensors.has(name); number++) name = `${wanted}.${number}`;
  return name;
}
