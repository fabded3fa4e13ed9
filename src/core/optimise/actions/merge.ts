import type { Tensor } from '../../graph/tensor';
import { couplingGroups } from '../groups';
import type { MergeStep } from '../plan';
import { counted, forEachAt, readWeights, redrawn, rewritten, StepError, type Action } from './action';
import { readingsOf } from './readings';
import { removeRows } from './remove';

/** What hears the twins hears the one that stays as much more, and they go. Exact where they really say `scales` times the same. */
export const merge: Action<MergeStep> = {
  name: 'merge',
  check(fields) {
    const particles = fields.particles();
    return { action: 'merge', into: fields.text('into'), particles, ...(fields.has('scales') && { scales: fields.numbers('scales', particles.length) }) };
  },
  async apply({ into, particles, scales }, { graph, table, row, id }) {
    const keep = row(into);
    const group = table.groupOf(keep);
    const gone = particles.map((twin) => {
      const at = row(twin);
      if (at === keep || table.groupOf(at) !== group) throw new StepError(twin, `it is no other particle of the layer of ${into}`);
      return at;
    });
    const coupling = couplingGroups(graph, table);
    const refuse = (reason: string) => ({ graph, refusals: [{ layer: group.layer, reason }] });
    const scaled = scales?.some((scale) => scale !== 1) ?? false;
    if (scaled && coupling.bundleOf(keep).rows.length > 1) return refuse(`${coupling.groupOf(keep).reason}, and those do not scale with it`);
    if (scaled && group.kind === 'unit') return refuse('a recurrent unit also hears itself, so that no twin of another scale says the same');
    const own = readingsOf(graph, table, [keep]);
    if ('reason' in own) return refuse(own.reason);
    const tensors = new Map<string, Tensor>(graph.tensors);
    const edited = new Map<string, { values: Float32Array; shape: readonly number[] }>();
    const rows = new Set<number>();
    for (const [index, twin] of gone.entries()) {
      const theirs = readingsOf(graph, table, [twin]);
      if ('reason' in theirs) return refuse(theirs.reason);
      for (const [at, { tensor, axis, indices }] of own.readings.entries()) {
        const other = theirs.readings[at];
        if (other?.tensor !== tensor || other.axis !== axis || other.indices.length !== indices.length) return refuse(`${id(twin)} is heard elsewhere than ${into}`);
        const array = edited.get(tensor) ?? await readWeights(graph, tensor);
        edited.set(tensor, array);
        indices.forEach((to, place) => {
          const from: number[] = [];
          forEachAt(array.shape, axis, other.indices[place]!, (position) => from.push(position));
          forEachAt(array.shape, axis, to, (position, k) => (array.values[position]! += (scales?.[index] ?? 1) * array.values[from[k]!]!));
        });
      }
      for (const tied of theirs.rows) rows.add(tied);
    }
    for (const [name, { values }] of edited) tensors.set(name, rewritten(graph.tensors.get(name)!, values));
    const merged = await redrawn(graph, { tensors });
    const removed = await removeRows({ graph: merged, table, row, id }, rows);
    return removed.refusals?.length ? { ...removed, graph, gone: [] } : removed;
  },
  words: ({ into, particles }) => `merge ${counted(particles.length, 'particle')} into ${into}`,
};
