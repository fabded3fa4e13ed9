import type { Tensor } from '../../graph/tensor';
import type { ReweightStep } from '../plan';
import { counted, forEachAt, readWeights, redrawn, rewritten, type Action } from './action';
import { readingsOf } from './readings';

/** Multiplies the outgoing weights of particles, whatever hears them; the particles themselves stay as they are. */
export const reweight: Action<ReweightStep> = {
  name: 'reweight',
  check(fields) {
    const particles = fields.particles();
    return { action: 'reweight', particles, factors: fields.numbers('factors', particles.length) };
  },
  async apply({ particles, factors }, { graph, table, row }) {
    const edited = new Map<string, { values: Float32Array; shape: readonly number[] }>();
    const done = new Set<number>();
    for (const [index, id] of particles.entries()) {
      const at = row(id);
      if (done.has(at)) continue;
      const found = readingsOf(graph, table, [at]);
      if ('reason' in found) return { graph, refusals: [{ layer: table.groupOf(at).layer, reason: found.reason }] };
      // Those tied to it are heard by the same weights, once.
      for (const tied of found.rows) done.add(tied);
      for (const { tensor, axis, indices } of found.readings) {
        const array = edited.get(tensor) ?? await readWeights(graph, tensor);
        edited.set(tensor, array);
        for (const place of indices) forEachAt(array.shape, axis, place, (position) => (array.values[position]! *= factors[index]!));
      }
    }
    const tensors = new Map<string, Tensor>(graph.tensors);
    for (const [name, { values }] of edited) tensors.set(name, rewritten(graph.tensors.get(name)!, values));
    return { graph: await redrawn(graph, { tensors }) };
  },
  words: ({ particles }) => `re-weight ${counted(particles.length, 'particle')}`,
};
