import { openRunner, type BatchModel } from '../../evaluate/batching';
import { readsOf } from '../../graph/attributes';
import { indexOf, type GraphNode, type ModelGraph } from '../../graph/modelGraph';
import { asFloat32, fromFloat32 } from '../../graph/numeric';
import type { AxisRef } from '../../graph/ops/operator';
import { partsOf } from '../../graph/ops/recurrent';
import type { NdArray } from '../../graph/tensor';
import type { ParticleGroup } from '../../particles/particle';
import { particleIndices } from '../consumers';
import { sampleAxisOf } from '../sampleAxis';
import { suffixOf } from '../suffix';
import { actsBefore, NotToldApart, type Cut, type CutOptions } from './cut';
import { gatedGraph } from './gatedGraph';

/**
 * Recurrent units. A unit's state feeds its own layer's gates at the next step, so silencing what it gives to others is not
 * all of it: its column of the recurrent weights is zero as well. Then nothing of it is left, whatever state it begins with.
 * The layer and what follows run again for each unit, with all samples.
 */
export async function openRecurrentCut(model: BatchModel, group: ParticleGroup, { engine, output, prefix: shared }: CutOptions): Promise<Cut> {
  const { graph } = model;
  const nodes = recurrentNodes(graph, group);
  const weights = [...new Set(nodes.map((node) => partsOf(node).r))];
  const acts = [...actsBefore(model, group, output), ...cellStates(graph, nodes)];
  const gated = gatedGraph(graph, acts);
  const indices = gated.gates.map((gate) => particleIndices(graph, gate.act, group.count));
  if (!nodes.length || gated.gates.length < acts.length || !indices.every((list) => list !== undefined)) {
    throw new NotToldApart(group);
  }
  const judged = gated.renamed.get(output) ?? output;
  const changing = [...weights, ...gated.gates.map(({ name }) => name)];
  const { frontier } = suffixOf(gated.graph, changing, judged);
  const axisOf = (value: string): number => (value === judged ? 0 : sampleAxisOf(graph, value));
  const inputs = graph.inputs.map(({ name }) => name);
  const fetches = [...new Set([...frontier, output])].filter((name) => !inputs.includes(name));
  const opened: { dispose(): Promise<void> }[] = [];
  const keep = async <T extends { dispose(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const one = await opening;
    opened.push(one);
    return one;
  };
  const dispose = async (): Promise<void> => void await Promise.all(opened.map((one) => one.dispose()));
  try {
    const prefix = shared?.(fetches) ?? await keep(openRunner(engine, model, inputs, fetches, undefined, axisOf));
    const rest = await keep(openRunner(engine, { ...model, graph: gated.graph }, [...frontier, ...changing], [judged], new Set(changing), axisOf));
    const constants = await keep(engine.compile(graph, [], weights));
    const recurrent = await constants.run(new Map());
    return {
      rows: 1, replaced: [], dispose,
      sampleAxis: axisOf,
      changed: () => undefined,
      prefix: async (arrays) => new Map([...arrays, ...await prefix.run(arrays)]),
      async without(known, parts) {
        const [part] = parts;
        if (!part || parts.length > 1) throw new RangeError('recurrent units go through one by one');
        const feeds = new Map(frontier.map((name) => [name, known.get(name)!] as const));
        for (const name of weights) feeds.set(name, withoutColumn(recurrent.get(name)!, part.particle));
        gated.gates.forEach((gate, at) => {
          const factors = new Float32Array(gate.shape[gate.act.axis]!).fill(1);
          for (const index of indices[at]![part.particle]!) factors[index] = 0;
          feeds.set(gate.name, fromFloat32(factors, gate.shape, 'float32'));
        });
        return (await rest.run(feeds)).get(judged)!;
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The group's operators: several when they share their weights. */
function recurrentNodes(graph: ModelGraph, group: ParticleGroup): readonly GraphNode[] {
  const { producer } = indexOf(graph);
  const own = new Set(group.slices.filter(({ role }) => role === 'recurrent').map(({ tensor }) => tensor));
  return graph.nodes.filter((node) => recurrentOps.has(node.op) && [...storedBehind(partsOf(node).r)].some((name) => own.has(name)));

  function storedBehind(value: string): Set<string> {
    if (graph.tensors.has(value)) return new Set([value]);
    const node = producer.get(value);
    return new Set((node ? readsOf(node) : []).flatMap((read) => [...storedBehind(read)]));
  }
}

const recurrentOps = new Set(['LSTM', 'GRU', 'RNN']);

/** The last cell state of an LSTM, where something reads it: it is the unit's as well. */
function cellStates(graph: ModelGraph, nodes: readonly GraphNode[]): AxisRef[] {
  const { consumers } = indexOf(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return nodes.map(({ outputs: made }) => made[2] ?? '').filter((value) => value && (consumers.has(value) || outputs.has(value))).map((value) => ({ value, axis: 2 }));
}

/** R [directions, rows, units] without what comes from one unit. */
function withoutColumn(array: NdArray, unit: number): NdArray {
  const values = Float32Array.from(asFloat32(array));
  const units = array.shape[2]!;
  for (let at = unit; at < values.length; at += units) values[at] = 0;
  return fromFloat32(values, array.shape, array.dtype);
}
