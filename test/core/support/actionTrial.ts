import type { Engine } from '../../../src/core/graph/engine';
import { keyOf } from '../../../src/core/graph/coupling';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { tensorOf, type NdArray, type Tensor } from '../../../src/core/graph/tensor';
import { readingsOf } from '../../../src/core/optimise/actions/readings';
import { couplingGroups } from '../../../src/core/optimise/groups';
import type { PlanStep } from '../../../src/core/optimise/plan';
import { removableBlocks } from '../../../src/core/optimise/actions/removeBlock';
import { applyPlan } from '../../../src/core/optimise/surgery';
import { decompose } from '../../../src/core/particles/decompose';
import type { ParticleTable } from '../../../src/core/particles/particleTable';
import { forEachAt } from '../../../src/core/optimise/actions/action';
import { relativeError, seededRandom } from './graphs';
import { inputsFor, randomOfFamily } from './randomFamilies';
import { runGraph } from './runGraph';

export interface ActionTrial {
  readonly outcome: 'done' | 'refused' | 'failed' | 'none';
  readonly reason?: string;
  readonly error: number;
}

/** Actions with what the operated model has to equal, made by editing the original's weights in another way. */
export const trialActions = ['merge', 'fold', 'reweight', 'maskConnections', 'factorise', 'grow', 'removeBlock'] as const;

/** One random network of a family, one random step: the operated model against what it has to equal. */
export async function actionTrial(engine: Engine, family: string, action: (typeof trialActions)[number], seed: number): Promise<ActionTrial> {
  try {
    const original = await randomOfFamily(family, seed);
    const table = decompose(original);
    const random = seededRandom(seed * 104729 + action.length);
    const made = await expectation(engine, original, table, action, random);
    if (!made) return { outcome: 'none', error: 0 };
    const { graph, expected, step } = made;
    const operated = await applyPlan(graph, decompose(graph), { version: 1, model: { file: 'm.onnx', sha256: '' }, steps: [step] });
    if (operated.refusals.length) return { outcome: 'refused', reason: operated.refusals[0]!.reason, error: 0 };
    const contradiction = operated.graph.findings.find(({ severity }) => severity !== 'info');
    if (contradiction) return { outcome: 'failed', reason: contradiction.message, error: Infinity };
    const feeds = inputsFor(graph, seed);
    const error = relativeError(await runGraph(engine, operated.graph, feeds), await runGraph(engine, expected, feeds));
    return error <= 1e-5 ? { outcome: 'done', error } : { outcome: 'failed', reason: `differs by ${error}`, error };
  } catch (error) {
    return { outcome: 'failed', reason: error instanceof Error ? error.stack : String(error), error: Infinity };
  }
}

/** The model that the step is for, the step, and the model that the result has to equal. */
async function expectation(
  engine: Engine, graph: ModelGraph, table: ParticleTable, action: string, random: () => number,
): Promise<{ graph: ModelGraph; expected: ModelGraph; step: PlanStep } | undefined> {
  const coupling = couplingGroups(graph, table);
  const free = coupling.groups.flatMap(({ bundles }) => bundles).filter(({ stays }) => stays === undefined);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  if (action === 'removeBlock') {
    const block = pick(removableBlocks(graph));
    if (block === undefined) return undefined;
    const sum = graph.nodes.find((node) => node.op === 'Add' && (node.layer || node.name) === block)!;
    // Times zero: every weight of the branch stays, and the branch says nothing.
    const [one, two] = sum.inputs as [string, string];
    const branch = upstream(graph, two).has(one) ? two : one;
    const zero = tensorOf('trial/zero', { dtype: 'float32', shape: [1], data: new Float32Array(1) });
    const off = { name: 'trial/off', op: 'Mul', domain: '', inputs: [branch, 'trial/zero'], outputs: ['trial/off'], attributes: {}, layer: sum.layer };
    const nodes = graph.nodes.flatMap((node) => (node === sum ? [off, { ...node, inputs: node.inputs.map((name) => (name === branch ? 'trial/off' : name)) }] : [node]));
    const values = new Map(graph.values).set('trial/off', { ...graph.values.get(branch)!, name: 'trial/off' });
    return { graph, expected: { ...graph, nodes, values, tensors: new Map(graph.tensors).set('trial/zero', zero) }, step: { action: 'removeBlock', block } };
  }
  if (action === 'maskConnections') {
    const { layer } = pick(table.groups)!;
    return { graph, expected: graph, step: { action: 'maskConnections', layer, share: 0 } };
  }
  if (action === 'factorise') {
    const node = pick(graph.nodes.filter(({ op, inputs }) => ['Conv', 'Gemm', 'MatMul'].includes(op) && graph.tensors.has(inputs[1]!)));
    if (!node) return undefined;
    const shape = graph.tensors.get(node.inputs[1]!)!.shape;
    const spatial = node.op === 'Conv' && random() < 0.5;
    const [rows, columns] = node.op !== 'Conv' ? shape : spatial ? [shape[1]! * shape[2]!, shape[0]! * shape[3]!] : [shape[0]!, shape[1]! * shape[2]! * shape[3]!];
    // Of full rank nothing is lost.
    return { graph, expected: graph, step: { action: 'factorise', layer: node.layer, rank: Math.min(rows!, columns!), ...(spatial && { way: 'spatial' as const }) } };
  }
  if (!free.length) return undefined;
  const bundle = pick(free)!;
  const id = table.id(bundle.rows[0]!);
  if (action === 'grow') return { graph, expected: graph, step: { action: 'grow', particles: [id] } };
  const own = readingsOf(graph, table, [bundle.rows[0]!]);
  if (action === 'reweight') {
    if ('reason' in own) return { graph, expected: graph, step: { action: 'reweight', particles: [id], factors: [2] } };
    const tensors = new Map<string, Tensor>(graph.tensors);
    for (const { tensor, axis, indices } of own.readings) await edit(tensors, tensor, (data, shape) => indices.forEach((index) => forEachAt(shape, axis, index, (at) => (data[at]! *= 2))));
    return { graph, expected: { ...graph, tensors }, step: { action: 'reweight', particles: [id], factors: [2] } };
  }
  const group = table.groupOf(bundle.rows[0]!);
  if (action === 'merge') {
    // A twin is made first: the slices of one particle are those of another one of its layer, for all that is tied to it.
    const other = pick(coupling.groupOf(bundle.rows[0]!).bundles.filter((candidate) => candidate.stays === undefined && candidate !== bundle && candidate.rows.length === bundle.rows.length));
    if (!other || !other.rows.every((row, place) => table.groupOf(row) === table.groupOf(bundle.rows[place]!))) return undefined;
    const twin = { ...graph, tensors: new Map<string, Tensor>(graph.tensors) };
    const theirs = readingsOf(graph, table, [other.rows[0]!]);
    // Members of different groups of a group normalisation are no twins whatever their weights.
    if ('reason' in own || 'reason' in theirs || graph.nodes.some(({ op }) => op === 'GroupNormalization')) return undefined;
    const heard = new Set(own.readings.map(({ tensor, axis }) => keyOf({ value: tensor, axis })));
    for (const { ref, indices } of own.removed) {
      const to = [...theirs.removed.get(ref) ?? []].sort((one, two) => one - two);
      const from = [...indices].sort((one, two) => one - two);
      if (!graph.tensors.has(ref.value) || heard.has(keyOf(ref)) || to.length !== from.length) continue;
      await edit(twin.tensors, ref.value, (data, shape) => from.forEach((source, place) => copyIndex(data, shape, ref.axis, source, to[place]!)));
    }
    return { graph: twin, expected: twin, step: { action: 'merge', into: id, particles: [table.id(other.rows[0]!)] } };
  }
  // A particle without incoming weights says its activation of the bias, whatever it is.
  if (bundle.rows.length > 1 || group.slices.some(({ role }) => role === 'norm' || role === 'recurrent') || group.kind === 'head' || group.kind === 'factor') return undefined;
  const dead = { ...graph, tensors: new Map<string, Tensor>(graph.tensors) };
  for (const { tensor, axis, role } of group.slices) {
    await edit(dead.tensors, tensor, (data, shape) => forEachAt(shape, axis, bundle.rows[0]! - group.firstRow, (at) => (data[at] = role === 'bias' ? 0.7 : 0)));
  }
  const value = await constantOf(engine, dead, group.acts[0]!.value, group.acts[0]!.axis, bundle.rows[0]! - group.firstRow, group.count);
  return value === undefined ? undefined : { graph: dead, expected: dead, step: { action: 'fold', particles: [id], values: [value] } };
}

function copyIndex(data: Float32Array, shape: readonly number[], axis: number, from: number, to: number): void {
  const copied: number[] = [];
  forEachAt(shape, axis, from, (at) => copied.push(data[at]!));
  forEachAt(shape, axis, to, (at, place) => (data[at] = copied[place]!));
}

async function edit(tensors: Map<string, Tensor>, name: string, change: (data: Float32Array, shape: readonly number[]) => void): Promise<void> {
  const array: NdArray = await tensors.get(name)!.read();
  const data = Float32Array.from(array.data as Float32Array);
  change(data, array.shape);
  tensors.set(name, tensorOf(name, { ...array, data }));
}

/** What a particle says where it acts, when that is one number everywhere. */
async function constantOf(engine: Engine, graph: ModelGraph, value: string, axis: number, particle: number, count: number): Promise<number | undefined> {
  const feeds = inputsFor(graph, 1);
  const program = await engine.compile(graph, [...feeds.keys()], [value]);
  const { data, shape } = (await program.run(feeds)).get(value)!;
  await program.dispose();
  if (shape[axis] !== count) return undefined;
  const found: number[] = [];
  forEachAt(shape, axis, particle, (at) => found.push(data[at] as number));
  return found.every((entry) => Math.abs(entry - found[0]!) < 1e-7) ? found[0] : undefined;
}

function upstream(graph: ModelGraph, value: string): Set<string> {
  const producer = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const seen = new Set<string>();
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...producer.get(next)?.inputs ?? []);
  }
  return seen;
}
