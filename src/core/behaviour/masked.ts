import { batchModel, batchSize, bytesPerSample, openRunner } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { objectiveFor, targetsOf, type Score } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { contextOf } from '../graph/inferShapes';
import type { GraphNode, ModelGraph, ValueInfo } from '../graph/modelGraph';
import { asFloat32, fromFloat32 } from '../graph/numeric';
import type { AxisRef } from '../graph/ops/operator';
import type { DType, NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { ParticleTable } from '../particles/particleTable';
import type { BehaviourContext } from './behaviour';
import { particleIndices } from './consumers';
import { ancestorsOf } from './suffix';

/** Runs the model with any set of particles switched off at once. */
export interface MaskedModel {
  /** Score without these rows, and the largest change of an output relative to the largest output. */
  evaluate(rows: Iterable<number>): Promise<Score & { readonly outputChange: number }>;
  dispose(): Promise<void>;
}

/** Score of the model without these particles; for several sets in a row open the masked model once. */
export async function evaluateMasked(context: BehaviourContext, rows: Iterable<number>): Promise<Score> {
  const masked = await openMasked(context);
  try {
    return await masked.evaluate(rows);
  } finally {
    await masked.dispose();
  }
}

/** Compiles the model once, with a factor of one or zero at every place where particles act. */
export async function openMasked(context: BehaviourContext): Promise<MaskedModel> {
  const { graph, table, engine, data, memoryBytes, task } = context;
  const model = await batchModel(graph);
  const objective = objectiveFor(model.graph, data);
  const built = withMasks(model.graph, table, objective.output);
  const output = built.renamed.get(objective.output) ?? objective.output;
  const shared = new Set(built.masks.map(({ name }) => name));
  const inputs = model.graph.inputs.map(({ name }) => name);
  const runner = await openRunner(engine, { ...model, graph: built.graph }, [...inputs, ...shared], [output], shared);
  const batch = batchSize(memoryBytes, bytesPerSample(model.graph));
  let unmasked: Float32Array[] | undefined;
  const run = async (rows: ReadonlySet<number>): Promise<{ score: Score; outputs: Float32Array[] }> => {
    const masks = built.masks.map((mask) => [mask.name, maskArray(mask, rows)] as const);
    const sums = new Float64Array(objective.sums);
    const outputs: Float32Array[] = [];
    for (let from = 0; from < data.count; from += batch) {
      throwIfCancelled(task);
      const to = Math.min(data.count, from + batch);
      const array = (await runner.run(new Map([...await data.inputs(from, to), ...masks]))).get(output)!;
      const values = Float32Array.from(asFloat32(array));
      outputs.push(values);
      objective.add(sums, values, outputWidth(array, to - from), 0, to - from, await targetsOf(data, from, to));
    }
    return { score: objective.finish(sums, data.count), outputs };
  };
  return {
    async evaluate(rows) {
      unmasked ??= (await run(new Set())).outputs;
      const { score, outputs } = await run(new Set(rows));
      return { ...score, outputChange: relativeChange(unmasked, outputs) };
    },
    dispose: () => runner.dispose(),
  };
}

interface Mask {
  readonly name: string;
  readonly group: ParticleGroup;
  readonly act: AxisRef;
  readonly indices: readonly (readonly number[])[];
  readonly rank: number;
  readonly size: number;
  readonly dtype: DType;
}

interface Masked {
  readonly graph: ModelGraph;
  readonly masks: readonly Mask[];
  /** Masked name of each value that is masked. */
  readonly renamed: ReadonlyMap<string, string>;
}

function withMasks(graph: ModelGraph, table: ParticleTable, output: string): Masked {
  const ancestors = ancestorsOf(graph, output);
  const masks: Mask[] = [];
  const byValue = new Map<string, Mask[]>();
  for (const group of table.groups) {
    const before = group.acts.filter(({ value }) => ancestors.has(value));
    for (const act of before.length ? before : [group.producer]) {
      const { shape, dtype = 'float32' } = contextOf(graph).facts(act.value);
      const indices = particleIndices(graph, act, group.count);
      const size = shape?.[act.axis];
      if (!shape || !indices || typeof size !== 'number') continue;
      const mask: Mask = { name: `particlize/mask/${masks.length}`, group, act, indices, rank: shape.length, size, dtype };
      masks.push(mask);
      byValue.set(act.value, [...(byValue.get(act.value) ?? []), mask]);
    }
  }
  const renamed = new Map<string, string>();
  const values = new Map<string, ValueInfo>(graph.values);
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    nodes.push({ ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) });
    for (const made of node.outputs) {
      for (const mask of byValue.get(made) ?? []) {
        const before = renamed.get(made) ?? made;
        const after = `${mask.name}/result`;
        nodes.push({ name: after, op: 'Mul', domain: '', inputs: [before, mask.name], outputs: [after], attributes: {}, layer: node.layer });
        values.set(after, { ...graph.values.get(made), name: after });
        renamed.set(made, after);
      }
    }
  }
  for (const mask of masks) values.set(mask.name, { name: mask.name, dtype: mask.dtype, shape: maskShape(mask) });
  const inputs = [...graph.inputs, ...masks.map(({ name }) => values.get(name)!)];
  const outputs = graph.outputs.map((info) => ({ ...info, name: renamed.get(info.name) ?? info.name }));
  return { graph: { ...graph, nodes, values, inputs, outputs }, masks, renamed };
}

function maskShape({ rank, size, act }: Mask): number[] {
  return Array.from({ length: rank }, (_, axis) => (axis === act.axis ? size : 1));
}

function maskArray(mask: Mask, rows: ReadonlySet<number>): NdArray {
  const factors = new Float32Array(mask.size).fill(1);
  mask.indices.forEach((list, particle) => {
    if (rows.has(mask.group.firstRow + particle)) for (const index of list) factors[index] = 0;
  });
  return fromFloat32(factors, maskShape(mask), mask.dtype);
}

function relativeChange(before: readonly Float32Array[], after: readonly Float32Array[]): number {
  let [largest, change] = [0, 0];
  before.forEach((values, batch) => values.forEach((value, index) => {
    largest = Math.max(largest, Math.abs(value));
    const difference = Math.abs(after[batch]![index]! - value);
    if (!(difference <= change)) change = difference;
  }));
  return largest > 0 ? change / largest : change;
}
