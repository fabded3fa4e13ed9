import type { ModelGraph } from '../../graph/modelGraph';
import { elementCount, type Tensor } from '../../graph/tensor';
import type { ParticleTable } from '../../particles/particleTable';
import type { MaskConnectionsStep } from '../plan';
import { readWeights, redrawn, rewritten, StepError, type Action } from './action';

/** Unstructured pruning by magnitude: single weights become zero; sizes stay, so it saves only where zeros are not stored. */
export const maskConnections: Action<MaskConnectionsStep> = {
  name: 'maskConnections',
  check: (fields) => ({
    action: 'maskConnections', layer: fields.text('layer'), share: fields.number('share', 'a share from 0 to 1', (share) => share >= 0 && share <= 1),
  }),
  async apply({ layer, share }, { graph, table }) {
    const names = weightsOf(graph, table, layer);
    const arrays = await Promise.all(names.map(async (name) => ({ name, ...await readWeights(graph, name) })));
    const order = arrays.flatMap(({ values }, array) => Array.from(values, (value, index) => ({ array, index, size: Math.abs(value) })))
      .sort((one, two) => one.size - two.size || one.array - two.array || one.index - two.index);
    const count = Math.floor(share * order.length);
    for (const { array, index } of order.slice(0, count)) arrays[array]!.values[index] = 0;
    const tensors = new Map<string, Tensor>(graph.tensors);
    for (const { name, values } of arrays) tensors.set(name, rewritten(graph.tensors.get(name)!, values));
    const zeros = arrays.reduce((sum, { values }) => sum + values.reduce((own, value) => own + Number(value === 0), 0), 0);
    return { graph: await redrawn(graph, { tensors }), notes: [`${zeros} of ${order.length} weights of ${layer} are zero`] };
  },
  words: ({ layer, share }) => `set ${Number((100 * share).toFixed(1))} % of the weights of ${layer} to zero`,
};

function weightsOf(graph: ModelGraph, table: ParticleTable, layer: string): string[] {
  const groups = table.groups.filter((group) => group.layer === layer);
  if (!groups.length) throw new StepError(layer, 'the model has no such layer with particles');
  const roles = new Set(['weight', 'recurrent', 'query', 'key', 'value', 'output']);
  const names = new Set(groups.flatMap(({ slices }) => slices.filter(({ role }) => roles.has(role)).map(({ tensor }) => tensor)));
  const own = [...names].filter((name) => graph.tensors.has(name) && elementCount(graph.tensors.get(name)!.shape) > 0);
  if (!own.length) throw new StepError(layer, 'it has no weights of its own');
  return own;
}
