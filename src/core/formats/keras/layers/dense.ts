import { int } from '../../../graph/attributes';
import type { LayerGroup } from '../layerRule';
import { activate } from './activation';

export const denseLayers: LayerGroup = {
  /** Kernel [in, units], used as it is: neuron j is column j. */
  Dense(context) {
    const input = context.input();
    const kernel = context.weight('kernel', { rank: 2 });
    const bias = context.flag('use_bias', true) ? context.weight('bias', { rank: 1 }) : undefined;
    const features = input.shape?.[input.shape.length - 1];
    if (features !== null && features !== undefined && features !== kernel.shape[0]) {
      context.fail(`its kernel is for ${kernel.shape[0]} inputs but it gets ${features}`);
    }
    context.follows('units', kernel.name, 1);
    const shape = input.shape && [...input.shape.slice(0, -1), kernel.shape[1]!];
    if (shape?.length === 2) {
      const name = context.node('Gemm', [input.name, kernel.name, ...(bias ? [bias.name] : [])], {
        transA: int(0), transB: int(0),
      });
      return activate(context, { name, shape });
    }
    const product = context.node('MatMul', [input.name, kernel.name]);
    return activate(context, { name: bias ? context.node('Add', [product, bias.name]) : product, shape });
  },
};
