import { batchSize, bytesPerSample } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { int, readsOf } from '../graph/attributes';
import { differentiate, type Differentiated } from '../graph/differentiate';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import type { Program } from '../graph/engine';
import { GraphOnGraph } from '../graph/graphBuilder';
import { contextOf } from '../graph/inferShapes';
import { inOrder } from '../graph/finishGraph';
import type { GraphNode, ModelGraph } from '../graph/modelGraph';
import { asFloat32, float32Array } from '../graph/numeric';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext } from './behaviour';
import { filledUp, gradientModel, type GradientAct, type GradientModel, type GradientPlace } from './gradientModel';
import type { HorizonEnd } from './horizon';

/** One run of the model on samples [from, to), with all that backward passes read of it. */
export interface ForwardRun {
  readonly from: number;
  readonly to: number;
  /** What the model judged says: [samples, width]. */
  readonly outputs: Float32Array;
  readonly width: number;
  readonly values: ReadonlyMap<string, NdArray>;
}

/** By group: [samples, particles]. */
export type ByGroup = ReadonlyMap<ParticleGroup, Float32Array>;

/**
 * The derivative of any weighted sum of the model's outputs with respect to switching particles on, of all particles of all groups from one
 * backward pass: the sum over everything that a particle passes on of activation times gradient, sample by sample.
 */
export interface ParticleGradients {
  readonly groups: readonly ParticleGroup[];
  /** Samples that go through at once. */
  readonly samples: number;
  /** `inputs`: instead of those of the data. */
  forward(from: number, to: number, inputs?: ReadonlyMap<string, NdArray>): Promise<ForwardRun>;
  /** `seed` [samples, width]: the weights of the outputs. `since`: activations are taken as what changed since that run. */
  backward(run: ForwardRun, seed: Float32Array, since?: ForwardRun): Promise<ByGroup>;
  /** The same, with the gradients of the ends that were asked for: [samples, elements] each, in their order. */
  slopes(run: ForwardRun, seed: Float32Array): Promise<{ readonly products: ByGroup; readonly ends: readonly Float32Array[] }>;
  dispose(): Promise<void>;
}

export interface GradientOptions {
  /** The value that is differentiated. */
  readonly output: string;
  /** Whether a recurrent unit's own gates count among what it passes on; needed for `since`: false. */
  readonly recurrence: boolean;
  /** Whether `since` will be used. */
  readonly differences?: boolean;
  /** Values of the model whose gradients are wanted themselves, as some readers see them. */
  readonly ends?: readonly HorizonEnd[];
  /** Further values that a forward run keeps. */
  readonly kept?: readonly string[];
}

/**
 * Compiles the forward pass and the backward pass of all groups at once, each once. Groups in front of an operator without
 * gradient are left out, with a finding.
 */
export async function openParticleGradients(
  context: BehaviourContext, wanted: readonly ParticleGroup[], { output, recurrence, differences = false, ends = [], kept = [] }: GradientOptions,
): Promise<ParticleGradients> {
  const { model, names } = seenByReaders(await gradientModel(context, wanted, output, { recurrence }), ends);
  const { groups, built } = await differentiable(context, model, wanted, output, names.flat().filter((name) => name !== output));
  const slopeOf = (name: string): string => (name === output ? built.seed! : built.gradients.get(name)!);
  const sloped = [...new Set(names.flat().map(slopeOf))].filter((name) => name !== built.seed);
  const backward = await withProducts(built, model, groups, differences);
  const wantedBehind = [...new Set([...[...backward.products.values()].flat().map(({ product }) => product), ...sloped])];
  const frontier = frontierOf(model.graph, backward.graph, wantedBehind);
  const inputs = model.graph.inputs.map(({ name }) => name);
  const programs: Program[] = [];
  const compile = async (graph: ModelGraph, feeds: readonly string[], fetches: readonly string[]): Promise<Program> => {
    const program = await context.engine.compile(graph, feeds, fetches);
    programs.push(program);
    return program;
  };
  const dispose = async (): Promise<void> => void await Promise.all(programs.map((program) => program.dispose()));
  try {
    const fetches = [...new Set([output, ...frontier, ...kept, ...(differences ? actsOf(model, groups) : [])])].filter((name) => !inputs.includes(name));
    const ahead = await compile(backward.graph, inputs, fetches);
    const feeds = [...frontier, ...backward.befores.values(), built.seed!];
    const behind = wantedBehind.length ? await compile(backward.graph, feeds, wantedBehind) : undefined;
    const each = bytesPerSample(backward.graph);
    const samples = model.fixedBatch ?? Math.min(context.data.count, batchSize(context.memoryBytes, each, 128));
    const backwards = async (run: ForwardRun, seed: Float32Array, since?: ForwardRun): Promise<ReadonlyMap<string, NdArray>> => {
      throwIfCancelled(context.task);
      const like = run.values.get(output)!;
      const fed = new Map(frontier.map((name) => [name, run.values.get(name)!]));
      const weights = new Float32Array(like.data.length);
      weights.set(seed);
      fed.set(built.seed!, { dtype: 'float32', shape: like.shape, data: weights });
      for (const [value, before] of backward.befores) {
        const array = (since ?? run).values.get(value)!;
        fed.set(before, since ? array : { dtype: 'float32', shape: array.shape, data: new Float32Array(array.data.length) });
      }
      return behind ? behind.run(fed) : new Map<string, NdArray>();
    };
    const productsOf = (run: ForwardRun, results: ReadonlyMap<string, NdArray>): ByGroup => {
      const full = model.fixedBatch ?? run.to - run.from;
      return new Map(groups.map((group) => {
        const sums = new Float32Array(full * group.count);
        for (const { product, sampleFirst } of backward.products.get(group)!) addProducts(sums, results.get(product)!, { samples: full, particles: group.count, sampleFirst });
        return [group, sums.subarray(0, (run.to - run.from) * group.count)];
      }));
    };
    return {
      groups, samples, dispose,
      async forward(from, to, given) {
        throwIfCancelled(context.task);
        const count = to - from;
        const full = model.fixedBatch ?? count;
        const own = new Map([...given ?? await context.data.inputs(from, to)].map(([name, array]) => [name, filledUp(array, full)]));
        for (const { name, width } of model.factors) own.set(name, float32Array(new Float32Array(full * width).fill(1), [full, width]));
        const values = new Map([...own, ...await ahead.run(own)]);
        const outputs = values.get(output)!;
        const width = outputWidth(outputs, full);
        return { from, to, width, values, outputs: Float32Array.from(asFloat32(outputs).subarray(0, count * width)) };
      },
      backward: async (run, seed, since) => productsOf(run, await backwards(run, seed, since)),
      async slopes(run, seed) {
        const results = await backwards(run, seed);
        return {
          products: productsOf(run, results),
          ends: names.map((list) => sumOf(list.map((name) => (slopeOf(name) === built.seed ? seed : asFloat32(results.get(slopeOf(name))!))))),
        };
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Differentiates for as many groups as can be, those nearest to the output first. */
async function differentiable(
  context: BehaviourContext, model: GradientModel, wanted: readonly ParticleGroup[], output: string, further: readonly string[],
): Promise<{ groups: readonly ParticleGroup[]; built: Differentiated }> {
  const order = new Map(model.graph.nodes.flatMap((node, at) => node.outputs.map((name) => [name, at] as const)));
  const ranked = [...wanted].sort((one, two) => (order.get(one.producer.value) ?? 0) - (order.get(two.producer.value) ?? 0));
  const attempt = (groups: readonly ParticleGroup[]): Promise<Differentiated> =>
    differentiate(model.graph, { of: output, withRespectTo: [...new Set([...groups.flatMap((group) => valuesOf(model.places.get(group)!)), ...further])], seed: 'particlize/seed' });
  try {
    return { groups: wanted, built: await attempt(wanted) };
  } catch (error) {
    if (!(error instanceof ParticlizeError) || further.length) throw error;
    // The groups behind the last operator that has no gradient: the smallest start from which on all goes well.
    let [low, high] = [1, ranked.length];
    let built: Differentiated | undefined;
    while (low < high) {
      const middle = (low + high) >> 1;
      try {
        built = await attempt(ranked.slice(middle));
        high = middle;
      } catch (again) {
        if (!(again instanceof ParticlizeError)) throw again;
        low = middle + 1;
      }
    }
    const left = ranked.slice(0, low).map(({ layer }) => layer);
    context.report({
      severity: 'info', place: left.length > 3 ? `${left.slice(0, 3).join(', ')} and ${left.length - 3} more layers` : left.join(', '),
      message: `What needs gradients is not computed here: ${error.message}`,
    });
    const chosen = new Set(ranked.slice(low));
    return { groups: wanted.filter((group) => chosen.has(group)), built: built ?? await attempt([]) };
  }
}

/** Gives each reader that counts alone a value of its own; by end the values whose gradients add up to its gradient. */
function seenByReaders(model: GradientModel, ends: readonly HorizonEnd[]): { model: GradientModel; names: readonly (readonly string[])[] } {
  const copies = new Map<string, { readonly value: string; readonly reader: string; readonly copy: string }>();
  const names = ends.map(({ value, readers }) => readers?.map(({ name: reader }) => {
    const key = JSON.stringify([value, reader]);
    if (!copies.has(key)) copies.set(key, { value, reader, copy: `particlize/seen/${copies.size}` });
    return copies.get(key)!.copy;
  }) ?? [value]);
  if (!copies.size) return { model, names };
  const { graph } = model;
  const byReader = new Map<string, Map<string, string>>();
  const values = new Map(graph.values);
  const nodes: GraphNode[] = [];
  for (const { value, reader, copy } of copies.values()) {
    byReader.set(reader, (byReader.get(reader) ?? new Map<string, string>()).set(value, copy));
    nodes.push({ name: copy, op: 'Identity', domain: '', inputs: [value], outputs: [copy], attributes: {}, layer: '' });
    values.set(copy, { ...contextOf(graph).facts(value), name: copy });
  }
  for (const node of graph.nodes) {
    const own = byReader.get(node.name);
    nodes.push(own ? { ...node, inputs: node.inputs.map((name) => own.get(name) ?? name) } : node);
  }
  return { model: { ...model, graph: { ...graph, values, nodes: inOrder({ ...graph, nodes }) } }, names };
}

function sumOf(arrays: readonly Float32Array[]): Float32Array {
  const [first, ...others] = arrays;
  if (!others.length) return first!;
  const sum = Float32Array.from(first!);
  for (const other of others) for (let at = 0; at < sum.length; at++) sum[at]! += other[at]!;
  return sum;
}

interface Product {
  readonly product: string;
  /** [samples, indices], or the other way round. */
  readonly sampleFirst: boolean;
}

interface Products {
  readonly graph: ModelGraph;
  readonly products: ReadonlyMap<ParticleGroup, readonly Product[]>;
  /** Input that is subtracted from an activation, by the activation's name. */
  readonly befores: ReadonlyMap<string, string>;
}

/** Activation times gradient, summed over all axes but the sample's and the particle's: only sums leave the engine. */
async function withProducts(
  { graph, gradients, seed }: Differentiated, { places }: GradientModel, groups: readonly ParticleGroup[], differences: boolean,
): Promise<Products> {
  const builder = new GraphOnGraph(graph);
  const befores = new Map<string, string>();
  const products = new Map<ParticleGroup, readonly Product[]>();
  const sum = ({ value, axis, sampleAxis }: GradientAct): Product => {
    const facts = contextOf(graph).facts(value);
    let activation = value;
    if (differences) {
      if (!befores.has(value)) befores.set(value, builder.input('particlize/before', facts));
      activation = builder.node('Sub', [value, befores.get(value)!]);
    }
    const times = builder.node('Mul', [activation, gradients.get(value)!]);
    const others = facts.shape!.map((_, at) => at).filter((at) => at !== axis && at !== sampleAxis);
    const product = others.length ? builder.node('ReduceSum', [times, builder.int64(others)], { keepdims: int(0) }) : times;
    return { product, sampleFirst: sampleAxis < axis };
  };
  for (const group of groups) {
    const place = places.get(group)!;
    products.set(group, place.kind === 'acts' ? place.acts.map(sum) : [{ product: gradients.get(place.value)!, sampleFirst: true }]);
  }
  const fetched = [...products.values()].flat().map(({ product }) => product);
  const finished = await builder.finish([...new Set(fetched)]);
  return { graph: finished, products, befores: seed === undefined ? new Map() : befores };
}

function valuesOf(place: GradientPlace): readonly string[] {
  return place.kind === 'acts' ? place.acts.map(({ value }) => value) : [place.value];
}

function actsOf(model: GradientModel, groups: readonly ParticleGroup[]): readonly string[] {
  return groups.flatMap((group) => valuesOf(model.places.get(group)!));
}

/** Values of the forward pass that the backward pass reads. */
function frontierOf(forward: ModelGraph, both: ModelGraph, fetches: readonly string[]): readonly string[] {
  const own = new Set(forward.nodes.map(({ name }) => name));
  const made = new Set(forward.nodes.flatMap(({ outputs }) => outputs));
  // Also outputs that operators only give since the backward pass asks for them.
  for (const node of both.nodes) if (own.has(node.name)) for (const name of node.outputs) made.add(name);
  for (const { name } of forward.inputs) made.add(name);
  const context = contextOf(both);
  const needed = neededFrom(both, own, fetches);
  return [...needed].filter((name) => made.has(name) && !context.isConstant(name));
}

/** What the added operators between the forward pass and the fetches read. */
function neededFrom(graph: ModelGraph, own: ReadonlySet<string>, fetches: readonly string[]): ReadonlySet<string> {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const seen = new Set<string>();
  const open = [...fetches];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const node = producers.get(name);
    if (node && !own.has(node.name)) open.push(...readsOf(node));
  }
  return seen;
}

/** Adds up steps of a sample (where both share an axis) and indices of a particle. */
export function addProducts(
  sums: Float32Array, array: NdArray, { samples, particles, sampleFirst }: { samples: number; particles: number; sampleFirst: boolean },
): void {
  const values = asFloat32(array);
  const [rows, columns] = array.shape as [number, number];
  const perSample = (sampleFirst ? rows : columns) / samples;
  const block = (sampleFirst ? columns : rows) / particles;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [sample, particle] = sampleFirst ? [row / perSample, column / block] : [column / perSample, row / block];
      sums[Math.floor(sample) * particles + Math.floor(particle)]! += values[row * columns + column]!;
    }
  }
}
