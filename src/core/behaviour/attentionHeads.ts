import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { attentionPlace, attentionWeights, type AttentionWeights } from './attentionWeights';
import type { Detail } from './details/detail';
import { sampleTokens } from './details/sampleText';
import { chosenGroups, forEachBatch } from './forward';
import { ParticlizeError } from '../graph/errors';
import { batchModel } from '../evaluate/batching';

/**
 * Where heads look, of the attention weights behind the softmax: entropy, and the shares of the two patterns that are found most
 * often (Clark et al. 2019, "What does BERT look at?"; previous-token heads: Olsson et al. 2022, "In-context learning and
 * induction heads"). First queries, which have no previous token, do not count.
 */
export const attentionHeads: BehaviourFamily = {
  kinds: ['head'],
  columns: [
    {
      name: 'attentionEntropy', title: 'Attention entropy', unit: 'nats', scale: 'sequential', exact: true,
      meaning: 'Mean entropy of the head\'s attention weights: 0 looks at one token only, the logarithm of the number of tokens looks at all alike.',
    },
    {
      name: 'previousTokenShare', title: 'Attention to the previous token', unit: '', scale: 'sequential', exact: true,
      meaning: 'Mean share of the head\'s attention that goes to the token right before; near 1 it copies the previous token.',
    },
    {
      name: 'firstTokenShare', title: 'Attention to the first token', unit: '', scale: 'sequential', exact: true,
      meaning: 'Mean share of the head\'s attention that goes to the first token; near 1 the head rests.',
    },
  ],
  compute,
};

interface Sums {
  readonly entropy: Float64Array;
  readonly previous: Float64Array;
  readonly first: Float64Array;
  rows: number;
  laterRows: number;
}

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { table, report } = context;
  const results = [table.emptyValues(), table.emptyValues(), table.emptyValues()] as const;
  const { graph } = await batchModel(context.graph);
  for (const group of chosenGroups(context).filter(({ kind }) => kind === 'head')) {
    const place = attentionPlace(graph, group);
    const made = (length: number): Float64Array => new Float64Array(length);
    const sums: Sums = { entropy: made(group.count), previous: made(group.count), first: made(group.count), rows: 0, laterRows: 0 };
    if (place) {
      await forEachBatch({ ...context, graph: place.graph }, [place.value], `Attention of ${group.layer}`, (values) => {
        const weights = attentionWeights(values.get(place.value)!, group.count);
        if (weights) addWeights(sums, weights);
      });
    }
    if (!sums.rows) {
      report({ severity: 'info', place: group.layer, message: 'Its attention weights are inside an operator that does not give them away, so nothing is said about where its heads look.' });
      continue;
    }
    for (let head = 0; head < group.count; head++) {
      const row = group.firstRow + head;
      results[0][row] = sums.entropy[head]! / sums.rows;
      results[1][row] = sums.previous[head]! / sums.laterRows;
      results[2][row] = sums.first[head]! / sums.laterRows;
    }
  }
  return results;
}

function addWeights(sums: Sums, { values, blocks, heads, queries, keys }: AttentionWeights): void {
  for (let block = 0; block < blocks; block++) {
    for (let head = 0; head < heads; head++) {
      for (let query = 0; query < queries; query++) {
        const start = ((block * heads + head) * queries + query) * keys;
        let entropy = 0;
        for (let at = start; at < start + keys; at++) if (values[at]! > 0) entropy -= values[at]! * Math.log(values[at]!);
        sums.entropy[head]! += entropy;
        // In attention to another sequence nothing is the previous token.
        sums.previous[head]! += queries !== keys ? NaN : query > 0 ? values[start + query - 1]! : 0;
        if (query > 0) sums.first[head]! += values[start]!;
      }
    }
  }
  sums.rows += blocks * queries;
  sums.laterRows += blocks * (queries - 1);
}

export const attentionPattern: Detail = {
  name: 'attentionPattern', title: 'Attention pattern', of: 'particle', needs: 'data', ofSample: true, kinds: ['head'],
  meaning: 'On one sample: what share of its attention the head gives from each token (row) to each other one (column).',
  applies: (graph, group) => attentionPlace(graph, group) !== undefined,
  async compute(context, { group, particle, sample }) {
    const { data } = context;
    const { graph } = await batchModel(context.graph);
    const place = attentionPlace(graph, group);
    let weights: AttentionWeights | undefined;
    const one = { ...data, count: 1, inputs: () => data.inputs(sample, sample + 1) };
    if (place) {
      await forEachBatch({ ...context, graph: place.graph, data: one }, [place.value], 'Attention', (values) => {
        const found = attentionWeights(values.get(place.value)!, group.count);
        weights = found && { ...found, values: found.values.slice() };
      });
    }
    if (!weights) throw new ParticlizeError({ place: group.layer, cause: 'its attention weights are inside an operator that does not give them away' });
    const { queries, keys, values } = weights;
    const tokens = await sampleTokens(data, sample);
    const names = (count: number): string[] => Array.from({ length: count }, (_, index) => (tokens?.length === count ? tokens[index]! : String(index)));
    return {
      kind: 'matrix', rows: names(queries), columns: names(keys), scale: 'sequential', rowTitle: 'From', columnTitle: 'To', valueTitle: 'Share of attention',
      values: values.slice(particle * queries * keys, (particle + 1) * queries * keys),
    };
  },
};
