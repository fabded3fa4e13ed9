import type { AxisSets } from '../../graph/coupling';
import { seededRandom } from '../../graph/seededRandom';
import type { Tensor } from '../../graph/tensor';
import { doubleAxes } from '../removeAxes';
import type { GrowStep } from '../plan';
import { counted, forEachAt, readWeights, redrawn, rewritten, type Action } from './action';
import { readingsOf } from './readings';

/**
 * Has particles twice (Chen, Goodfellow, Shlens 2016, "Net2Net: accelerating learning via knowledge transfer": a wider net of
 * the same function). What hears a particle hears both halves. Noise in the copies lets training tell them apart.
 */
export const grow: Action<GrowStep> = {
  name: 'grow',
  check: (fields) => ({
    action: 'grow', particles: fields.particles(),
    ...(fields.has('noise') && { noise: fields.number('noise', 'a number from 0 to 1', (noise) => noise >= 0 && noise <= 1) }),
    ...(fields.has('seed') && { seed: fields.number('seed', 'a whole number', Number.isInteger) }),
  }),
  async apply({ particles, noise = 0, seed = 0 }, { graph, table, row }) {
    const random = seededRandom(seed);
    const wanted = [...new Set(particles.map((id) => row(id)))].sort((one, two) => one - two);
    const doubled = new Set<number>();
    let current = graph;
    // From the last one, so that those in front keep their places.
    for (const at of wanted.reverse()) {
      if (doubled.has(at)) continue;
      const { layer } = table.groupOf(at);
      const found = readingsOf(current, table, [at]);
      if ('reason' in found) return { graph, refusals: [{ layer, reason: found.reason }] };
      if (doubled.size && [...found.rows].some((other) => [...doubled].some((done) => table.groupOf(done) === table.groupOf(other) && done < other))) {
        return { graph, refusals: [{ layer, reason: 'what is tied to it has other places by now; grow it in a step of its own' }] };
      }
      const edited = new Map<string, { values: Float32Array; shape: readonly number[] }>();
      for (const { tensor, axis, indices } of found.readings) {
        const array = edited.get(tensor) ?? await readWeights(current, tensor);
        edited.set(tensor, array);
        for (const place of indices) forEachAt(array.shape, axis, place, (position) => (array.values[position]! /= 2));
      }
      const tensors = new Map<string, Tensor>(current.tensors);
      for (const [name, { values }] of edited) tensors.set(name, rewritten(current.tensors.get(name)!, values));
      const halved = await redrawn(current, { tensors });
      const heard = new Set(found.readings.map(({ tensor, axis }) => `${axis}:${tensor}`));
      current = await doubleAxes(halved, found.removed);
      if (noise > 0) current = await withNoise(current, found.removed, heard, { noise, random });
      for (const tied of found.rows) doubled.add(tied);
    }
    return { graph: current, doubled };
  },
  words: ({ particles }) => `split ${counted(particles.length, 'particle')} in two`,
};

type Graph = Parameters<typeof readingsOf>[0];

async function withNoise(graph: Graph, removed: AxisSets, heard: ReadonlySet<string>, { noise, random }: { noise: number; random: () => number }): Promise<Graph> {
  const tensors = new Map<string, Tensor>(graph.tensors);
  for (const { ref: { value, axis }, indices } of removed) {
    const tensor = tensors.get(value);
    if (!tensor?.dtype.includes('float') || heard.has(`${axis}:${value}`)) continue;
    const { values, shape } = await readWeights({ ...graph, tensors }, value);
    const size = Math.sqrt(values.reduce((sum, entry) => sum + entry * entry, 0) / Math.max(values.length, 1));
    // The copies: each run of indices again right behind itself.
    for (const index of copiesOf([...indices].sort((one, two) => one - two))) {
      forEachAt(shape, axis, index, (position) => (values[position]! += noise * size * Math.sqrt(3) * (2 * random() - 1)));
    }
    tensors.set(value, rewritten(tensor, values));
  }
  return redrawn(graph, { tensors });
}

/** Places of the copies on an axis where these indices have been doubled. */
function copiesOf(indices: readonly number[]): number[] {
  const result: number[] = [];
  let shift = 0;
  for (let at = 0; at < indices.length;) {
    let end = at + 1;
    while (indices[end] === indices[end - 1]! + 1) end++;
    const length = end - at;
    for (let place = 0; place < length; place++) result.push(indices[at]! + shift + length + place);
    shift += length;
    at = end;
  }
  return result;
}
