import { indexOf, type GraphNode, type ModelGraph, type ValueInfo } from '../../graph/modelGraph';
import { contextOf } from '../../graph/inferShapes';
import type { Act } from '../../particles/particle';

/** A graph with a factor at some of its values, to be fed: where it is 0, nothing of the value goes on. */
export interface GatedGraph {
  readonly graph: ModelGraph;
  readonly gates: readonly Gate[];
  /** The name under which a value goes on. */
  readonly renamed: ReadonlyMap<string, string>;
}

export interface Gate {
  readonly name: string;
  readonly act: Act;
  /** Broadcasts over all axes but the particles'. */
  readonly shape: readonly number[];
}

/** Only values whose sizes on the axis are known get a gate. */
export function gatedGraph(graph: ModelGraph, acts: readonly Act[]): GatedGraph {
  const gates: Gate[] = [];
  const renamed = new Map<string, string>();
  const values = new Map<string, ValueInfo>(graph.values);
  const nodes: GraphNode[] = [];
  const { producer } = indexOf(graph);
  for (const act of acts) {
    const { value, axis } = act;
    const { shape, dtype } = contextOf(graph).facts(value);
    const size = shape?.[axis];
    if (typeof size !== 'number' || !producer.has(value)) continue;
    const gate: Gate = { name: `particlize/gate/${gates.length}`, act, shape: shape!.map((_, at) => (at === axis ? size : 1)) };
    gates.push(gate);
    renamed.set(value, `${gate.name}/result`);
    values.set(gate.name, { name: gate.name, dtype, shape: gate.shape });
    values.set(`${gate.name}/result`, { ...graph.values.get(value), name: `${gate.name}/result` });
  }
  for (const node of graph.nodes) {
    nodes.push({ ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) });
    for (const { name, act: { value } } of gates) {
      if (!node.outputs.includes(value)) continue;
      const result = renamed.get(value)!;
      nodes.push({ name: result, op: 'Mul', domain: '', inputs: [value, name], outputs: [result], attributes: {}, layer: node.layer });
    }
  }
  const inputs = [...graph.inputs, ...gates.map(({ name }) => values.get(name)!)];
  const outputs = graph.outputs.map((info) => ({ ...info, name: renamed.get(info.name) ?? info.name }));
  return { graph: { ...graph, nodes, values, inputs, outputs }, gates, renamed };
}
