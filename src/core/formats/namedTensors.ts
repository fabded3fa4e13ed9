import { ints, string } from '../graph/attributes';
import type { Finding } from '../graph/errors';
import { finishGraph, unique } from '../graph/finishGraph';
import type { Attribute, GraphNode, Layer, ModelGraph } from '../graph/modelGraph';
import type { ParticleKind } from '../graph/ops/operator';
import { weightsDomain, weightsOp } from '../graph/ops/weightsOnly';
import type { Tensor } from '../graph/tensor';
import { modulesOf, type Module } from './namedModules';
import { judgeModule, type WeightGroup } from './namedLayers';

export interface NamedTensors {
  readonly format: string;
  readonly producer: string;
  /** In the order of the file. */
  readonly tensors: Iterable<Tensor>;
  readonly findings: readonly Finding[];
  readonly origin: unknown;
}

/**
 * The graph of a file that has weights but no graph: the module tree comes from the names, one layer a module, its type
 * and its particles from names and shapes. Its weights can be measured; nothing can be run or removed, which a finding says.
 */
export function namedTensorGraph({ format, producer, tensors, findings, origin }: NamedTensors): Promise<ModelGraph> {
  const byName = new Map(Array.from(tensors, (tensor) => [tensor.name, tensor]));
  const nodes: GraphNode[] = [];
  const layers: Layer[] = [];
  const values = new Set(byName.keys());
  for (const module of modulesOf([...byName.values()])) {
    const { type, groups } = judgeModule(module);
    const made = groups.map((group, index) => weightsNode(module, group, index, values));
    nodes.push(...made);
    layers.push({
      name: module.name, type, nodes: made.map((node) => node.name), tensors: module.parameters.map(({ tensor }) => tensor.name),
    });
  }
  return finishGraph({
    format, producer, opset: 18, inputs: [], outputs: [], nodes, tensors: byName, layers, origin,
    findings: [...findings, {
      severity: 'info', place: 'graph',
      message: 'the file has weights but no graph: its weights can be looked at and compared, but the model cannot be run '
        + 'and nothing can be removed, because it is not known how the layers are connected',
    }],
  });
}

/** One operator that stands for some weights of a module. */
function weightsNode(module: Module, group: WeightGroup, index: number, values: Set<string>): GraphNode {
  const name = index === 0 ? module.name : `${module.name}:${index}`;
  return {
    name, op: weightsOp, domain: weightsDomain, layer: module.name,
    inputs: group.tensors, outputs: [unique(`${name}:channels`, values)],
    attributes: group.kind ? particleAttributes(group.kind, group) : {},
  };
}

function particleAttributes(kind: ParticleKind, { slices, tensors }: WeightGroup): Record<string, Attribute> {
  return {
    kind: string(kind),
    tensors: ints(slices.map((slice) => tensors.indexOf(slice.tensor))),
    axes: ints(slices.map((slice) => slice.axis)),
    gates: ints(slices.map((slice) => slice.gates ?? 1)),
    roles: { type: 'strings', value: slices.map((slice) => slice.role) },
  };
}
