import { isOwnWeight, particleOf } from '../attributes/particleWeights';
import { batchModel } from '../evaluate/batching';
import { asFloat32 } from '../graph/numeric';
import type { ModelGraph } from '../graph/modelGraph';
import type { WeightSlice } from '../graph/ops/operator';
import type { ParticleGroup } from '../particles/particle';
import type { ParticleTable } from '../particles/particleTable';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { consumersOf, type LinearConsumer } from './consumers';
import type { Detail } from './details/detail';
import { axisWalk, chosenGroups, forEachBatch } from './forward';
import { ParticlizeError } from '../graph/errors';

/**
 * How strongly particles of neighbouring layers are connected: w_ij = |W_ij| · rms(a_j), the norm of the weights by which
 * particle i reads particle j, times the root mean square of what j passes on to it on the data. So a large weight on
 * something that is never said is no connection.
 */
export const connections: BehaviourFamily = {
  columns: [
    {
      name: 'strongestTarget', title: 'Strongest target', unit: '', scale: 'categorical', refersTo: 'row', exact: true,
      meaning: 'The particle of a following layer that reads this one most strongly.',
    },
    {
      name: 'connectionStrength', title: 'Connection to it', unit: '', scale: 'sequential', exact: true,
      meaning: 'Norm of the weights by which the strongest target reads the particle, times the root mean square of what the particle passes on.',
    },
  ],
  async compute(context) {
    const { table } = context;
    const [target, strength] = [table.emptyValues(), table.emptyValues()];
    for (const link of await measuredLinks(context, chosenGroups(context))) {
      link.strengths.forEach((value, at) => {
        const row = link.from.firstRow + Math.floor(at / link.to.count);
        if (value <= (strength[row]! >= 0 ? strength[row]! : -1)) return;
        strength[row] = value;
        // What is never heard is read by nobody in particular.
        target[row] = value > 0 ? link.to.firstRow + (at % link.to.count) : NaN;
      });
    }
    return [target, strength];
  },
};

const meaning = 'Norm of the weights between two particles of neighbouring layers, times the root mean square of what the first passes on.';

export const connectionMatrix: Detail = {
  name: 'connectionMatrix', title: 'Connections to the next layer', of: 'layer', needs: 'data', meaning, applies: hasLinks,
  async compute(context, { group }) {
    const { from, to, strengths } = (await linksOf(context, group))[0]!;
    const names = ({ count, firstRow }: ParticleGroup): string[] => Array.from({ length: count }, (_, index) => context.table.id(firstRow + index));
    return {
      kind: 'matrix', rows: names(from), columns: names(to), values: Float32Array.from(strengths), scale: 'sequential',
      rowTitle: from.layer, columnTitle: to.layer, valueTitle: 'Connection strength',
    };
  },
};

export const strongestConnections: Detail = {
  name: 'strongestConnections', title: 'Strongest connections', of: 'layer', needs: 'data', meaning, applies: hasLinks,
  async compute(context, { group }) {
    const found = (await linksOf(context, group)).flatMap(({ from, to, strengths }) => Array.from(strengths, (value, at) => ({
      one: from.firstRow + Math.floor(at / to.count), two: to.firstRow + (at % to.count), value,
    })));
    const best = found.sort((one, two) => two.value - one.value).slice(0, mostPairs);
    return {
      kind: 'pairs', one: Int32Array.from(best, ({ one }) => one), two: Int32Array.from(best, ({ two }) => two),
      values: Float32Array.from(best, ({ value }) => value), valueTitle: 'Connection strength',
    };
  },
};

const mostPairs = 50;
/** Particles of one layer times particles of the other. */
const mostConnections = 4e6;

async function linksOf(context: BehaviourContext, group: ParticleGroup): Promise<readonly MeasuredLink[]> {
  const links = await measuredLinks(context, [group]);
  if (!links.length) throw new ParticlizeError({ place: group.layer, cause: 'no layer with weights of its own reads its particles directly, or they are too many to show' });
  return links;
}

function hasLinks(graph: ModelGraph, group: ParticleGroup, table: ParticleTable): boolean {
  return weightLinks(graph, table, group).length > 0;
}

/** A tensor by which particles of one layer read those of another. */
interface WeightLink {
  readonly consumer: LinearConsumer;
  readonly to: ParticleGroup;
  readonly slice: WeightSlice;
}

interface MeasuredLink {
  readonly from: ParticleGroup;
  readonly to: ParticleGroup;
  /** [from.count, to.count] */
  readonly strengths: Float64Array;
}

function weightLinks(graph: ModelGraph, table: ParticleTable, group: ParticleGroup): readonly WeightLink[] {
  return consumersOf(graph, group).linear.flatMap((consumer) => {
    const { weight } = consumer.rule;
    if (!weight || !graph.tensors.has(weight.value)) return [];
    return table.groups.flatMap((to) => to.slices
      .filter((slice) => slice.tensor === weight.value && slice.axis !== weight.axis && (isOwnWeight(slice) || slice.role === 'recurrent'))
      .map((slice) => ({ consumer, to, slice })));
  });
}

/** All strengths between these groups and those that read them; links to the same group through several tensors add up in squares. */
async function measuredLinks(context: BehaviourContext, groups: readonly ParticleGroup[]): Promise<readonly MeasuredLink[]> {
  const { table } = context;
  const { graph } = await batchModel(context.graph);
  const links = groups.flatMap((from) => weightLinks(graph, table, from).filter(({ to }) => from.count * to.count <= mostConnections).map((link) => ({ from, ...link })));
  const scales = await meanSquares(context, links);
  const merged = new Map<string, MeasuredLink>();
  for (const link of links) {
    const { from, to } = link;
    const key = `${from.firstRow} ${to.firstRow}`;
    const measured = merged.get(key) ?? { from, to, strengths: new Float64Array(from.count * to.count) };
    merged.set(key, measured);
    await addSquares(graph, link, scales.get(link.consumer)!, measured);
  }
  for (const { strengths } of merged.values()) for (let at = 0; at < strengths.length; at++) strengths[at] = Math.sqrt(strengths[at]!);
  return [...merged.values()];
}

/** By consumer: the mean square of what each particle passes on to it. */
async function meanSquares(context: BehaviourContext, links: readonly (WeightLink & { from: ParticleGroup })[]): Promise<ReadonlyMap<LinearConsumer, Float64Array>> {
  const sums = new Map(links.map(({ consumer, from }) => [consumer, new Float64Array(from.count)]));
  const counts = new Map<LinearConsumer, number>();
  await forEachBatch(context, [...sums.keys()].map(({ rule }) => rule.input), 'Connections', (values) => {
    for (const [{ rule, indices }, own] of sums) {
      const array = values.get(rule.input)!;
      const data = asFloat32(array);
      const { outer, size, inner } = axisWalk(array.shape, rule.axis);
      indices.forEach((list, particle) => {
        for (let block = 0; block < outer; block++) {
          for (const index of list) {
            const start = (block * size + index) * inner;
            for (let at = start; at < start + inner; at++) own[particle]! += data[at]! * data[at]!;
          }
        }
      });
    }
    for (const consumer of sums.keys()) counts.set(consumer, (counts.get(consumer) ?? 0) + values.get(consumer.rule.input)!.data.length);
  });
  return new Map([...sums].map(([consumer, own]) => {
    const each = (counts.get(consumer) ?? 0) / consumer.indices.flat().length * consumer.indices[0]!.length;
    return [consumer, own.map((sum) => (each > 0 ? sum / each : 0))];
  }));
}

async function addSquares(graph: ModelGraph, { consumer, slice }: WeightLink, scales: Float64Array, { strengths, to }: MeasuredLink): Promise<void> {
  const { weight } = consumer.rule;
  const tensor = graph.tensors.get(weight!.value)!;
  const values = asFloat32(await tensor.read());
  const { shape } = tensor;
  const source = new Int32Array(shape[weight!.axis]!).fill(-1);
  consumer.indices.forEach((list, particle) => list.forEach((index) => (source[index] = particle)));
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  for (let at = 0; at < values.length; at++) {
    const from = source[Math.floor(at / strides[weight!.axis]!) % shape[weight!.axis]!]!;
    const target = particleOf(slice, Math.floor(at / strides[slice.axis]!) % shape[slice.axis]!);
    if (from < 0 || target >= to.count) continue;
    strengths[from * to.count + target]! += values[at]! * values[at]! * scales[from]!;
  }
}
