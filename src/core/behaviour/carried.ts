import type { Engine, Program } from '../graph/engine';
import { ints } from '../graph/attributes';
import { GraphOnGraph } from '../graph/graphBuilder';
import { contextOf } from '../graph/inferShapes';
import type { ModelGraph } from '../graph/modelGraph';
import { float32Array, int64Array } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import { particleIndices, type LinearConsumer } from './consumers';
import type { Act } from '../particles/particle';
import type { Horizon } from './horizon';
import { knownSampleAxis } from './sampleAxis';

/** A group of particles whose absence is followed exactly up to a horizon. */
export interface CarriedGroup {
  readonly group: ParticleGroup;
  readonly horizon: Horizon;
  /** Where the particles are silenced, */
  readonly acts: readonly Act[];
  /** unless their terms are taken off this operator's sum. */
  readonly consumer?: LinearConsumer;
}

export interface CarriedProgram {
  readonly carried: CarriedGroup;
  /**
   * What the outputs change by without each particle, to first order in what arrives at the ends. `slopes`: by end and followed output
   * the gradient [samples, elements]. Returns by followed output [samples, particles].
   */
  run(values: ReadonlyMap<string, NdArray>, slopes: readonly (readonly Float32Array[])[], samples: number): Promise<readonly Float32Array[]>;
  dispose(): Promise<void>;
}

/** Values of a forward run that are needed. */
export function valuesCarried({ horizon, consumer, acts }: CarriedGroup): readonly string[] {
  const starts = consumer ? [consumer.rule.input, consumer.rule.output] : acts.map(({ value }) => value);
  return [...new Set([...starts, ...horizon.beside, ...horizon.ends.map(({ value }) => value)])];
}

/** Whether the group's way to its horizon can be run for several particles at once, one behind the other as further samples. */
export function canBeCarried(graph: ModelGraph, carried: CarriedGroup): boolean {
  const context = contextOf(graph);
  return carried.horizon.inside.every(({ domain }) => domain === '') && valuesCarried(carried).every((value) => {
    const { shape, dtype } = context.facts(value);
    return shape?.[0] === null && shape.slice(1).every((size) => size !== null) && (dtype ?? 'float32') === 'float32' && knownSampleAxis(graph, value) === 0;
  });
}

/** Bytes that changed values may take at once: what caches hold runs fastest. */
const carriedBytes = 16 * 2 ** 20;

/** Compiles the way to the horizon. `samples`: as many as go through at once at most. */
export async function openCarried(engine: Engine, graph: ModelGraph, carried: CarriedGroup, samples: number): Promise<CarriedProgram> {
  const { group, horizon, acts, consumer } = carried;
  const context = contextOf(graph);
  const rest = (value: string): number[] => context.facts(value).shape!.slice(1) as number[];
  const elements = [...horizon.starts, ...horizon.inside.map(({ outputs }) => outputs[0]!)].reduce((sum, value) => sum + elementCount(context.facts(value).shape?.slice(1).map((size) => size ?? 1) ?? []), 0);
  const together = Math.max(1, Math.min(group.count, Math.floor(carriedBytes / (4 * elements * samples))));
  const indices = consumer ? [consumer.indices] : acts.map((act) => particleIndices(graph, act, group.count)!);
  const builder = new GraphOnGraph(graph);
  const changed = new Map<string, string>();
  const feeds: string[] = [];
  const feed = (name: string): string => (feeds.includes(name) || feeds.push(name), name);
  const input = (hint: string, info: Parameters<GraphOnGraph['input']>[1]): string => feed(builder.input(hint, info));
  const asSamples = (name: string, like: string): string => builder.node('Reshape', [name, builder.int64([-1, ...rest(like)])]);
  let masks: readonly { readonly name: string; readonly shape: readonly number[] }[] = [];
  let chosen: string | undefined;
  if (consumer) {
    const { rule } = consumer;
    const block = consumer.indices[0]!.length;
    chosen = input('particlize/particles', { dtype: 'int64', shape: [together * block] });
    const x = builder.node('Gather', [feed(rule.input), chosen], { axis: { type: 'int', value: rule.axis } });
    const weights = builder.node('Gather', [rule.weight!.value, chosen], { axis: { type: 'int', value: rule.weight!.axis } });
    const without = builder.node('Sub', [feed(rule.output), rule.contributions!(builder, x, weights, together, block)]);
    changed.set(rule.output, asSamples(without, rule.output));
  } else {
    masks = acts.map(({ value, axis }) => {
      const shape = [together, 1, ...rest(value).map((size, at) => (at + 1 === axis ? size : 1))];
      const name = input('particlize/mask', { dtype: 'float32', shape });
      const one = builder.node('Unsqueeze', [feed(value), builder.int64([0])]);
      changed.set(value, asSamples(builder.node('Mul', [one, name]), value));
      return { name, shape };
    });
  }
  for (const value of horizon.beside) changed.set(value, builder.node('Tile', [feed(value), builder.int64([together, ...rest(value).map(() => 1)])]));
  for (const node of horizon.inside) {
    const last = node.outputs.reduce((latest, name, at) => (name ? at : latest), 0);
    builder.nodes(node.op, node.inputs.map((name) => changed.get(name) ?? name), last + 1, node.attributes).forEach((made, at) => changed.set(node.outputs[at]!, made));
  }
  const slopes: string[] = [];
  const sums = horizon.ends.map(({ value }) => {
    const size = elementCount(rest(value));
    const apart = builder.node('Reshape', [changed.get(value)!, builder.int64([together, -1, size])]);
    const base = builder.node('Reshape', [feed(value), builder.int64([-1, size])]);
    const change = builder.node('Transpose', [builder.node('Sub', [apart, base]), ], { perm: ints([1, 0, 2]) });
    const slope = input('particlize/slope', { dtype: 'float32', shape: [null, null, size] });
    slopes.push(slope);
    return builder.node('MatMul', [change, builder.node('Transpose', [slope], { perm: ints([0, 2, 1]) })]);
  });
  const result = sums.reduce((sum, one) => builder.node('Add', [sum, one]));
  const program: Program = await engine.compile(await builder.finish([result]), feeds, [result]);
  return {
    carried, dispose: () => program.dispose(),
    async run(values, byEnd, count) {
      const followed = byEnd[0]!.length;
      const fed = new Map(feeds.filter((name) => values.has(name)).map((name) => [name, values.get(name)!]));
      slopes.forEach((name, end) => fed.set(name, stacked(byEnd[end]!, count)));
      const found = Array.from({ length: followed }, () => new Float32Array(count * group.count));
      for (let first = 0; first < group.count; first += together) {
        const list = Array.from({ length: together }, (_, at) => Math.min(group.count - 1, first + at));
        if (chosen !== undefined) fed.set(chosen, int64Array(list.flatMap((particle) => indices[0]![particle]!)));
        masks.forEach(({ name, shape }, place) => fed.set(name, maskOf(shape, list.map((particle) => indices[place]![particle]!))));
        const products = (await program.run(fed)).get(result)!.data as Float32Array;
        for (let sample = 0; sample < count; sample++) {
          for (let at = 0; at < together && first + at < group.count; at++) {
            for (let turn = 0; turn < followed; turn++) {
              found[turn]![sample * group.count + first + at] = products[(sample * together + at) * followed + turn]!;
            }
          }
        }
      }
      return found;
    },
  };
}

/** [samples, arrays, elements] */
function stacked(arrays: readonly Float32Array[], samples: number): NdArray {
  const size = arrays[0]!.length / samples;
  const data = new Float32Array(samples * arrays.length * size);
  arrays.forEach((array, turn) => {
    for (let sample = 0; sample < samples; sample++) data.set(array.subarray(sample * size, (sample + 1) * size), (sample * arrays.length + turn) * size);
  });
  return float32Array(data, [samples, arrays.length, size]);
}

/** Ones, and zero at a particle's indices in its row. */
function maskOf(shape: readonly number[], lists: readonly (readonly number[])[]): NdArray {
  const data = new Float32Array(elementCount(shape)).fill(1);
  const each = data.length / lists.length;
  lists.forEach((list, row) => {
    for (const index of list) data[row * each + index] = 0;
  });
  return float32Array(data, shape);
}
