import { ParticlizeError } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import { slicedWeight } from '../attributes/particleWeights';
import type { ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { chosenGroups } from './forward';
import { outputChanges } from './outputChanges';

/**
 * What a factor of an embedding does for the score: how far the score moves without it, as a share of what the factors of its
 * embedding move it together. Where the score is a product of two embeddings, that is the share of |u_f v_f|.
 */
export const factors: BehaviourFamily = {
  kinds: ['factor'],
  columns: [{
    name: 'scoreShare', title: 'Share of the predicted score', unit: '', scale: 'sequential', additive: true, exact: true,
    meaning: 'Mean magnitude by which the model\'s output moves without the factor, as a share of the sum over the factors of its embedding; the shares add up to 1.',
  }],
  async compute(context) {
    const values = context.table.emptyValues();
    for (const group of chosenGroups(context).filter(({ kind }) => kind === 'factor')) {
      const all = Array.from({ length: group.count }, (_, factor) => factor);
      const changes = await outputChanges(context, group, all);
      const sums = all.map((factor) => changes.subarray(factor * context.data.count, (factor + 1) * context.data.count).reduce((sum, value) => sum + value, 0));
      const total = sums.reduce((sum, value) => sum + value, 0);
      sums.forEach((sum, factor) => (values[group.firstRow + factor] = total > 0 ? sum / total : 0));
      context.arrived?.('scoreShare', values);
    }
    return [values];
  },
};

/** Items on either side that are shown. */
const shown = 12;

export const separatedItems: Detail = {
  name: 'separatedItems', title: 'What the factor separates', of: 'particle', needs: 'weights', kinds: ['factor'],
  meaning: 'The rows of the embedding (users, items, tokens) with the largest and the smallest values of the factor, less its mean: what it tells apart.',
  applies: (graph, group) => table(graph, group) !== undefined,
  async compute({ graph }, { group, particle }) {
    const values = await factorValues(graph, group, particle);
    if (!values) throw new ParticlizeError({ place: group.layer, cause: 'its table is not stored in the file' });
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const order = Array.from(values.keys()).sort((one, two) => values[two]! - values[one]!);
    const ends = order.length <= 2 * shown ? order : [...order.slice(0, shown), ...order.slice(-shown)];
    return {
      kind: 'bars', labels: ends.map(String), values: Float32Array.from(ends, (row) => values[row]! - mean), labelTitle: 'Row of the embedding', valueTitle: 'Factor, less its mean',
    };
  },
};

/** A factor's value for every row of its embedding: one column of the table. */
export async function factorValues(graph: ModelGraph, group: ParticleGroup, factor: number): Promise<Float32Array | undefined> {
  const slice = table(graph, group);
  const tensor = slice && graph.tensors.get(slice.tensor);
  if (!slice || !tensor) return undefined;
  const weight = slicedWeight(asFloat32(await tensor.read()), tensor.shape, slice);
  const result = new Float32Array(weight.outer * weight.inner);
  for (let outer = 0; outer < weight.outer; outer++) {
    const start = (outer * weight.size + factor) * weight.inner;
    result.set(weight.values.subarray(start, start + weight.inner), outer * weight.inner);
  }
  return result;
}

function table(graph: ModelGraph, group: ParticleGroup): ParticleGroup['slices'][number] | undefined {
  return group.slices.find(({ tensor, role, block, every }) => role === 'weight' && !block && !every && graph.tensors.has(tensor));
}
