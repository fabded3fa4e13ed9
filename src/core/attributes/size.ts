import { layerCost } from '../evaluate/cost';
import { indexOf } from '../graph/modelGraph';
import { elementCount } from '../graph/tensor';
import type { AttributeFamily } from './attribute';

/** What each particle costs: its share of the weights and of the multiplications. */
export const size: AttributeFamily = {
  columns: [
    { name: 'parameters', title: 'Parameters', unit: '', scale: 'sequential', additive: true, meaning: 'Numbers that the particle stores: weights, bias and normalisation.' },
    { name: 'macs', title: 'MACs', unit: '', scale: 'sequential', additive: true, meaning: 'Multiply-accumulate operations that the particle takes for one sample.' },
  ],
  compute(graph, table) {
    const parameters = table.emptyValues();
    const macs = table.emptyValues();
    const { layer: layers } = indexOf(graph);
    for (const group of table.groups) {
      let perParticle = 0;
      for (const { tensor: name, axis, block = 1, every } of group.slices) {
        const tensor = graph.tensors.get(name);
        if (!tensor) continue;
        const length = tensor.shape[axis]!;
        perParticle += (elementCount(tensor.shape) / length) * block * (every ? length / every : 1);
      }
      const layer = layers.get(group.layer);
      const cost = layer && layerCost(graph, layer).macs;
      parameters.fill(perParticle, group.firstRow, group.firstRow + group.count);
      if (cost !== undefined) macs.fill(cost / group.count, group.firstRow, group.firstRow + group.count);
    }
    return Promise.resolve([parameters, macs]);
  },
};
