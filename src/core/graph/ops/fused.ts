import { barriers, broadcastRelations, firstInput, firstOutput, range, sameAxes } from './axes';
import { fusedActivationGradient } from './gradients/activations';
import { fusedBlockGradient } from './gradients/attention';
import type { OperatorFamily } from './operator';

/** Activations that ONNX Runtime's optimiser writes as one operator, with or without a bias. */
export const fusedActivations: OperatorFamily = {
  name: 'fusedActivations',
  ops: ['com.microsoft:Gelu', 'com.microsoft:FastGelu', 'com.microsoft:BiasGelu', 'com.microsoft:QuickGelu'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    return [{ dtype, shape }];
  },

  flow(node, context) {
    const [x = '', bias] = node.inputs;
    const y = firstOutput(node);
    return [
      ...sameAxes(x, y, context.facts(x).shape?.length ?? 0),
      ...(bias ? broadcastRelations(bias, y, context) : []),
    ];
  },

  gradient: fusedActivationGradient,
};

/** Blocks of transformers that the same optimiser fuses: shapes only, so that what follows them can be shown. */
export const fusedBlocks: OperatorFamily = {
  name: 'fusedBlocks',
  ops: ['com.microsoft:SkipLayerNormalization', 'com.microsoft:EmbedLayerNormalization'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    if (node.op === 'SkipLayerNormalization') return [{ dtype, shape }, {}, {}, { dtype, shape }];
    const table = context.facts(node.inputs[2] ?? '');
    return [{ dtype: table.dtype, shape: shape && [...shape, table.shape?.[1] ?? null] }, { dtype: 'int32', shape: shape?.slice(0, 1) }];
  },

  flow(node, context) {
    const reason = `${node.op} is a fused operator, inside which Particlize cannot follow channels`;
    return [...node.inputs, ...node.outputs].flatMap((value) =>
      barriers(value, range(0, context.facts(value).shape?.length ?? 0), reason));
  },

  macs: () => undefined,

  gradient: fusedBlockGradient,
};
